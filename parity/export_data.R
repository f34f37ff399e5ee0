# export_data.R: data sets from R packages that only the parity suite uses.
#
#   Rscript parity/export_data.R      from the top of the repository

source("fastlmm_hlm/datasets/export.R")

BORROWED <- list(
    nlme = c("Machines", "Orthodont", "Oxboys", "Oats", "ergoStool", "Rail", "BodyWeight",
             "Alfalfa", "Pixel", "Assay", "Oxide", "Glucose2"),
    MASS = c("petrol", "coop"),
    datasets = c("ChickWeight", "airquality"),
    lmerTest = c("ham", "carrots", "TVbo"),
    mlmRev = c("egsingle", "Exam", "ScotsSec", "Gcsemv"),
    lme4 = "InstEval"
)
COMPRESSED <- c("egsingle", "Exam", "ScotsSec", "Gcsemv", "InstEval", "carrots")
COLUMNS <- list(
    InstEval = c("s", "d", "service", "dept", "studage", "lectage", "y"),
    Exam = c("school", "normexam", "standLRT", "sex", "vr", "type"),
    egsingle = c("schoolid", "childid", "year", "math", "female", "black", "lowinc"),
    carrots = c("Consumer", "Preference", "sens1", "sens2", "Product", "Homesize"),
    TVbo = c("Assessor", "TVset", "Picture", "Repeat", "Coloursaturation", "Sharpnessofmovement", "Noise")
)

types <- list()
for (package in names(BORROWED)) {
    for (name in BORROWED[[package]]) {
        frame <- as.data.frame(package_frame(package, name))
        if (name %in% names(COLUMNS)) frame <- frame[COLUMNS[[name]]]
        types[[name]] <- write_frame(frame, name, "parity/data", name %in% COMPRESSED)
    }
}
write_types(types, "parity/data")
