# The R side of "Coming from R" and of the classroom tutorial: one block per example, run in this order in one session by
# make_r_output.R.  A block starts at its name and ends before the next.

# ---- fit
fit <- lmer(Reaction ~ Days + (Days | Subject), data = sleepstudy)
summary(fit)

# ---- print
fit

# ---- ml
ml <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE)
print(summary(ml), correlation = FALSE)

# ---- variants
few <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy, subset = Days >= 2)
weighted <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy,
                 weights = Days + 1)
shifted <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy,
                offset = 10 * Days)
round(rbind(few = fixef(few), weighted = fixef(weighted),
            shifted = fixef(shifted)), 4)

# ---- structures
nested <- lmer(strength ~ 1 + (1 | batch/cask), Pastes)
crossed <- lmer(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin)
apart <- lmer(Reaction ~ Days + (Days || Subject), sleepstudy)
print(VarCorr(nested), digits = 4)
print(VarCorr(crossed), digits = 4)
print(VarCorr(apart), digits = 4)

# ---- contrasts
cake$temp <- as.numeric(as.character(cake$temperature))
sums <- lmer(angle ~ recipe + temp + (1 | recipe:replicate), cake,
             contrasts = list(recipe = "contr.sum"))
fixef(sums)

# ---- missing
gaps <- sleepstudy
gaps$Reaction[c(3, 40)] <- NA
short <- lmer(Reaction ~ Days + (Days | Subject), gaps,
              na.action = na.exclude)
nobs(short)
head(residuals(short), 4)

# ---- optimizer
same <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy,
             control = lmerControl(optimizer = "bobyqa"))
REMLcrit(same)

# ---- coefficients
summary(fit)$coefficients

# ---- kenward_roger
summary(fit, ddf = "Kenward-Roger")$coefficients

# ---- fixef
fixef(fit)

# ---- vcov
vcov(fit)

# ---- ranef
head(ranef(fit)$Subject, 4)

# ---- ranef_frame
head(as.data.frame(ranef(fit)), 4)

# ---- condvar
attr(ranef(fit)$Subject, "postVar")[, , 1]

# ---- coef
head(coef(fit)$Subject, 4)

# ---- varcorr
VarCorr(fit)

# ---- varcorr_frame
as.data.frame(VarCorr(fit))

# ---- varcorr_parts
VarCorr(fit)$Subject
attr(VarCorr(fit)$Subject, "stddev")
sigma(fit)

# ---- criteria
logLik(fit)
c(AIC(fit), BIC(fit), REMLcrit(fit))
deviance(ml)
df.residual(fit)
nobs(fit)
ngrps(fit)

# ---- rows
head(fitted(fit), 4)
head(residuals(fit), 4)
head(residuals(fit, "pearson", scaled = TRUE), 4)

# ---- matrices
head(model.matrix(fit), 3)

# ---- getme
getME(fit, "theta")
dim(getME(fit, "Z"))
getME(fit, "RX")
round(getME(fit, "devcomp")$cmp[c("ldL2", "ldRX2", "pwrss")], 4)

# ---- devfun
criterion <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy,
                  devFunOnly = TRUE)
criterion(c(1, 0, 1))

# ---- singular
quiet <- lmerControl(check.conv.singular = "ignore")
flat <- lmer(Yield ~ 1 + (1 | Batch), Dyestuff2, control = quiet)
isSingular(flat)
VarCorr(flat)

# ---- anova_one
cakes <- lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake)
anova(cakes)

# ---- anova_two
apart <- lmer(Reaction ~ Days + (Days || Subject), sleepstudy)
anova(apart, fit)

# ---- drop1
drop1(cakes)

# ---- ranova
ranova(fit)

# ---- step
step(cakes)

# ---- contest
contest(fit, c(1, 9), joint = FALSE, rhs = 300)

# ---- kr
small <- lmer(Reaction ~ 1 + (Days | Subject), sleepstudy)
KRmodcomp(fit, small)

# ---- exact
exactRLRT(lmer(Yield ~ 1 + (1 | Batch), Dyestuff), seed = 1)

# ---- confint_profile
confint(fit)

# ---- confint_names
confint(fit, "theta_", oldNames = FALSE, level = 0.9)

# ---- confint_wald
confint(fit, "beta_", method = "Wald")

# ---- confint_boot
confint(fit, method = "boot", nsim = 200, seed = 1)

# ---- update
update(fit, . ~ . - Days)
fixef(update(fit, REML = FALSE))

# ---- refit
doubled <- refit(fit, 2 * sleepstudy$Reaction)
fixef(doubled)
logLik(refitML(fit))

# ---- emmeans
means <- emmeans(cakes, ~ recipe | temperature,
                 at = list(temperature = c("175", "225")))
means

# ---- pairs
pairs(means)

# ---- joint
joint_tests(cakes)

# ---- emtrends
trend <- lmer(angle ~ recipe * temp + (1 | recipe:replicate), cake)
emtrends(trend, ~ recipe, var = "temp")

# ---- tidy
as.data.frame(tidy(fit))

# ---- glance
as.data.frame(glance(fit))

# ---- icc
icc(fit)
r2(fit)

# ---- robust
coef_test(fit, vcov = "CR2")

# ---- classroom_fit
classroom <- read.csv("fastlmm_hlm/datasets/classroom.csv")
classroom$college <- as.integer(classroom$parent.ed %in%
                                  c("college", "graduate"))
averages <- lmer(score ~ 1 + (1 | class), classroom)
print(summary(averages), correlation = FALSE)

# ---- classroom_fixef
slopes <- lmer(score ~ exam.prep.days + poverty + college +
                 (1 + exam.prep.days | class), classroom)
fixef(slopes)
head(ranef(slopes)$class, 4)

# ---- classroom_recycled
wrong <- fixef(slopes) + ranef(slopes)$class
head(wrong, 4)

# ---- classroom_coef
head(coef(slopes)$class, 4)

# ---- predict
new <- data.frame(Days = c(0, 9, 9), Subject = c("308", "308", "999"))
predict(fit, new[1:2, ])
predict(fit, new, re.form = NA)
predict(fit, new, allow.new.levels = TRUE)

# ---- predict_parts
head(predict(fit), 4)
head(predict(fit, re.form = NA), 4)
head(predict(fit, random.only = TRUE), 4)

# ---- simulate
drawn <- simulate(fit, 2, seed = 1)
dim(drawn)
head(drawn, 3)

# ---- refit_simulated
again <- refit(fit, simulate(fit, seed = 2)[[1]])
fixef(again)

# ---- residual_types
head(residuals(fit, type = "pearson"), 3)
head(residuals(weighted), 3)
head(residuals(weighted, type = "pearson"), 3)
head(residuals(weighted, type = "pearson", scaled = TRUE), 3)

# ---- hatvalues
head(hatvalues(fit), 3)
head(cooks.distance(fit), 3)

# ---- rstudent
head(rstudent(fit), 3)

# ---- influence
left <- influence(fit, "Subject")
head(dfbeta(left), 3)
head(dfbetas(left), 3)
head(cooks.distance(left), 3)

# ---- influence_rows
batches <- lmer(Yield ~ 1 + (1 | Batch), Dyestuff)
head(cooks.distance(influence(batches)), 3)

# ---- lmlist
each <- lmList(Reaction ~ Days | Subject, sleepstudy)
head(coef(each), 4)
sigma(each)

# ---- allfit
with_optimizer <- function(name)
  update(fit, control = lmerControl(optimizer = name))
sapply(c(bobyqa = "bobyqa", Nelder_Mead = "Nelder_Mead",
         nlminbwrap = "nlminbwrap"),
       function(name) REMLcrit(with_optimizer(name)))

# ---- ls_means
ls_means(cakes, "recipe")
difflsmeans(cakes, "recipe")

# ---- repca
summary(rePCA(fit))

# ---- ranef_condvar
as.data.frame(ranef(fit, condVar = TRUE))[c(1, 2, 19, 20), ]
