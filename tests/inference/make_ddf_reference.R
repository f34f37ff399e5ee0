# make_ddf_reference.R: what lmerTest and pbkrtest say about the degrees of freedom of a fit.
#
#   python -m tests.inference.ddf_cases | Rscript tests/inference/make_ddf_reference.R
#
# Models are fitted with a tight optimizer, started at the optimum that the parity suite knows.

suppressPackageStartupMessages({
    library(lmerTest)
    library(pbkrtest)
    library(jsonlite)
})
source("parity/lme4_reference.R")

TIGHT <- lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhobeg = 2e-3, rhoend = 1e-11, maxfun = 1e5), calc.derivs = FALSE
)
LARGEST_FOR_KENWARD_ROGER <- 700L

table_of <- function(x) {
    x <- as.data.frame(x)
    list(rows = rownames(x), columns = colnames(x), values = unname(as.matrix(x)))
}

quietly <- function(expression) suppressMessages(suppressWarnings(expression))

ddf_reference <- function(case) {
    frame <- read_frame(case$path, case$types)
    start <- if (length(case$theta)) list(start = list(theta = unlist(case$theta))) else list()
    fit <- quietly(eval(do.call(case_call, c(list(case, quote(lmerTest::lmer), control = quote(TIGHT)), start))))
    terms <- attr(terms(fit), "term.labels")
    every <- diag(length(fixef(fit)))
    no_intercept <- every[names(fixef(fit)) != "(Intercept)", , drop = FALSE]
    answers <- function(ddf, types) {
        out <- list(coefficients = table_of(quietly(coef(summary(fit, ddf = ddf)))))
        if (length(terms)) {
            out$anova <- lapply(setNames(types, types), function(type) {
                table_of(quietly(anova(fit, type = type, ddf = ddf)))
            })
        }
        if (nrow(no_intercept) > 1L) out$joint <- table_of(quietly(contest(fit, no_intercept, ddf = ddf)))
        out$each <- table_of(quietly(contest(fit, every, joint = FALSE, ddf = ddf)))
        out
    }
    out <- list(
        id = unbox(case$id), formula = unbox(case$formula),
        versions = lapply(list(
            R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")),
            lmerTest = as.character(packageVersion("lmerTest")), pbkrtest = as.character(packageVersion("pbkrtest"))
        ), unbox),
        criterion = unbox(deviance(fit, REML = case$REML)), is_singular = unbox(isSingular(fit)),
        Satterthwaite = answers("Satterthwaite", c("I", "II", "III"))
    )
    if (length(terms)) out$lme4 <- list(anova = table_of(quietly(anova(fit, ddf = "lme4"))))
    if (case$REML && is.null(case$weights) && nobs(fit) <= LARGEST_FOR_KENWARD_ROGER) {
        out$`Kenward-Roger` <- answers("Kenward-Roger", "III")
        out$`Kenward-Roger`$vcov <- unname(as.matrix(vcovAdj(fit)))
    }
    if (isTRUE(case$printed)) {
        show <- function(x) paste0(paste(capture.output(print(x)), collapse = "\n"), "\n")
        out$printed <- list(
            summary = unbox(show(summary(fit))), anova = unbox(show(anova(fit))),
            lme4 = unbox(show(anova(fit, ddf = "lme4"))), tests = lapply(show_tests(anova(fit)), table_of)
        )
        if (case$REML && is.null(case$weights)) {
            out$printed$summary_kr <- unbox(show(summary(fit, ddf = "Kenward-Roger")))
            out$printed$anova_kr <- unbox(show(anova(fit, type = "II", ddf = "Kenward-Roger")))
        }
    }
    out
}

cases <- fromJSON(file("stdin"), simplifyVector = FALSE)
for (case in cases) {
    seconds <- system.time(reference <- ddf_reference(case))[["elapsed"]]
    text <- as.character(toJSON(reference, digits = I(16), na = "null", null = "null"))
    writeLines(text, file.path("tests/inference/reference", paste0("ddf_", case$id, ".json")))
    cat(sprintf("%-45s %6.1f s%s\n", case$id, seconds, if (reference$is_singular) "  singular" else ""))
}
