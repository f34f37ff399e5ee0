options(contrasts = c("contr.sum", "contr.poly"))
library(lmerTest)
data(cake, package = "lme4")
fit <- lmer(angle ~ recipe * temp + (1 | replicate:recipe), data = cake)
anova(fit)
options(contrasts = c("contr.treatment", "contr.poly"))
treatment <- lmer(angle ~ recipe + temperature + (1 | replicate), data = cake)
helmert <- lmer(angle ~ recipe + (1 | replicate), cake, contrasts = list(recipe = "contr.helmert"),
                control = lmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 2e5)))
cake$recipe <- relevel(cake$recipe, ref = "B")
releveled <- update(helmert, contrasts = NULL)
again <- lmer(angle ~ recipe + (1 | replicate), cake, REML = FALSE)
drop1(again)
ranova(again)
summary(again)$coefficients[2, c(1, 2)]
coef(summary(again))["recipeC", "Estimate"]
