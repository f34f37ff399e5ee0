# make_influence_reference.R: lme4's diagnostics of rows, and its influence() by row and by group.
#
#   python -m tests.inference.influence_cases | Rscript tests/inference/make_influence_reference.R
#
# influence() takes no optimizer: it refits with lmerControl(optCtrl = list(maxfun = maxfun)). So
# the defaults of nloptwrap are made tight here. Even so BOBYQA stops where the criterion no
# longer changes in its digits, some 1e-5 from the optimum. "polished" is therefore a second answer
# for groups: lme4's own deviance function of the rows left, minimized as in the parity suite.
# The script writes all cases anew.

suppressPackageStartupMessages({
    library(lme4)
    library(jsonlite)
})
source("parity/lme4_search.R")
source("parity/lme4_reference.R")
assign("defaultControl", list(algorithm = "NLOPT_LN_BOBYQA", xtol_abs = 1e-11, ftol_abs = 1e-13, maxeval = 1e5),
       envir = environment(nloptwrap))

quietly <- function(expression) suppressMessages(suppressWarnings(expression))
plain <- function(x) unname(as.matrix(x))
or_message <- function(expression) tryCatch(expression, error = function(e) list(error = unbox(conditionMessage(e))))

influence_answer <- function(fit, ...) {
    measured <- or_message(quietly(influence(fit, ..., maxfun = 1e5)))
    if (!is.null(measured$error)) return(measured)
    list(
        deleted = as.character(measured$deleted), fixef = plain(measured[[2L]]), varcorr_names = names(measured$var.cov.comps),
        varcorr = plain(measured[[4L]]), dfbeta = plain(dfbeta(measured)), dfbetas = or_message(plain(dfbetas(measured))),
        cooks = unname(cooks.distance(measured)), converged = unname(measured$converged)
    )
}

# Estimates of lme4's model for some rows, at the best theta of its deviance function.
polished_without <- function(case, whole, gone, theta) {
    frame <- whole[!gone, , drop = FALSE]
    parts <- quietly(eval(case_call(case, quote(lme4::lFormula))))
    devfun <- do.call(mkLmerDevfun, c(parts, list(control = lmerControl())))
    best <- best_theta(devfun, parts, list(theta), "live")
    criterion <- devfun(best$theta)
    opt <- list(par = best$theta, fval = criterion, feval = NA, conv = 0, message = "")
    fit <- mkMerMod(environment(devfun), opt, parts$reTrms, parts$fr, mc = quote(lmer()))
    list(fixef = unname(fixef(fit)), se = unname(sqrt(diag(as.matrix(vcov(fit))))), sigma = unbox(sigma(fit)), criterion = unbox(criterion),
         varcorr = c(sigma(fit)^2, unlist(lapply(VarCorr(fit), function(V) V[lower.tri(V, diag = TRUE)]), use.names = FALSE)))
}

polished_groups <- function(case, name) {
    column <- frame[[name]]
    lapply(setNames(nm = as.character(unique(column[!is.na(column)]))), function(level) {
        or_message(polished_without(case, frame, !is.na(column) & column == level, as.numeric(unlist(case$theta))))
    })
}

answers_of <- function(case) {
    # update() in influence() looks for the data by name, from a function of lme4
    assign("frame", read_frame(case$path, case$types), globalenv())
    start <- list(theta = as.numeric(unlist(case$theta)))
    fit <- quietly(eval(case_call(case, quote(lme4::lmer), start = start)))
    out <- list(
        formula = unbox(case$formula), fixef = unname(fixef(fit)), theta = unname(getME(fit, "theta")), sigma = unbox(sigma(fit)),
        hatvalues = unname(hatvalues(fit)), cooks = unname(cooks.distance(fit)), rstudent = unname(rstudent(fit)),
        pearson = unname(residuals(fit, type = "pearson")),
        groups = lapply(setNames(nm = unlist(case$groups)), function(name) influence_answer(fit, groups = name))
    )
    out$polished <- lapply(setNames(nm = unlist(case$groups)), polished_groups, case = case)
    if (case$rows) out$rows <- influence_answer(fit)
    out
}

cases <- fromJSON(file("stdin"), simplifyVector = FALSE)
answers <- list(versions = lapply(list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4"))), unbox))
for (case in cases) {
    seconds <- system.time(answers[[case$id]] <- answers_of(case))[["elapsed"]]
    failed <- unlist(lapply(answers[[case$id]]$groups, `[[`, "error"))
    cat(sprintf("%-30s %6.1f s  %s\n", case$id, seconds, paste(names(failed), failed, collapse = "; ")))
}
text <- as.character(toJSON(answers, digits = I(13), na = "null", null = "null"))
writeLines(text, "tests/inference/reference/influence.json")
