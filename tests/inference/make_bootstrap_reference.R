# make_bootstrap_reference.R: bootstrap intervals of lme4 with 2,000 replicates, as JSON.
#
#   python -m parity.cases sleep_slope dyestuff penicillin > cases.json
#   Rscript tests/inference/make_bootstrap_reference.R cases.json tests/inference/reference/bootstrap.json
#
# from the top of the repository.  The committed file was made with R 4.2.2 and lme4 1.1-31.

source("parity/lme4_reference.R")

NSIM <- 2000L
TIGHT <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-8, maxfun = 1e5), calc.derivs = FALSE)

all_of <- function(fit) {
    spread <- as.data.frame(VarCorr(fit), order = "lower.tri")
    c(spread$sdcor, fixef(fit))
}

arguments <- commandArgs(trailingOnly = TRUE)
answers <- list()
for (case in fromJSON(arguments[1], simplifyVector = FALSE)) {
    frame <- read_frame(case$path, case$types)
    fit <- suppressMessages(eval(case_call(case, quote(lme4::lmer), control = quote(TIGHT))))
    one <- list()
    for (use_u in c(FALSE, TRUE)) {
        made <- suppressMessages(suppressWarnings(bootMer(fit, all_of, nsim = NSIM, seed = 20240601L, use.u = use_u)))
        t <- made$t
        one[[if (use_u) "use_u" else "marginal"]] <- list(
            t0 = as.numeric(made$t0), mean = apply(t, 2, mean, na.rm = TRUE), sd = apply(t, 2, sd, na.rm = TRUE),
            perc = unname(confint(made, type = "perc")), basic = unname(confint(made, type = "basic")),
            norm = unname(confint(made, type = "norm")), failed = attr(made, "bootFail")
        )
    }
    # boot's interval rules on replicates that can be stored
    few <- suppressMessages(suppressWarnings(bootMer(fit, all_of, nsim = 60, seed = 7L)))
    one$few <- list(t0 = as.numeric(few$t0), t = few$t, perc = unname(suppressWarnings(confint(few, type = "perc"))),
                    basic = unname(suppressWarnings(confint(few, type = "basic"))),
                    norm = unname(confint(few, type = "norm")), 
                    printed = capture.output(print(few)))
    answers[[case$id]] <- one
    cat(case$id, "\n", file = stderr())
}
out <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")), boot = as.character(packageVersion("boot")),
            nsim = NSIM, cases = answers)
writeLines(toJSON(out, auto_unbox = TRUE, digits = I(12), null = "null", na = "null"), arguments[2])
