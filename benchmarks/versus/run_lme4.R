# Fit one case with lme4, its derivative check switched off; called with a job (JSON).
#
# Writes the same events as stopwatch.py.  Factors are made before the clock starts.
# R counts CPU time in milliseconds, so fits that take less than BATCHED seconds are
# timed ten at a time.

suppressPackageStartupMessages({
    library(lme4)
    library(jsonlite)
})

BATCHED <- 0.1

job <- fromJSON(commandArgs(trailingOnly = TRUE)[1])

emit <- function(event, ...) {
    line <- toJSON(list(event = event, ...), auto_unbox = TRUE, digits = NA, null = "null")
    cat(line, "\n", file = job$events, append = TRUE, sep = "")
}

cpu_seconds <- function() sum(proc.time()[c("user.self", "sys.self")])

memory_mb <- function(field) {
    status <- readLines("/proc/self/status")
    line <- grep(paste0("^", field, ":"), status, value = TRUE)
    as.numeric(gsub("[^0-9]", "", line)) / 1024
}

reset_peak <- function() {
    invisible(gc(full = TRUE))
    try(suppressWarnings(cat("5", file = "/proc/self/clear_refs")), silent = TRUE)
    memory_mb("VmRSS")
}

settings <- list(
    default = lmerControl(calc.derivs = FALSE),
    tight = lmerControl(
        calc.derivs = FALSE, optimizer = "nloptwrap",
        optCtrl = list(xtol_rel = 1e-12, xtol_abs = 1e-10, ftol_rel = 1e-15, ftol_abs = 1e-12, maxeval = 1e5)
    ),
    bobyqa = lmerControl(calc.derivs = FALSE, optimizer = "bobyqa", optCtrl = list(maxfun = 1e5))
)

describe <- function(fitted) {
    covariances <- lapply(VarCorr(fitted), function(block) {
        list(names = I(rownames(block)), cov = unname(as.matrix(unclass(block)[, , drop = FALSE])))
    })
    list(
        criterion = if (job$REML) REMLcrit(fitted) else deviance(fitted),
        fixef = as.list(fixef(fitted)),
        varcomp = covariances,
        residual = sigma(fitted)^2,
        evaluations = fitted@optinfo$feval,
        remark = paste(unlist(fitted@optinfo$conv$lme4$messages), collapse = "; ")
    )
}

result <- try({
    control <- settings[[job$setting]]
    data <- read.csv(job$data)
    for (name in job$factors) data[[name]] <- factor(data[[name]])
    form <- as.formula(job$formula)
    base <- reset_peak()
    emit("loaded", version = paste("lme4", packageVersion("lme4")), cpu = cpu_seconds())
    walls <- numeric(0)
    fits <- 1
    repeat {
        fitted <- NULL
        invisible(gc(full = TRUE))
        before <- proc.time()
        for (i in seq_len(fits)) {
            fitted <- suppressWarnings(suppressMessages(lmer(form, data = data, REML = job$REML, control = control)))
        }
        used <- proc.time() - before
        wall <- used[["elapsed"]]
        emit("fit", cpu = (used[["user.self"]] + used[["sys.self"]]) / fits, wall = wall / fits,
             peak_mb = memory_mb("VmHWM") - base, total_cpu = cpu_seconds())
        walls <- c(walls, wall)
        if (length(walls) == 1) {
            do.call(emit, c("estimates", describe(fitted)))
            if (wall < BATCHED) fits <- 10
        }
        if (length(walls) >= job$max_fits || sum(walls) + wall > job$budget) break
    }
}, silent = TRUE)
if (inherits(result, "try-error")) {
    emit("error", message = trimws(conditionMessage(attr(result, "condition"))))
    quit(status = 1)
}
