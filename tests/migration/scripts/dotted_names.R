# Names with dots, and names that would collide in Python
library(lme4)
my.data <- sleepstudy
my_data = head(sleepstudy, 90); class <- "a"   # two statements, one comment
my.data$slow.day <- my.data$Days >= 5
lambda <- lmer(Reaction ~ slow.day + (1 | Subject), my.data)
lmer(Reaction ~ Days + (1 | Subject), my_data) -> fit.small
`the fit` <- lmer(Reaction ~ Days + (1 | Subject), data = my.data, REML = F)
logLik(`the fit`)
print(AIC(lambda))
"old" = fit.small
fixef(old)[2]
