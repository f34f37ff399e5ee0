# make_lmlist_reference.R: lme4's lmList on several data sets, as JSON.
#
#   Rscript tests/inference/make_lmlist_reference.R tests/inference/reference/lmlist.json
#
# from the top of the repository.  The committed file was made with R 4.2.2 and lme4 1.1-31.
# Where a group lacks a coefficient, lme4 1.1-31 pools with n - p degrees of freedom instead of n - rank (the sum may
# be negative, sigma NaN), and standard errors of groups without degrees of freedom are 0/0.  Therefore what
# lm says of each group is stored too: the sums of squares, degrees of freedom and unscaled standard errors.

suppressPackageStartupMessages({
    library(lme4)
    library(jsonlite)
})
invisible(Sys.setlocale("LC_COLLATE", "C"))

read_one <- function(path, factors = character()) {
    d <- read.csv(path, stringsAsFactors = FALSE)
    for (name in factors) d[[name]] <- factor(as.character(d[[name]]))
    i <- seq_len(nrow(d))
    d$w <- 0.5 + (i %% 5) / 2
    d$o <- (i %% 3) / 10
    d
}
ragged <- function(d, modulus, keep) d[(seq_len(nrow(d))^2) %% modulus < keep, , drop = FALSE]

sleep <- read_one("fastlmm_hlm/datasets/sleepstudy.csv", "Subject")
hsb <- read_one("fastlmm_hlm/datasets/Hsb82.csv", c("school", "sx", "minrty", "sector"))
oats <- read_one("parity/data/Oats.csv", c("Block", "Variety"))
egsingle <- read_one("parity/data/egsingle.csv.gz", c("schoolid", "childid", "female", "black"))
orthodont <- read_one("parity/data/Orthodont.csv", c("Subject", "Sex"))

# Standard errors of one lm over its residual standard deviation, NA for coefficients that it dropped.
unscaled_se <- function(m, names) {
    out <- setNames(rep(NA_real_, length(names)), names)
    if (!is.null(m)) {
        own <- sqrt(diag(chol2inv(qr.R(m$qr)[seq_len(m$rank), seq_len(m$rank), drop = FALSE])))
        out[names(coef(m))[m$qr$pivot[seq_len(m$rank)]]] <- own
    }
    out
}

quiet <- function(x) suppressWarnings(x)
calls <- list(
    sleepstudy = quote(lmList(Reaction ~ Days | Subject, sleep)),
    sleepstudy_quadratic_ragged = quote(lmList(Reaction ~ Days + I(Days^2) | Subject, ragged(sleep, 19, 9))),
    sleepstudy_very_ragged = quote(lmList(Reaction ~ Days | Subject, ragged(sleep, 23, 3))),
    sleepstudy_weights_offset = quote(lmList(Reaction ~ Days | Subject, sleep, weights = w, offset = o)),
    sleepstudy_subset = quote(lmList(Reaction ~ Days | Subject, sleep, subset = Days > 2)),
    sleepstudy_not_pooled = quote(lmList(Reaction ~ Days | Subject, sleep, pool = FALSE)),
    hsb_two_covariates = quote(lmList(mAch ~ cses + ses | school, hsb)),
    hsb_factors = quote(lmList(mAch ~ cses + minrty | school, hsb)),
    hsb_single_sex_schools = quote(lmList(mAch ~ cses + sx | school, hsb)),
    hsb_no_intercept = quote(lmList(mAch ~ 0 + cses | school, hsb)),
    oats = quote(lmList(yield ~ nitro | Block, oats)),
    oats_factor = quote(lmList(yield ~ nitro + Variety | Block, oats)),
    egsingle_children = quote(lmList(math ~ year | childid, ragged(egsingle, 29, 9))),
    orthodont_means = quote(lmList(distance ~ 1 | Subject, orthodont))
)
out <- list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")))
for (name in names(calls)) {
    said <- character()
    fit <- withCallingHandlers(eval(calls[[name]]), warning = function(w) { said <<- c(said, conditionMessage(w)); invokeRestart("muffleWarning") })
    table <- quiet(tryCatch(summary(fit)$coefficients, error = function(e) NULL))
    b <- as.matrix(coef(fit))
    head_and_squares <- function(x) list(first = head(unname(x), 12), sum_of_squares = sum(x^2, na.rm = TRUE))
    per_group <- vapply(fit, function(m) if (is.null(m)) c(0, 0) else c(sum(weighted.residuals(m)^2), m$df.residual), c(0, 0))
    unscaled <- t(vapply(fit, unscaled_se, numeric(ncol(b)), names = colnames(b)))
    if (ncol(b) == 1) unscaled <- t(unscaled)
    answer <- list(
        names = colnames(b), groups = rownames(b), coef = unname(b), fixef = unname(fixef(fit)), sigma = sigma(fit), said = said,
        df = sum(per_group[2, ]), sigma_by_definition = sqrt(sum(per_group[1, ]) / sum(per_group[2, ])), unscaled_se = unname(unscaled)
    )
    if (nrow(b) <= 30) answer <- c(answer, list(
        confint = quiet(unname(tryCatch(confint(fit)[, , , drop = TRUE], error = function(e) NULL))),
        pooled = quiet(unname(tryCatch(confint(fit, pool = TRUE)[, , , drop = TRUE], error = function(e) NULL))),
        se = if (!is.null(table)) unname(table[, 2, ]), p = if (!is.null(table)) unname(table[, 4, ])
    ))
    rows <- tryCatch(list(fitted = head_and_squares(as.numeric(fitted(fit))), residuals = head_and_squares(as.numeric(residuals(fit)))), error = function(e) NULL)
    answer$rows <- rows
    if (name %in% c("sleepstudy", "orthodont_means")) answer$text <- list(print = capture.output(print(fit)), summary = capture.output(print(summary(fit))))
    if (name == "sleepstudy") answer$predicted <- as.numeric(predict(fit, data.frame(Subject = c("308", "372", "309"), Days = c(1, 20, 4.5))))
    out$cases[[name]] <- answer
}
out$no_bar <- tryCatch(lmList(Reaction ~ Days, sleep), error = conditionMessage)
writeLines(toJSON(out, digits = I(12), auto_unbox = TRUE, na = "null", null = "null"), commandArgs(trailingOnly = TRUE)[1])
