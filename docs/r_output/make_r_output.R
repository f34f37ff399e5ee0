# Write what R prints for every block of examples.R: one text file per block, and versions.txt.
#
#   Rscript docs/r_output/make_r_output.R [FOLDER]        (from the root of the repository)
#
# Commands stand after "> " as in R's console; messages and warnings stand where they appear.

suppressPackageStartupMessages({
  library(lme4); library(lmerTest); library(emmeans); library(pbkrtest); library(RLRsim)
  library(broom.mixed); library(performance); library(clubSandwich)
})
PACKAGES <- c("lme4", "lmerTest", "pbkrtest", "emmeans", "RLRsim", "broom.mixed", "performance", "clubSandwich")
options(width = 80, digits = 7, cli.num_colors = 1L)
invisible(Sys.setlocale("LC_ALL", "C.UTF-8"))

# Named blocks of lines.
read_blocks <- function(path) {
  lines <- readLines(path)
  heads <- grep("^# ---- ", lines)
  ends <- c(heads[-1] - 1, length(lines))
  blocks <- Map(function(first, last) lines[seq(first + 1, last)], heads, ends)
  setNames(blocks, sub("^# ---- ", "", lines[heads]))
}

# What one block prints, with its commands.
transcript <- function(lines, where) {
  tell <- function(condition) {
    cat(conditionMessage(condition), if (inherits(condition, "message")) "" else "\n", sep = "")
    invokeRestart(if (inherits(condition, "message")) "muffleMessage" else "muffleWarning")
  }
  text <- capture.output(withCallingHandlers(
    source(exprs = parse(text = lines, keep.source = TRUE), local = where, echo = TRUE, spaced = FALSE,
           max.deparse.length = Inf, width.cutoff = 500L),
    message = tell, warning = tell
  ))
  text[cumsum(nzchar(text)) > 0]
}

arguments <- commandArgs(trailingOnly = TRUE)
folder <- if (length(arguments)) arguments[1] else file.path("docs", "r_output")
blocks <- read_blocks(file.path("docs", "r_output", "examples.R"))
stopifnot(!anyDuplicated(names(blocks)))
where <- globalenv()
for (name in names(blocks)) {
  writeLines(transcript(blocks[[name]], where), file.path(folder, paste0(name, ".txt")), useBytes = TRUE)
}
versions <- vapply(PACKAGES, function(name) as.character(packageVersion(name)), "")
writeLines(c(paste("R", getRversion()), paste(PACKAGES, versions)), file.path(folder, "versions.txt"))
