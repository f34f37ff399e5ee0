# Writes robust.json: clubSandwich's covariances and tests of the models in cases.json.
# Run from the root of the repository:  Rscript tests/inference/reference/make_robust_reference.R
# Weighted models are fitted with nlme, since clubSandwich refuses prior weights of lme4.
suppressMessages({library(lme4); library(nlme); library(clubSandwich); library(jsonlite)})
invisible(Sys.setlocale("LC_COLLATE", "C"))
folder <- "tests/inference/reference"
source(file.path(folder, "case_data.R"))
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE)
types <- c("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")

out <- list(versions = list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
                            nlme = as.character(packageVersion("nlme")), clubSandwich = as.character(packageVersion("clubSandwich"))))
for (case in cases) {
  if (isFALSE(case$robust)) next
  d <- data_of(case)
  if (is.null(case$lme)) {
    reml <- is.null(case$REML) || case$REML
    formula <- if (is.null(case$r_formula)) case$formula else case$r_formula   # clubSandwich forgets offsets
    fit <- lme4::lmer(as.formula(formula), d, REML = reml, control = tight)
    beta <- fixef(fit)
    theta <- getME(fit, "theta")
  } else {
    fit <- lme(as.formula(case$lme[[1]]), random = as.formula(case$lme[[2]]), data = d, weights = varFixed(~ I(1 / w)),
               control = lmeControl(msMaxIter = 500, msMaxEval = 1000, niterEM = 100, tolerance = 1e-12, msTol = 1e-13))
    beta <- fixef(fit)
    theta <- NULL
  }
  args <- list()
  if (!is.null(case$cluster_mod)) args$cluster <- as.integer(d[[case$cluster_mod[[1]]]]) %% case$cluster_mod[[2]]
  used <- if (case$id == "sleepstudy_own_column") setdiff(types, "CR3") else types   # there CR3 has no inverse
  vcov <- lapply(setNames(used, used), function(type) as.matrix(do.call(vcovCR, c(list(fit, type = type), args))))
  tests <- lapply(setNames(used, used), function(type) {
    t <- do.call(coef_test, c(list(fit, vcov = type, test = c("z", "naive-t", "naive-tp", "Satterthwaite")), args))
    lapply(as.list(as.data.frame(t)[c("SE", "df_t", "df_tp", "df_Satt", "p_z", "p_t", "p_tp", "p_Satt")]), I)
  })
  shown <- do.call(coef_test, c(list(fit, vcov = "CR2"), args))
  out[[case$id]] <- list(beta = I(unname(beta)), names = as.list(names(beta)), theta = unname(theta),
                         vcov = lapply(vcov, function(V) I(unname(V))), tests = tests, text = capture.output(print(shown)))
  cat(case$id, "\n")
}
writeLines(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = FALSE, na = "string", matrix = "rowmajor"), file.path(folder, "robust.json"))
