# Models of the parity suite fitted by lme4, and what lme4 says of them.

fitted_case <- function(json, reference) {
    case <- jsonlite::fromJSON(json, simplifyVector = FALSE)
    frame <- reference$read_frame(case$path, case$types)
    suppressWarnings(suppressMessages(reference$default_fit(case, frame)$fit))
}

# The same model without its data: only the model frame is left, as after a fit at top level and saveRDS().
frame_alone <- function(fit) {
    attr(attr(fit@frame, "formula"), ".Environment") <- globalenv()
    attr(attr(fit@frame, "terms"), ".Environment") <- globalenv()
    fit@call$data <- quote(data.that.is.nowhere)
    fit
}

answers <- function(fit, new_rows = NULL) {
    modes <- as.data.frame(lme4::ranef(fit, condVar = TRUE))
    list(
        fixef = as.numeric(lme4::fixef(fit)), names = names(lme4::fixef(fit)), theta = as.numeric(lme4::getME(fit, "theta")),
        sigma = sigma(fit), vcov = as.numeric(as.matrix(vcov(fit))), VarCorr = as.data.frame(lme4::VarCorr(fit))$vcov,
        condval = modes$condval, condsd = modes$condsd, modes = paste(modes$grpvar, modes$term, modes$grp),
        logLik = as.numeric(logLik(fit)), fitted = as.numeric(fitted(fit)),
        predict = if (is.null(new_rows)) NULL else as.numeric(predict(fit, newdata = new_rows, allow.new.levels = TRUE)),
        marginal = if (is.null(new_rows)) NULL else as.numeric(predict(fit, newdata = new_rows, re.form = NA))
    )
}

# Rows of the data in another order, some of them of groups that are not in the fit.
new_rows <- function(fit, json, reference) {
    case <- jsonlite::fromJSON(json, simplifyVector = FALSE)
    frame <- reference$read_frame(case$path, case$types)
    used <- intersect(all.vars(c(formula(fit), fit@call$offset)), names(frame))
    rows <- frame[stats::complete.cases(frame[setdiff(used, all.vars(formula(fit)[[2L]]))]), , drop = FALSE]
    rows[rev(seq(1L, nrow(rows), length.out = 7L)), , drop = FALSE]
}
