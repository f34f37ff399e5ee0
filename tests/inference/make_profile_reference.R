# make_profile_reference.R: profile intervals of lme4, one model after the other, as JSON.
#
#   python -m parity.cases ID ... > cases.json
#   Rscript tests/inference/make_profile_reference.R cases.json tests/inference/reference/profile.json
#
# from the top of the repository.  The committed file was made with R 4.2.2 and lme4 1.1-31,
# from the cases that it names.  The fit is made by a tight BOBYQA, since lme4 refuses to
# profile from a point above the optimum; parameters that lme4 cannot profile are stored as
# null, with its message.

source("parity/lme4_reference.R")

TIGHT <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE)
LEVELS <- c(0.9, 0.95, 0.99)

arguments <- commandArgs(trailingOnly = TRUE)
cases <- fromJSON(arguments[1], simplifyVector = FALSE)

# The intervals of one parameter at each level, or the message with which lme4 failed.
one_parameter <- function(fit, i) {
    said <- character()
    note <- function(w) { said <<- c(said, conditionMessage(w)); invokeRestart("muffleWarning") }
    tryCatch(withCallingHandlers({
        pr <- profile(fit, which = i, optimizer = "bobyqa", startmethod = "prev")
        curve <- as.data.frame(pr)
        list(name = as.character(curve$.par[1]), zeta = curve$.zeta, focal = curve$.focal,
             limits = lapply(LEVELS, function(level) as.numeric(confint(pr, level = level))), said = unique(said))
    }, warning = note, message = function(m) invokeRestart("muffleMessage")),
    error = function(e) list(error = conditionMessage(e), said = unique(said)))
}

answers <- list()
for (case in cases) {
    frame <- read_frame(case$path, case$types)
    fit <- suppressMessages(suppressWarnings(eval(case_call(case, quote(lme4::lmer), control = quote(TIGHT)))))
    ml <- suppressMessages(suppressWarnings(refitML(fit, control = TIGHT)))
    count <- length(getME(fit, "theta")) + 1 + length(fixef(fit))
    began <- proc.time()[["elapsed"]]
    parameters <- lapply(seq_len(count), function(i) one_parameter(fit, i))
    answers[[case$id]] <- list(deviance = as.numeric(deviance(ml)), theta = getME(ml, "theta"),
                               parameters = parameters, seconds = proc.time()[["elapsed"]] - began)
    cat(case$id, answers[[case$id]]$seconds, "s\n", file = stderr())
    flush(stderr())
}
out <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")), levels = LEVELS, cases = answers)
writeLines(toJSON(out, auto_unbox = TRUE, digits = I(12), null = "null", na = "null"), arguments[2])
