# Writes reference/*.json: numbers with 17 digits and the text R made of them.
# Run from this directory:  Rscript make_reference.R
# The committed files were made with R 4.2.2, lme4 1.1-31 and lmerTest 3.1-3.
suppressMessages({
  library(lme4); library(nlme); library(mlmRev); library(jsonlite)
})
options(width = 80, digits = 7, scipen = 0, useFancyQuotes = TRUE)
set.seed(20240611)

exact <- function(x) {
  out <- sprintf("%.17g", x)
  out[is.na(x)] <- "NA"
  out[is.nan(x)] <- "NaN"
  as.list(unname(out))
}
exact_matrix <- function(m) {
  m <- as.matrix(m)
  lapply(seq_len(nrow(m)), function(i) exact(as.numeric(m[i, ])))
}
frame <- function(d) {
  list(index = as.list(rownames(d)), columns = as.list(colnames(d)),
       values = exact_matrix(d))
}
text_of <- function(expr) {
  lines <- capture.output(withCallingHandlers(expr,
    message = function(m) {
      cat(conditionMessage(m)); invokeRestart("muffleMessage")
    }))
  paste0(paste(lines, collapse = "\n"), "\n")
}
quietly_warned <- function(expr) suppressWarnings(expr)
quietly <- function(expr) suppressMessages(suppressWarnings(expr))
save_json <- function(x, name) {
  con <- file(file.path("reference", paste0(name, ".json")), "w", encoding = "UTF-8")
  writeLines(toJSON(x, auto_unbox = TRUE, null = "null"), con)
  close(con)
}
versions <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
                 lmerTest = as.character(packageVersion("lmerTest")))

# ---- numbers ---------------------------------------------------------------
random_vector <- function(kind) {
  n <- sample(1:6, 1)
  switch(kind,
    uniform = runif(n, -10, 10),
    magnitudes = rnorm(n) * 10^runif(n, -9, 9),
    wide = rnorm(n) * 10^sample(-30:30, n, TRUE),
    narrow = rnorm(n, 100, 0.01),
    ties = round(rnorm(n) * 100) / sample(c(2, 4, 8, 20, 200, 2000), 1),
    fives = (sample(0:99999, n, TRUE) + 0.5) / 10^sample(0:7, 1),
    zeros = c(0, rnorm(n) * 10^sample(-6:6, 1)),
    missing = c(NA, rnorm(n) * 10^sample(-6:6, 1)),
    infinite = c(Inf, -Inf, rnorm(n)),
    whole = as.numeric(sample(-100000:100000, n)),
    large = round(runif(n, 0, 10^sample(5:16, 1))),
    nines = (10^sample(0:7, n, TRUE)) - 10^sample(-6:1, n, TRUE),
    extreme = rnorm(n) * 10^sample(c(-305:-95, 95:305), n, TRUE),
    powers = 10^sample(-8:8, n, TRUE))
}
kinds <- c("uniform", "magnitudes", "wide", "narrow", "ties", "fives", "zeros", "missing",
           "infinite", "whole", "large", "nines", "extreme", "powers")
format_cases <- list()
for (i in 1:700) {
  x <- random_vector(kinds[(i - 1) %% length(kinds) + 1])
  digits <- if (i %% 10 == 0) sample(c(1, 2, 10, 15, 16), 1) else sample(3:7, 1)
  nsmall <- if (i %% 4 == 0) sample(1:4, 1) else 0
  format_cases[[i]] <- list(x = exact(x), digits = digits, nsmall = nsmall,
                            text = as.list(format(x, digits = digits, nsmall = nsmall)))
}
fixed_vectors <- list(99999.7, 99960, c(99960, 1), 999999.5, 0.15, 0.25, 0.35, 2.5, 1e5, 123456,
  c(1e5, 1), 1e-5, 1e-4, c(0.0001234567), 1e-99, 1e-100, 1e99, 1e100, 5e-324, .Machine$double.xmax,
  0, c(0, 0), NA_real_, c(NA_real_, NA_real_), -1e-300, 0.1 + 0.2, 1/3, 1e15, 1e16, 123456789012,
  c(-0.00001, 0.5), c(1.10, 2.20, 3.30), 100 * 1.1, c(1e-20, 1), c(1e10, 1), 314159.26535)
for (x in fixed_vectors) for (digits in c(1, 3, 4, 5, 6, 7, 15)) {
  format_cases[[length(format_cases) + 1]] <-
    list(x = exact(x), digits = digits, nsmall = 0, text = as.list(format(x, digits = digits)))
}
round_cases <- list()
for (i in 1:600) {
  x <- random_vector(sample(kinds[c(1:6, 10, 12)], 1))[1]
  d <- sample(c(0:8, -2, -1), 1)
  round_cases[[i]] <- list(x = exact(x)[[1]], digits = d, round = exact(round(x, d))[[1]],
                           signif = exact(signif(x, max(1, d)))[[1]])
}
zap_cases <- lapply(1:100, function(i) {
  x <- random_vector(sample(kinds[1:8], 1)); d <- sample(3:7, 1)
  list(x = exact(x), digits = d, text = exact(zapsmall(x, d)))
})
pvalue_cases <- lapply(1:300, function(i) {
  p <- switch(i %% 4 + 1, runif(sample(5, 1)), 10^-runif(sample(5, 1), 0, 20),
              c(0, 10^-runif(sample(3, 1), 0, 18)), c(runif(1), 0.001, 1, 1e-17)[1:sample(4, 1)])
  d <- sample(1:6, 1)
  eps <- sample(c(.Machine$double.eps, 1e-4, 1e-3), 1, prob = c(.7, .15, .15))
  list(p = exact(p), digits = d, eps = exact(eps)[[1]], text = as.list(format.pval(p, d, eps)))
})
save_json(list(versions = versions, format = format_cases, round = round_cases, zap = zap_cases,
               pvalue = pvalue_cases), "numbers")

# ---- names and formulas ----------------------------------------------------
syllables <- c("temp", "erature", "Days", "recipe", "I(", "^2)", ":", "poly(x, 2)", "log", "(x)",
               "score", "Exam", "period", ".L", ".Q", "A", "B", "1", "aeiou", "strength", " ",
               "standLRT", "sexF", "schgend", "girls", "factor(", ")", "mathach", "_", "x")
name_sets <- lapply(1:250, function(i) {
  n <- sample(1:6, 1)
  x <- replicate(n, paste(sample(syllables, sample(1:5, 1), TRUE), collapse = ""))
  x <- c(x, paste0(x[1], c("2", "33"))[seq_len(sample(0:2, 1))])
  minlength <- sample(c(4, 6, 11, 3, 8), 1)
  list(names = as.list(x), minlength = minlength,
       text = as.list(unname(abbreviate(x, minlength))))
})
formulas <- c(
  "y ~ x", "y~x+(1|g)", "log(y)~poly(x,2)*f-1+(0+x||g)", "y ~ a/b + c%in%d + a^2 + (1|g1:g2)",
  "y ~ .", "~ x", "y ~ -1 + !z", "a$b ~ x[1, 2] + x[[3]] + x[,1]", "y ~ `odd name` + 'a' ",
  "y ~ I(x**2) + 1e6 * z + 0.10 + 5L", "y == 2 ~ x >= 3 & z | w",
  paste("y ~", paste0("predictor", 1:12, collapse = " + "), "+ (1 | group)"),
  paste("y ~", paste0("predictor", 1:12, collapse = "*")),
  paste("y ~ x +", paste0("(1 + slope", 1:9, " | group", 1:9, ")", collapse = " + ")),
  paste("y ~ (", paste0("variable", 1:12, collapse = " + "), ")^2 + (1 | g)"),
  paste("some_long_response_name ~ x + (0 +", paste0("column", 1:15, collapse = " + "), "| g)"),
  paste("y ~ f(", paste0("argument", 1:14, " = ", 1:14, collapse = ", "), ") + z"),
  paste("y ~ f(a, g(b, h(", paste0("argument", 1:20, collapse = ", "), ")), c) + z"),
  paste("y ~", paste0("interaction", 1:9, ":other", 1:9, collapse = " + ")),
  paste("y ~", paste0("a", 1:40, collapse = "/")),
  paste("lmerControl(optimizer = \"bobyqa\", optCtrl = list(maxfun = 1e5),",
        "check.conv.grad = \"ignore\", calc.derivs = FALSE)"),
  "within(d, x, c(\"a\", \"b\"), aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbb, ccccc, d)")
for (i in 1:80) {
  pieces <- c("x", "Days", "I(Days^2)", "poly(age, 2)", "log(income + 1)", "a:b", "a*b", "sex",
              "school_type", "ns(time, df = 4)", "scale(verbal_score)", "(1 | school/class)",
              "(1 + time + I(time^2) | student)", "(0 + a + b + c | g:h)", "(a + b) * (c + d)",
              "relevel(f, ref = \"low\")", "-x2", "(time || teacher)", "offset(log(n))")
  chosen <- sample(pieces, sample(2:16, 1), TRUE)
  formulas <- c(formulas, paste("outcome ~", paste(chosen, collapse = " + ")))
}
deparse_cases <- lapply(formulas, function(f)
  list(formula = f, lines = as.list(deparse(parse(text = f, keep.source = FALSE)[[1]]))))
save_json(list(versions = versions, abbreviate = name_sets, deparse = deparse_cases), "words")

# ---- layout of vectors, matrices, coefficient tables ------------------------
vector_cases <- lapply(1:60, function(i) {
  n <- sample(1:25, 1)
  x <- rnorm(n) * 10^sample(-3:4, 1)
  names <- substring(strrep("abcdefghijkl", 3), 1, sample(1:30, n, TRUE))
  gap <- sample(1:2, 1)
  words <- format(x, digits = 4)
  list(names = as.list(names), values = as.list(words), gap = gap,
       text = text_of(print(setNames(words, names), quote = FALSE, print.gap = gap)))
})
matrix_cases <- lapply(1:60, function(i) {
  n <- sample(1:5, 1); p <- sample(1:14, 1)
  m <- matrix(rnorm(n * p) * 10^sample(-4:6, n * p, TRUE), n, p,
    dimnames = list(substring("abcdefghijklmnopqrst", 1, sample(1:20, n)),
                    substring("ABCDEFGHIJKLMNOPQRSTUV", 1, sample(1:15, p, TRUE))))
  if (i %% 3 == 0) m[sample(length(m), 1)] <- NA
  d <- as.data.frame(m)
  names(d) <- colnames(m)
  list(frame = frame(m), text = text_of(print(m)), frame_text = text_of(print(d)))
})
coef_cases <- lapply(1:240, function(i) {
  n <- sample(1:6, 1)
  est <- rnorm(n) * 10^runif(n, -sample(0:5, 1), sample(0:5, 1))
  if (i %% 5 == 0) est <- round(est)
  se <- abs(est) * runif(n, 0.05, 2) + 10^-sample(1:8, 1)
  tv <- est / se
  df <- if (i %% 2) runif(n, 2, 300) else round(runif(n, 2, 300)) + c(0, 1e-5)[sample(2, n, TRUE)]
  p <- 2 * pt(-abs(tv) * sample(c(1, 5, 20), 1), df)
  m <- switch(i %% 3 + 1, cbind(Estimate = est, `Std. Error` = se, `t value` = tv),
    cbind(Estimate = est, `Std. Error` = se, `z value` = tv, `Pr(>|z|)` = p),
    cbind(Estimate = est, `Std. Error` = se, df = df, `t value` = tv, `Pr(>|t|)` = p))
  rownames(m) <- c("(Intercept)", "Days", "temperature.L", "a:b", "poly(x, 2)1", "z")[1:n]
  if (i %% 11 == 0) m[sample(n, 1), ] <- NA
  digits <- sample(3:6, 1)
  list(frame = frame(m), digits = digits, text = text_of(printCoefmat(m, digits = digits)))
})
anova_table_cases <- lapply(1:80, function(i) {
  n <- sample(1:5, 1)
  ss <- abs(rnorm(n)) * 10^runif(n, -4, 6)
  f <- rexp(n) * 10^sample(0:2, 1)
  p <- pf(f * 3, 1, 30, lower.tail = FALSE)
  npar <- sample(1:9, n, TRUE)
  m <- switch(i %% 4 + 1,
    data.frame(npar = npar, `Sum Sq` = ss, `Mean Sq` = ss / npar, `F value` = f,
               check.names = FALSE),
    data.frame(`Sum Sq` = ss, `Mean Sq` = ss / npar, NumDF = npar, DenDF = runif(n, 5, 200),
               `F value` = f, `Pr(>F)` = p, check.names = FALSE),
    data.frame(npar = 3 + npar, AIC = 1000 + ss, BIC = 1010 + ss, logLik = -500 - ss / 2,
               deviance = 1000 + ss, Chisq = c(NA, f)[1:n], Df = c(NA, npar)[1:n],
               `Pr(>Chisq)` = c(NA, p)[1:n], check.names = FALSE),
    data.frame(npar = c(NA, npar)[1:n], AIC = ss, LRT = c(NA, f)[1:n], `Pr(Chi)` = c(NA, p)[1:n],
               check.names = FALSE))
  rownames(m) <- c("<none>", "Days", "recipe:temperature", "f", "model5")[1:n]
  heading <- "Analysis of Variance Table"
  list(frame = frame(m), heading = as.list(heading),
       text = text_of(print(structure(m, heading = heading, class = c("anova", "data.frame")))))
})
save_json(list(versions = versions, vector = vector_cases, matrix = matrix_cases,
               coefmat = coef_cases, anova = anova_table_cases), "layout")

# ---- fitted models ---------------------------------------------------------
terms_of <- function(m) {
  v <- VarCorr(m)
  lapply(seq_along(v), function(i)
    list(name = names(v)[i], columns = as.list(rownames(v[[i]])),
         covariance = exact_matrix(v[[i]]), sd = exact(attr(v[[i]], "stddev"))))
}
one_line <- function(x) if (is.null(x)) NULL else paste(deparse(x, 500), collapse = "")
class_of_lme4 <- function(m) if (is(m, "glmerMod")) "glmerMod" else "lmerMod"
parts_of <- function(m, coefs = coef(summary(m)), ddf = NULL) {
  v <- VarCorr(m)
  opt <- m@optinfo
  aic <- summary(m)$AICtab
  list(formula = one_line(formula(m)), varcorr = terms_of(m),
    sigma = if (attr(v, "useSc")) exact(attr(v, "sc"))[[1]] else NULL,
    nobs = nobs(m), ngroups = as.list(ngrps(m)), coefficients = frame(coefs),
    criterion = list(names = as.list(names(aic)), values = exact(as.numeric(aic))),
    title = summary(as(m, class_of_lme4(m)))$methTitle, ddf = ddf,
    class_name = class(m)[1],
    family = if (is(m, "glmerMod")) family(m)$family else NULL,
    link = if (is(m, "glmerMod")) family(m)$link else NULL,
    data = one_line(m@call$data), weights = one_line(m@call$weights),
    offset = one_line(m@call$offset), control = one_line(m@call$control),
    subset = one_line(m@call$subset),
    residual_quantiles = exact(quantile(residuals(m, "pearson", scaled = TRUE))),
    correlation = if (nrow(coefs)) exact_matrix(cov2cor(as.matrix(vcov(m)))) else NULL,
    fit_warnings = as.list(c(attr(m@pp$X, "msgRankdrop"), attr(m@pp$X, "msgScaleX"))),
    optimizer = opt$optimizer, convergence_code = opt$conv$opt,
    convergence_message = if (is.null(opt$message)) "" else opt$message,
    messages = as.list(opt$conv$lme4$messages),
    optimizer_warnings = as.list(unlist(opt$warnings)))
}
set.seed(1)  # with this noise lme4 finds a zero variance and so a NaN correlation
sleep <- within(sleepstudy, {
  w <- rep(c(1, 2, 5), 60); twice <- 2 * Days; big <- Reaction * 1e9; tiny <- Reaction * 1e-7
  noise <- rnorm(180)
  a_rather_long_name_of_a_grouping_factor <- Subject
  another_long_name_of_a_grouping_factor <- factor(rep(1:10, 18))
})
calendar <- within(sleepstudy, Days <- Days * 1e6)
bobyqa <- lmerControl(optimizer = "bobyqa")
fits <- quietly(list(
  sleep_reml = lmer(Reaction ~ Days + (Days | Subject), sleepstudy),
  sleep_ml = lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE),
  sleep_double_bar = lmer(Reaction ~ Days + (Days || Subject), sleepstudy),
  penicillin = lmer(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin),
  pastes = lmer(strength ~ 1 + (1 | batch/cask), Pastes),
  dyestuff = lmer(Yield ~ 1 + (1 | Batch), Dyestuff),
  zero_variance = lmer(Yield ~ 1 + (1 | Batch), Dyestuff2),
  cake_reml = lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake),
  cake_ml = lmer(angle ~ recipe + temperature + (1 | recipe:replicate), cake, REML = FALSE),
  singular = lmer(Reaction ~ Days + (Days | Subject), sleepstudy[1:30, ]),
  nan_correlation = lmer(noise ~ Days + (1 + Days | Subject), sleep),
  weights_offset_subset = lmer(Reaction ~ Days + (1 | Subject), sleep, weights = w,
    offset = Days/10, subset = Days > 1, control = lmerControl(optimizer = "bobyqa")),
  rank_deficient = lmer(Reaction ~ Days + twice + I(3 * Days) + (1 | Subject), sleep),
  three_by_three = lmer(Reaction ~ Days + (Days + I(Days^2) | Subject), sleepstudy),
  machines = lmer(score ~ Machine + (0 + Machine | Worker), Machines),
  hsb = lmer(mAch ~ meanses * cses + sector * cses + (cses | school), Hsb82),
  exam = lmer(normexam ~ standLRT + sex + schgend + (standLRT | school), Exam),
  scots = lmer(attain ~ verbal * sex + (1 | primary) + (1 | second), ScotsSec, REML = FALSE),
  oxboys = lmer(height ~ age + I(age^2) + (age | Subject), Oxboys),
  orthodont = lmer(distance ~ age * Sex + (age | Subject), Orthodont, REML = FALSE),
  long_formula = lmer(Reaction ~ Days + I(Days^2) + sin(Days) + cos(Days) + sqrt(Days + 1) +
    noise + Days:noise + (1 + Days | Subject) + (0 + noise | Subject) +
    (1 | another_long_name_of_a_grouping_factor), sleep),
  big_numbers = lmer(big ~ Days + (Days | Subject), sleep),
  tiny_numbers = lmer(tiny ~ Days + (Days | Subject), sleep),
  many_correlations = lmer(Reaction ~ Days + (1 + Days + noise + sin(Days) + cos(Days) +
    sqrt(Days + 1) + I(noise^2) + I(Days * noise) | Subject), sleep, control = lmerControl(
      check.nobs.vs.nRE = "ignore", calc.derivs = FALSE)),
  no_fixed_effects = lmer(Reaction ~ 0 + (1 | Subject), sleepstudy),
  no_intercept = lmer(Reaction ~ 0 + factor(Days) + (1 | Subject), sleepstudy),
  long_group_names = lmer(Reaction ~ Days + (1 | a_rather_long_name_of_a_grouping_factor) +
    (1 | another_long_name_of_a_grouping_factor), sleep),
  not_converged = lmer(Reaction ~ Days + (Days | Subject), sleepstudy,
    control = lmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 10))),
  warned_only = lmer(Reaction ~ Days + (Days | Subject), sleepstudy,
    control = lmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 85))),
  long_control = lmer(Reaction ~ Days + (Days | Subject), sleepstudy,
    control = lmerControl(optimizer = "Nelder_Mead", optCtrl = list(maxfun = 10),
      check.nobs.vs.nRE = "ignore", check.rankX = "silent.drop.cols",
      check.scaleX = "silent.rescale")),
  scale_warning = lmer(Reaction ~ Days + (Days | Subject), calendar),
  binomial = glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial),
  binomial_agq = glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial,
    nAGQ = 9),
  poisson = glmer(TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION), grouseticks, poisson)
))
cases <- lapply(names(fits), function(id) {
  m <- fits[[id]]
  list(id = id, parts = quietly(parts_of(m)), print = text_of(print(m)),
       summary = text_of(print(summary(m))),
       summary_correlation = text_of(print(summary(m, correlation = TRUE), correlation = TRUE)),
       varcorr = text_of(print(VarCorr(m))),
       varcorr_both = text_of(print(VarCorr(m), comp = c("Variance", "Std.Dev."))),
       varcorr_variance = text_of(print(VarCorr(m), comp = "Variance", digits = 7)))
})
save_json(list(versions = versions, cases = cases), "models")

# ---- lmerTest --------------------------------------------------------------
suppressMessages(library(lmerTest))
tested <- c("sleep_reml", "sleep_ml", "sleep_double_bar", "penicillin", "pastes", "zero_variance",
            "cake_reml", "cake_ml", "singular", "machines", "hsb", "exam", "scots", "oxboys",
            "orthodont", "big_numbers", "no_intercept", "weights_offset_subset")
lmertest_cases <- lapply(tested, function(id) {
  m <- quietly(as_lmerModLmerTest(fits[[id]]))
  s <- quietly(summary(m))
  a <- quietly(anova(m))
  list(id = id, parts = quietly(parts_of(m, coef(s), "Satterthwaite")), print = text_of(print(m)),
       summary = text_of(quietly_warned(print(summary(m)))),
       anova = list(frame = frame(a), heading = as.list(attr(a, "heading")),
                    text = text_of(print(a))))
})
anova_of <- function(a) list(frame = frame(a), heading = as.list(attr(a, "heading")),
                             text = text_of(print(a)))
m1 <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy, REML = FALSE)
m2 <- lmer(Reaction ~ Days + (Days || Subject), sleepstudy, REML = FALSE)
m3 <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE)
c1 <- quietly(lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake, REML = FALSE))
anova_cases <- quietly(list(
  anova_of(anova(m1, m2, m3)), anova_of(anova(m1, m3)),
  anova_of(anova(fits$sleep_reml)), anova_of(anova(fits$cake_reml)), anova_of(anova(fits$hsb)),
  anova_of(ranova(lmer(Reaction ~ Days + (Days | Subject), sleepstudy))),
  anova_of(drop1(lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake))),
  anova_of(anova(c1, type = 2)),
  anova_of(drop1(fits$cake_ml, test = "Chisq")), anova_of(drop1(fits$sleep_ml, test = "none"))))
two <- quietly(lmer(strength ~ 1 + (1 | batch) + (1 | cask), Pastes))
ranef_of <- function(m, condVar) {
  r <- ranef(m, condVar = condVar)
  list(tables = lapply(names(r), function(n) list(name = n, frame = frame(r[[n]]))),
       condvar = condVar, text = text_of(print(r)))
}
ranef_cases <- list(ranef_of(fits$sleep_reml, TRUE), ranef_of(fits$sleep_reml, FALSE),
                    ranef_of(two, TRUE), ranef_of(fits$penicillin, FALSE),
                    ranef_of(fits$machines, TRUE))
save_json(list(versions = versions, cases = lmertest_cases, anova = anova_cases,
               ranef = ranef_cases), "lmertest")
