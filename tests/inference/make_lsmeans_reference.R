# make_lsmeans_reference.R: least squares means by lmerTest, as JSON.
#
#   python -m tests.inference.lsmeans_cases | Rscript tests/inference/make_lsmeans_reference.R
#
# from the top of the repository.  Models are fitted with a tight optimizer, started at the optimum
# that the parity suite knows.  The committed file was made with R 4.2.2, lme4 1.1-31, lmerTest 3.1-3.

suppressPackageStartupMessages({
    library(lmerTest)
    library(jsonlite)
})
source("parity/lme4_reference.R")
options(width = 80, digits = 7, useFancyQuotes = TRUE)

TIGHT <- lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhobeg = 2e-3, rhoend = 1e-11, maxfun = 1e5), calc.derivs = FALSE
)

LARGEST_FOR_KENWARD_ROGER <- 1300L
MOST_ROWS <- 50L

table_of <- function(x) {
    frame <- as.data.frame(x)
    list(rows = rownames(x), term = as.character(frame$term), levels = as.character(frame$levels),
         columns = setdiff(colnames(frame), c("term", "levels")),
         values = unname(as.matrix(frame[setdiff(colnames(frame), c("term", "levels"))])))
}
show <- function(x) unbox(paste0(paste(capture.output(print(x)), collapse = "\n"), "\n"))
quietly <- function(expression) suppressMessages(suppressWarnings(expression))

lsmeans_reference <- function(case) {
    frame <- read_frame(case$path, case$types)
    start <- if (length(case$theta)) list(start = list(theta = unlist(case$theta))) else list()
    fit <- quietly(eval(do.call(case_call, c(list(case, quote(lmerTest::lmer), control = quote(TIGHT)), start))))
    out <- list(means = table_of(ls_means(fit)), differences = table_of(difflsmeans(fit)))
    if (length(out$differences$rows) <= MOST_ROWS) out$ninety <- table_of(ls_means(fit, level = 0.9, pairwise = TRUE))
    if (case$REML && nobs(fit) <= LARGEST_FOR_KENWARD_ROGER) out$`Kenward-Roger` <- table_of(quietly(ls_means(fit, ddf = "Kenward-Roger")))
    if (isTRUE(case$printed)) {
        out$printed <- list(means = show(ls_means(fit)), differences = show(difflsmeans(fit)))
    }
    out
}

cases <- fromJSON(file("stdin"), simplifyVector = FALSE)
out <- lapply(setNames(cases, vapply(cases, function(case) case$id, "")), lsmeans_reference)
writeLines(as.character(toJSON(out, digits = I(16), na = "null", null = "null")), "tests/inference/reference/lsmeans.json")
