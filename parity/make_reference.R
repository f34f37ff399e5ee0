# make_reference.R: write parity/reference/<id>.json for the cases read from standard input.
#
#   python -m parity.cases [ID ...] | Rscript parity/make_reference.R

source("parity/lme4_search.R")
source("parity/lme4_reference.R")

cases <- jsonlite::fromJSON(file("stdin"), simplifyVector = FALSE)
for (case in cases) {
    seconds <- system.time(reference <- lme4_reference(case, "full"))[["elapsed"]]
    writeLines(reference_json(reference), file.path("parity/reference", paste0(case$id, ".json")))
    cat(sprintf(
        "%-45s %6.1f s  best %.8g  lme4's best %+.1e  default %+.1e  gradient %.0e%s\n",
        case$id, seconds, reference$criterion, reference$lme4_criterion - reference$criterion,
        reference$default$criterion - reference$criterion, reference$gradient_norm,
        if (reference$is_singular) "  singular" else ""
    ))
}
