# Responses simulated in R and the p-values of four tests of each: Rscript make_power_reference.R > reference/power.json
suppressMessages({library(lme4); library(lmerTest); library(jsonlite)})
set.seed(20)
fit <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
y <- as.matrix(simulate(fit, nsim = 8, newparams = list(beta = c(250, 3), theta = getME(fit, "theta"), sigma = sigma(fit))))
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5))
one <- function(k) {
  d <- sleepstudy; d$Reaction <- y[, k]
  m <- lmerTest::lmer(Reaction ~ Days + (Days | Subject), d, control = tight)
  s <- coef(summary(m)); kr <- coef(summary(m, ddf = "Kenward-Roger"))
  ml <- lme4::lmer(Reaction ~ Days + (Days | Subject), d, REML = FALSE, control = tight)
  m0 <- lme4::lmer(Reaction ~ 1 + (Days | Subject), d, REML = FALSE, control = tight)
  c(t = s["Days", 5], kr = kr["Days", 5], z = 2 * pnorm(-abs(s["Days", 4])), lr = anova(m0, ml)[2, 8])
}
p <- t(suppressMessages(sapply(1:8, one)))
cat(toJSON(list(lme4 = as.character(packageVersion("lme4")), lmerTest = as.character(packageVersion("lmerTest")),
                y = t(y), p = as.data.frame(p)), digits = 14))
