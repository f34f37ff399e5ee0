library(lme4)
d <- sleepstudy
d$z <- round(splinefun(d$Days[1:10], 1:10)(d$Days), 2)      # not known here
d$w <- 1 / (d$Days + 1)
a <- lmer(Reaction ~ Days + (1 | Subject), data = d)
b <- lmer(Reaction ~ z + (1 | Subject), data = d)
weighted <- lmer(Reaction ~ Days + (1 | Subject), data = d, weights = w)
head(d)
update(b, . ~ . + Days)
anova(a, b)
levels(d$Subject)[1] <- "first"
lmer(Reaction ~ Days + (1 | Subject), data = d)
mean(d$Reaction)
d$z <- 1
d$z <- NULL
