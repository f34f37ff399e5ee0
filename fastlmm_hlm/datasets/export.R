# export.R: write R data frames as CSV, with the types of their columns in types.json.
#
#   Rscript export.R FOLDER        the data sets that the package ships
#
# Numbers are written with 15 significant digits, missing values as NA.  Factors
# are written as text; types.json keeps their levels in R's order.

column_type <- function(column) {
    if (is.factor(column)) {
        list(type = "factor", levels = levels(column), ordered = is.ordered(column))
    } else if (is.integer(column)) {
        list(type = "integer")
    } else if (is.numeric(column)) {
        list(type = "number")
    } else {
        list(type = "text")
    }
}

write_frame <- function(frame, name, folder, compress = FALSE) {
    frame <- as.data.frame(frame)
    path <- file.path(folder, paste0(name, if (compress) ".csv.gz" else ".csv"))
    out <- if (compress) gzfile(path, "w", compression = 9) else file(path, "w")
    on.exit(close(out))
    write.csv(frame, out, row.names = FALSE, na = "NA", quote = which(!vapply(frame, is.numeric, NA)))
    lapply(frame, column_type)
}

package_frame <- function(package, name) {
    shelf <- new.env()
    data(list = name, package = package, envir = shelf)
    shelf[[name]]
}

# Write one types.json, keeping what it says of data sets not written now.
write_types <- function(types, folder) {
    path <- file.path(folder, "types.json")
    known <- if (file.exists(path)) jsonlite::read_json(path, simplifyVector = FALSE) else list()
    known[names(types)] <- types
    known <- known[order(names(known))]
    text <- vapply(names(known), function(name) {
        columns <- jsonlite::toJSON(known[[name]], auto_unbox = TRUE)
        sprintf("%s: %s", jsonlite::toJSON(name, auto_unbox = TRUE), columns)
    }, "")
    writeLines(c("{", paste(text, collapse = ",\n"), "}"), path)
}

SHIPPED <- list(
    lme4 = c("sleepstudy", "Dyestuff", "Dyestuff2", "Pastes", "Penicillin", "cake"),
    mlmRev = "Hsb82"
)

export_shipped <- function(folder) {
    types <- list()
    for (package in names(SHIPPED)) {
        for (name in SHIPPED[[package]]) {
            types[[name]] <- write_frame(package_frame(package, name), name, folder)
        }
    }
    write_types(types, folder)
}

if (sys.nframe() == 0L) {
    folder <- commandArgs(trailingOnly = TRUE)
    if (length(folder) != 1L) stop("export.R needs one argument: the folder to write to")
    export_shipped(folder)
}
