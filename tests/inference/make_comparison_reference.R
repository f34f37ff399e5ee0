# make_comparison_reference.R: model comparisons by lme4, lmerTest, pbkrtest and RLRsim, as JSON.
#
#   python tests/inference/comparison_cases.py > cases.json
#   Rscript tests/inference/make_comparison_reference.R cases.json tests/inference/reference/comparison.json
#
# from the top of the repository.  The committed file was made with R 4.2.2, lme4 1.1-31,
# lmerTest 3.1-3, pbkrtest 0.5.2 and RLRsim 3.1-8.

source("parity/lme4_reference.R")
suppressPackageStartupMessages({
    library(lmerTest)
    library(pbkrtest)
    library(RLRsim)
})
options(width = 80, digits = 7, useFancyQuotes = TRUE)

TIGHT <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE)
DRAWS <- 100000L
LEVELS <- c(0.5, 0.75, 0.9, 0.95, 0.99)
BOOTSTRAPPED <- c("oats", "ergo")
NSIM <- 1000L
LARGE <- c("hsb", "exam", "scots")

quiet <- function(expr) suppressMessages(suppressWarnings(expr))
text <- function(x) paste0(paste(capture.output(print(x)), collapse = "\n"), "\n")
printed_by <- function(expr) paste0(paste(capture.output(expr), collapse = "\n"), "\n")
table_of <- function(x) list(rows = rownames(x), columns = colnames(x), values = unname(as.matrix(as.data.frame(x))),
                             text = text(x))

# The exact tests, for models with one variance of one column.
exact_tests <- function(fit) {
    if (length(fit@theta) != 1) return(NULL)
    reml <- quiet(update(fit, REML = TRUE)); ml <- quiet(update(fit, REML = FALSE))
    X <- getME(fit, "X"); Z <- as.matrix(getME(fit, "Z"))
    w <- sqrt(weights(fit)); wX <- X * w; wZ <- Z * w
    set.seed(1)
    restricted <- RLRTSim(wX, wZ, qr(wX), diag(ncol(Z)), nsim = DRAWS)
    full <- LRTSim(wX, wZ, q = 0, diag(ncol(Z)), nsim = DRAWS)
    observed <- tryCatch({
        if (any(weights(fit) != 1)) stop("RLRsim ignores weights in the statistic")
        null <- lm(fixed_formula(fit), frame)
        restricted_test <- quiet(exactRLRT(reml, nsim = DRAWS)); full_test <- quiet(exactLRT(ml, null, nsim = DRAWS))
        list(RLRT = unname(restricted_test$statistic), RLRT_p = unname(restricted_test$p.value),
             LRT = unname(full_test$statistic), LRT_p = unname(full_test$p.value))
    }, error = function(e) NULL)
    list(observed = observed, RLRT = unname(quantile(restricted, LEVELS)), LRT = unname(quantile(full, LEVELS)),
         zero = c(mean(restricted < 1e-8), mean(full < 1e-8)))
}
fixed_formula <- function(fit) formula(fit, fixed.only = TRUE)

bootstrap <- function(fit) {
    label <- tail(attr(terms(fit), "term.labels"), 1)
    large <- quiet(as(update(fit, REML = FALSE), "lmerMod"))
    small <- quiet(update(large, as.formula(paste(". ~ . -", label))))
    made <- quiet(PBmodcomp(large, small, nsim = NSIM, seed = 1))
    s <- summary(made)
    ref <- as.numeric(made$ref)
    list(dropped = label, test = as.matrix(made$test), moments = unname(s$moment), quantiles = unname(quantile(ref, LEVELS)),
         summary = as.matrix(s$test), few = list(ref = as.numeric(ref), p = unname(made$test["PBtest", "p.value"])),
         text = text(made), summary_text = text(s))
}

arguments <- commandArgs(trailingOnly = TRUE)
answers <- list()
for (case in fromJSON(arguments[1], simplifyVector = FALSE)) {
    began <- Sys.time()
    frame <- read_frame(case$path, case$types)
    fit <- quiet(eval(case_call(case, quote(lmerTest::lmer), control = quote(TIGHT))))
    ml <- quiet(eval(case_call(modifyList(case, list(REML = FALSE)), quote(lme4::lmer), control = quote(TIGHT))))
    one <- list(criterion = -2 * as.numeric(logLik(fit)), ml = -2 * as.numeric(logLik(ml)))
    if (length(attr(terms(ml), "term.labels")) > 0) {
        one$drop1 <- table_of(quiet(drop1(ml, test = "Chisq")))
        one$drop1_none <- text(quiet(drop1(ml)))
    }
    one$ranova <- table_of(quiet(ranova(fit)))
    one$ranova_whole <- table_of(quiet(ranova(fit, reduce.terms = FALSE)))
    if (!case$id %in% LARGE) {
        made <- quiet(step(fit))
        one$step <- list(random = table_of(made$random), fixed = table_of(made$fixed), text = text(made))
    }
    one$exact <- exact_tests(fit)
    if (case$id %in% BOOTSTRAPPED) one$bootstrap <- bootstrap(fit)
    answers[[case$id]] <- one
    cat(case$id, format(Sys.time() - began), "\n", file = stderr())
}

# Several models at once, as lme4 prints them.
sleepstudy <- lme4::sleepstudy
with_ml <- function(formula, ...) quiet(lme4::lmer(formula, sleepstudy, control = TIGHT, ...))
fm0 <- with_ml(Reaction ~ 1 + (Days | Subject)); fm1 <- with_ml(Reaction ~ Days + (Days | Subject))
fm2 <- with_ml(Reaction ~ Days + (1 | Subject)); fm3 <- with_ml(Reaction ~ Days + I(Days^2) + (1 | Subject))
ml0 <- with_ml(Reaction ~ 1 + (Days | Subject), REML = FALSE); ml1 <- with_ml(Reaction ~ Days + (Days | Subject), REML = FALSE)
ml2 <- with_ml(Reaction ~ Days + (1 | Subject), REML = FALSE)
ml3 <- with_ml(Reaction ~ Days + I(Days^2) + (1 | Subject), REML = FALSE)
anovas <- list(
    refitted = table_of(quiet(anova(ml1, ml0, ml2, ml3, model.names = c("fm1", "fm0", "fm2", "fm3")))),
    not_refitted = table_of(quiet(anova(fm1, fm2, refit = FALSE))),
    same = table_of(quiet(anova(ml1, ml1, model.names = c("a", "b"))))
)
tests <- list(
    KR = table_of(summary(quiet(KRmodcomp(fm1, fm0)))), KR_text = printed_by(invisible(summary(quiet(KRmodcomp(fm1, fm0))))),
    SAT_text = text(quiet(SATmodcomp(fm1, cbind(0, 1))))
)
# exactRLRT with several variance components
mA <- with_ml(Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)); m <- with_ml(Reaction ~ Days + (0 + Days | Subject))
tests$three <- unname(quiet(exactRLRT(m, mA, fm2, nsim = 1000))$statistic)
tests$exact_text <- text(exactRLRT(fm2, nsim = 2000, seed = 1))

versions <- sapply(c("lme4", "lmerTest", "pbkrtest", "RLRsim"), function(p) as.character(packageVersion(p)))
out <- list(R = R.version.string, packages = as.list(versions), draws = DRAWS, levels = LEVELS, nsim = NSIM,
            cases = answers, anovas = anovas, tests = tests)
writeLines(toJSON(out, auto_unbox = TRUE, digits = I(12), null = "null", na = "null"), arguments[2])
