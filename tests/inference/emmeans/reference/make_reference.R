# The answers of R's emmeans to the questions in cases.json, stored in answers.json.
# Run in this folder: Rscript make_reference.R
# Models are fitted to their optimum (bobyqa, rhoend = 1e-10); lme4's default stops early.
suppressMessages({library(lme4); library(lmerTest); library(emmeans); library(splines); library(jsonlite)})
options(width = 80)
cases <- fromJSON("cases.json", simplifyVector = FALSE)
school <- read.csv("school.csv", stringsAsFactors = FALSE)
school$a <- factor(school$a, levels = c("lo", "mid", "hi"))
school$o <- factor(school$o, levels = c("one", "two", "three", "four"), ordered = TRUE)
for (v in c("g", "h", "sub")) school[[v]] <- factor(school[[v]])
sets <- list(cake = cake, school = school, holes = subset(school, !(a == "hi" & b == "v")))
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE,
                       check.rankX = "silent.drop.cols")

fit <- function(spec) {
  args <- list(formula = as.formula(spec$formula), data = sets[[spec$data]], control = control,
               REML = is.null(spec$REML))
  if (!is.null(spec$weights)) args$weights <- as.name(spec$weights)
  if (!is.null(spec$contrasts)) args$contrasts <- spec$contrasts
  d <- sets[[spec$data]]
  args$data <- as.name("d")
  environment(args$formula) <- environment()
  suppressMessages(eval(as.call(c(as.name("lmer"), args))))
}

numbers <- function(x) {
  grid <- if (inherits(x, "emmGrid")) x else NULL
  f <- if (is.null(grid)) as.data.frame(x) else as.data.frame(summary(x))
  by <- attr(x, "by.vars")
  if (is.null(grid) && length(by)) f <- f[do.call(order, rev(unname(f[by]))), ]   # group after group, as it is printed
  if (!is.null(grid) && "df" %in% names(f)) {      # the printed df are rounded to 2 decimals
    shown <- if (is.null(grid@misc$display)) TRUE else grid@misc$display
    f$df <- apply(grid@linfct[shown, , drop = FALSE], 1, function(l) if (any(is.na(l))) NA else tryCatch(grid@dffun(l, grid@dfargs), error = function(e) NA))
  }
  keep <- names(f)[sapply(f, is.numeric)]
  lapply(f[keep], function(v) ifelse(is.finite(v), v, ifelse(is.na(v), "NA", ifelse(v > 0, "Inf", "-Inf"))))
}

answer <- function(q, m) {
  text <- character(0)
  value <- withCallingHandlers(eval(parse(text = q$r)),
    message = function(e) { text <<- c(text, conditionMessage(e)); invokeRestart("muffleMessage") })
  printed <- capture.output(withCallingHandlers(print(value),
    message = function(e) { text <<- c(text, conditionMessage(e)); invokeRestart("muffleMessage") }))
  tables <- if (inherits(value, "emm_list")) unclass(value) else list(value)
  attributes(tables) <- list(names = names(tables))
  list(text = paste0(paste(text, collapse = ""), paste0(printed, "\n", collapse = "")),
       tables = lapply(unname(tables), numbers))
}

out <- list(versions = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")),
  emmeans = as.character(packageVersion("emmeans")), lmerTest = as.character(packageVersion("lmerTest")),
  pbkrtest = as.character(packageVersion("pbkrtest"))), answers = list())
set.seed(1)
fits <- lapply(cases$models, fit)
for (q in cases$queries) {
  cat(q$id, "\n")
  out$answers[[q$id]] <- answer(q, fits[[q$model]])
}
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = 1), "answers.json")
