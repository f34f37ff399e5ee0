library(lme4)
data("sleepstudy")
formulas <- list(
  int   = Reaction ~ Days + (1 | Subject),
  # with a slope
  slope = Reaction ~ Days + (Days | Subject)
)
models <- lapply(formulas, function(f) lmer(f, data = sleepstudy, REML = FALSE))
sapply(models, AIC)
sapply(models, fixef)
unnamed <- lapply(list(Reaction ~ 1 + (1 | Subject), Reaction ~ Days + (1 | Subject)), lmer, data = sleepstudy)
anova(models$int, models[["slope"]])

fits <- list()
for (v in c("Days", "I(Days^2)")) {
  # one model for each predictor
  f <- as.formula(paste("Reaction ~", v, "+ (1 | Subject)"))
  fits[[v]] <- lmer(f, data = sleepstudy)
}
ll <- numeric(2)
for (i in 1:2) ll[i] <- logLik(unnamed[[i]])
print(ll)
best <- if (AIC(models$int) < AIC(models$slope)) models$int else models$slope
for (m in models) print(sigma(m))
names(models)
