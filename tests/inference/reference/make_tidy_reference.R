# Writes tidy.json: what broom.mixed, lme4 and performance say of the models in cases.json.
# Run from the root of the repository:  Rscript tests/inference/reference/make_tidy_reference.R
suppressMessages({library(lme4); library(lmerTest); library(broom.mixed); library(performance); library(jsonlite)})
invisible(Sys.setlocale("LC_COLLATE", "C"))
folder <- "tests/inference/reference"
source(file.path(folder, "case_data.R"))
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE)
chosen <- c("sleepstudy", "sleepstudy_unbalanced", "sleepstudy_two_terms_ml", "sleepstudy_weights", "sleepstudy_offset", "pastes", "pixel",
            "oats_factor", "penicillin_crossed", "hsb_collinear")
columns <- function(x) lapply(as.list(as.data.frame(x)), function(v) I(unname(if (is.factor(v)) as.character(v) else v)))
quiet <- function(x) suppressMessages(suppressWarnings(x))

out <- list(versions = lapply(c(lme4 = "lme4", lmerTest = "lmerTest", broom.mixed = "broom.mixed", performance = "performance",
                                insight = "insight"), function(p) as.character(packageVersion(p))))
for (case in cases) {
  if (!case$id %in% chosen) next
  d <- data_of(case)
  reml <- is.null(case$REML) || case$REML
  formula <- as.formula(case$formula)
  # update() and data frames look for the data in the global environment
  assign("d", d, globalenv())
  fit <- if (isTRUE(case$weights)) lme4::lmer(formula, d, REML = reml, control = tight, weights = w)
         else lme4::lmer(formula, d, REML = reml, control = tight)
  small <- nrow(d) < 300
  answer <- list(
    tidy = columns(quiet(tidy(fit, conf.int = TRUE))),
    vcov = columns(quiet(tidy(fit, effects = "ran_pars", scales = "vcov"))),
    ran_vals = if (small) columns(quiet(tidy(fit, effects = "ran_vals", conf.int = TRUE))),
    ran_coefs = if (small) columns(quiet(tidy(fit, effects = "ran_coefs"))),
    mixed = if (small) columns(quiet(tidy(fit, effects = c("ran_vals", "fixed", "ran_pars")))),
    glance = columns(quiet(glance(fit))),
    augment = if (small) { a <- quiet(augment(fit)); columns(a[startsWith(names(a), ".")]) },
    icc = columns(quiet(icc(fit))), r2 = columns(quiet(as.data.frame(unclass(r2(fit))))),
    performance = columns(quiet(as.data.frame(model_performance(fit)))),
    compare = columns(quiet(as.data.frame(compare_performance(fit, lme4::lmer(update(formula, . ~ . ), d, REML = FALSE, control = tight)))))[c("AIC", "AICc", "BIC")],
    normality = as.numeric(quiet(check_normality(fit))),
    outliers = sum(as.logical(quiet(check_outliers(fit)))),
    text = list(icc = capture.output(print(quiet(icc(fit)))), r2 = capture.output(print(quiet(r2(fit)))),
                performance = capture.output(print(quiet(model_performance(fit)))))
  )
  if (!isTRUE(case$weights)) answer$by_group <- columns(quiet(icc(fit, by_group = TRUE)))
  if (case$id %in% c("oats_factor", "hsb_collinear", "pixel")) answer$collinearity <- columns(quiet(as.data.frame(check_collinearity(fit))))
  if (case$id %in% c("sleepstudy_unbalanced", "pastes", "oats_factor")) {
    test <- lmerTest::lmer(formula, d, REML = reml, control = tight)
    answer$satterthwaite <- columns(quiet(tidy(test, effects = "fixed", conf.int = TRUE, ddf.method = "Satterthwaite")))
    answer$kenward_roger <- columns(quiet(tidy(test, effects = "fixed", conf.int = TRUE, ddf.method = "Kenward-Roger")))
  }
  if (case$id %in% c("sleepstudy_unbalanced", "penicillin_crossed")) answer$profile <- columns(quiet(tidy(fit, conf.int = TRUE, conf.method = "profile")))
  out[[case$id]] <- answer
  cat(case$id, "\n")
}
writeLines(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null"), file.path(folder, "tidy.json"))
