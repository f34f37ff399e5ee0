# lme4_reference.R: what lme4 says about one case, as JSON.
#
# The best theta is looked for in two ways: with lme4's own optimizers, and by
# BOBYQA and Newton steps on lme4's own deviance function in coordinates where
# each random-effects term has uncorrelated columns of mean square one.  There
# the sign of a column does not matter, so a singular optimum is an ordinary
# stationary point.  lme4_search.R has the search; this file has the answers.

suppressPackageStartupMessages({
    library(lme4)
    library(jsonlite)
})

MANY_LEVELS <- 200L
SHOWN_LEVELS <- 50L
SHOWN_ROWS <- 10L

read_frame <- function(path, types) {
    frame <- read.csv(path, check.names = FALSE, colClasses = "character", na.strings = "NA")
    for (name in names(types)) {
        kind <- types[[name]]
        frame[[name]] <- switch(
            kind$type,
            factor = factor(frame[[name]], levels = unlist(kind$levels), ordered = kind$ordered),
            integer = as.integer(frame[[name]]),
            number = as.numeric(frame[[name]]),
            text = frame[[name]]
        )
    }
    frame
}

# The call `what(formula, data = frame, ...)` with the arguments of the case.
case_call <- function(case, what, ...) {
    arguments <- list(formula = as.formula(case$formula), data = quote(frame), REML = case$REML)
    for (name in c("weights", "offset", "subset")) {
        if (!is.null(case[[name]])) arguments[[name]] <- str2lang(case[[name]])
    }
    if (!is.null(case$contrasts)) arguments$contrasts <- case$contrasts
    as.call(c(what, arguments, list(...)))
}

# A default fit and everything it said, in the order in which it was said.
default_fit <- function(case, frame) {
    said <- character()
    fit <- withCallingHandlers(
        eval(case_call(case, quote(lme4::lmer))),
        warning = function(w) { said <<- c(said, conditionMessage(w)); invokeRestart("muffleWarning") },
        message = function(m) { said <<- c(said, conditionMessage(m)); invokeRestart("muffleMessage") }
    )
    list(fit = fit, messages = unique(trimws(c(said, unlist(fit@optinfo$conv$lme4$messages)))))
}

model_parts <- function(case, frame) {
    suppressMessages(suppressWarnings(eval(case_call(case, quote(lme4::lFormula)))))
}

# Columns of the raw model matrix of each term, one row per observation.
term_columns <- function(reTrms) {
    Map(function(Zt, names) {
        nc <- length(names)
        matrix(vapply(seq_len(nc), function(j) {
            as.vector(Matrix::colSums(Zt[seq(j, nrow(Zt), by = nc), , drop = FALSE]))
        }, numeric(ncol(Zt))), ncol = nc)
    }, reTrms$Ztlist, reTrms$cnms)
}

shown <- function(n) seq_len(if (n > MANY_LEVELS) SHOWN_LEVELS else n)

vector_summary <- function(x) {
    x <- unname(x)
    list(first = head(x, SHOWN_ROWS), sum_of_squares = unbox(sum(x^2)))
}

conditional_sd <- function(variances) {
    size <- dim(variances)[1L]
    matrix(vapply(seq_len(size), function(j) sqrt(pmax(variances[j, j, ], 0)), numeric(dim(variances)[3L])), ncol = size)
}

modes_summary <- function(fit) {
    modes <- ranef(fit, condVar = TRUE)
    lapply(names(modes), function(factor_name) {
        b <- as.matrix(modes[[factor_name]])
        variances <- attr(modes[[factor_name]], "postVar")
        if (!is.list(variances)) variances <- list(variances)
        sds <- do.call(cbind, lapply(variances, conditional_sd))
        rows <- shown(nrow(b))
        list(
            grpvar = unbox(factor_name), n_levels = unbox(nrow(b)), terms = colnames(b), levels = rownames(b)[rows],
            condval = unname(b[rows, , drop = FALSE]), condsd = unname(sds[rows, , drop = FALSE]),
            condval_sum_of_squares = unname(colSums(b^2)), condsd_sum_of_squares = unname(colSums(sds^2))
        )
    })
}

varcorr_summary <- function(fit) as.list(as.data.frame(VarCorr(fit)))

# Estimates, predictions and sizes of one fitted model.
fit_summary <- function(fit) {
    list(
        fixef = list(names = names(fixef(fit)), values = unname(fixef(fit))),
        se = unname(sqrt(diag(as.matrix(vcov(fit))))),
        vcov = unname(as.matrix(vcov(fit))),
        sigma = unbox(sigma(fit)),
        theta = unname(getME(fit, "theta")),
        varcorr = varcorr_summary(fit),
        column_rms = unlist(lapply(getME(fit, "mmList"), function(x) sqrt(colMeans(x^2))), use.names = FALSE),
        ranef = modes_summary(fit),
        fitted = vector_summary(fitted(fit)),
        residuals = vector_summary(residuals(fit)),
        logLik = unbox(as.numeric(logLik(fit))),
        AIC = unbox(AIC(fit)), BIC = unbox(BIC(fit)), nobs = unbox(nobs(fit)),
        ngrps = lapply(as.list(ngrps(fit)), unbox),
        df_residual = unbox(df.residual(fit)),
        cnms = Map(function(factor_name, names) list(grpvar = unbox(factor_name), terms = names),
                   names(getME(fit, "cnms")), unname(getME(fit, "cnms"))) |> unname(),
        is_singular = unbox(isSingular(fit))
    )
}

# Two points where the criterion can be checked without any optimizer.
criterion_at <- function(devfun, theta, lower) {
    start <- ifelse(lower == 0, 1, 0)
    lapply(list(start, 1.3 * theta + 0.1), function(at) list(theta = at, criterion = unbox(devfun(at))))
}

# All that is compared for one case.
#
# effort: "full" tries every optimizer from several starts, "live" the default
# fit, one tight refit and the search in whitened coordinates.
lme4_reference <- function(case, effort = "full") {
    frame <- read_frame(case$path, case$types)
    default <- default_fit(case, frame)
    parts <- model_parts(case, frame)
    devfun <- do.call(mkLmerDevfun, c(parts, list(control = lmerControl())))
    own <- own_optima(devfun, parts$reTrms, getME(default$fit, "theta"), effort)
    own$default <- list(theta = getME(default$fit, "theta"), criterion = devfun(getME(default$fit, "theta")))
    best <- best_theta(devfun, parts, lapply(own, `[[`, "theta"), effort)
    criterion <- devfun(best$theta)
    opt <- list(par = best$theta, fval = criterion, feval = NA, conv = 0, message = "")
    fit <- mkMerMod(environment(devfun), opt, parts$reTrms, parts$fr, mc = case_call(case, quote(lme4::lmer)))
    answers <- fit_summary(fit)
    own_criteria <- vapply(own, `[[`, 0, "criterion")
    c(
        list(
            id = unbox(case$id), formula = unbox(case$formula), REML = unbox(case$REML),
            versions = list(R = unbox(as.character(getRversion())), lme4 = unbox(as.character(packageVersion("lme4")))),
            criterion = unbox(criterion),
            gradient_norm = unbox(best$gradient_norm),
            lme4_criterion = unbox(min(own_criteria)),
            optimizers = lapply(as.list(own_criteria), unbox),
            default = list(
                criterion = unbox(own$default$criterion), evaluations = unbox(default$fit@optinfo$feval),
                messages = default$messages, theta = unname(own$default$theta), varcorr = varcorr_summary(default$fit)
            )
        ),
        answers,
        list(at = criterion_at(devfun, best$theta, parts$reTrms$lower))
    )
}

reference_json <- function(reference) {
    as.character(toJSON(reference, digits = I(16), na = "null", null = "null"))
}
