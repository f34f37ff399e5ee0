library(lme4)
m <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
coef(m)$Subject["308", ]
ranef(m)$Subject[1:3, "Days"]
ranef(m)[["Subject"]]["(Intercept)"]
apply(coef(m)$Subject, 2, mean)
VarCorr(m)$Subject[1, 2]
attr(VarCorr(m)$Subject, "stddev")
sqrt(diag(vcov(m)))
as.data.frame(VarCorr(m))
r <- as.data.frame(ranef(m))
r$condsd[1]
confint(m, method = "Wald", level = 0.9)
sleepstudy$fit <- fitted(m)
sleepstudy$res <- resid(m, scaled = TRUE)
predict(m, re.form = NA)
new <- data.frame(Days = 0:9, Subject = "308")
predict(m, newdata = new)
isSingular(m)
getME(m, "theta")
set.seed(42)
b <- bootMer(m, fixef, nsim = 10)
b2 <- bootMer(m, function(x) sigma(x), nsim = 10)
s <- simulate(m, nsim = 2, seed = 1)
slot(m, "theta")
m@optinfo
cat("sigma =", sigma(m), "\n")
cat(paste0("n = ", nobs(m)), "\n")
paste("AIC", round(AIC(m), 2))
fixef(m)["Days"] * 10 ^ 2 + -1
fixef(m) * c(1, 2)
ranef(m)$Subject + coef(m)$Subject
fixef(m)[-1]
dotplot(ranef(m))
5 %/% 2; -5 %% 3; 2^-1; TRUE & FALSE
