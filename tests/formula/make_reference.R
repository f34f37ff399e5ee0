# Writes reference.json: what R's model.matrix() and lme4's lFormula() make of
# many formulas on one small data set, written to the same file.
#
#   Rscript make_reference.R > reference.json
suppressMessages({library(lme4); library(splines); library(jsonlite)})
options(warn = -1)
invisible(Sys.setlocale("LC_COLLATE", "C"))
RNGversion("4.2.0")
set.seed(20)
n <- 30
d <- data.frame(
  y = round(rnorm(n, 5, 2), 3), x = round(rnorm(n, 2, 1.5), 3), z = round(runif(n, 1, 9), 3),
  days = rep(0:4, 6), f = sample(c("a", "b", "c"), n, TRUE), s = sample(c("u", "v"), n, TRUE),
  o = sample(c("lo", "mid", "hi", "top", "max"), n, TRUE), flag = sample(c(TRUE, FALSE), n, TRUE),
  g = rep(c(11, 3, 7, 20, 5, 8), each = 5), h = sample(c("p", "q", "r", "t"), n, TRUE),
  k = rep(1:3, 10), w = round(runif(n, 0.5, 2), 3), when = sprintf("2024-01-%02d", sample(1:28, n, TRUE)),
  xm = round(rnorm(n), 3), fm = sample(c("m1", "m2", "m3"), n, TRUE), Upper = sample(c("B", "a", "C"), n, TRUE),
  exam.prep.days = round(runif(n, 0, 30), 1), "my var" = round(rnorm(n), 3), check.names = FALSE
)
d$xm[c(4, 17)] <- NA
d$fm[c(2, 9, 17)] <- NA
as_model_data <- function(d) {
  d$f <- factor(d$f); d$s <- factor(d$s); d$fm <- factor(d$fm); d$when <- as.Date(d$when)
  d$o <- factor(d$o, levels = c("lo", "mid", "hi", "top", "max"), ordered = TRUE)
  d
}
m <- as_model_data(d)
new <- d[c(1, 8, 15, 22), ]
new$x <- c(-3, 0.5, 2, 9); new$z <- c(0.5, 3, 5, 12); new$days <- c(1, 3, 0, 4)
mnew <- new
mnew$f <- factor(new$f, levels(m$f)); mnew$s <- factor(new$s, levels(m$s)); mnew$fm <- factor(new$fm, levels(m$fm))
mnew$o <- factor(new$o, levels(m$o), ordered = TRUE); mnew$when <- as.Date(new$when)

G <- " + (1 | g)"
fixed <- c(
  "x", "1", "0 + x", "x - 1", "f", "0 + f", "f - 1", "0 + f + s", "s + f", "f * s", "f:s", "0 + f:s", "f + f:s", "s + f:s",
  "x:f", "x * f", "0 + x:f", "x + x:f", "x:f + f", "f/s", "f/x", "f %in% s", "s + f %in% s", "(f + s + x)^2", "(f + s + x)^3 - f:s:x",
  "f * s * flag - f:s", "s:x:f", "x:z", "0 + x * f", "o", "0 + o", "o * s", "o:x", "flag", "flag * x", "flag:f", "0 + flag",
  "poly(x, 2)", "poly(x, 1)", "poly(x, 3, raw = TRUE)", "poly(x, degree = 2)", "poly(x, 2) * f", "poly(x, z, degree = 2)", "I(x^2)", "x + I(x^2) + I(x^3)",
  "I(x > 2)", "log(z)", "log(z, 2)", "log2(z) + log10(z) + sqrt(z) + exp(x)", "scale(x)", "scale(x, scale = FALSE)", "scale(x, center = FALSE)", "scale(x) * f",
  "factor(days)", "0 + factor(days)", "factor(days):x", "as.factor(days)", "as.numeric(f)", "as.integer(z)", "ordered(days)", "factor(days, levels = c(4, 3, 2, 1, 0))",
  "factor(k, labels = c(\"one\", \"two\", \"three\"))", "relevel(f, ref = \"b\")", "relevel(f, \"c\") * x", "ns(x, df = 3)", "ns(x, 1)", "ns(x, knots = c(1, 3))", "ns(x, df = 4):f",
  "bs(x, df = 4)", "bs(x, df = 5, degree = 2)", "bs(x)", "ns(x, df = 3, intercept = TRUE) - 1", "interaction(f, s)", "interaction(s, k, sep = \"_\")", "cut(x, 3)", "cut(z, c(0, 3, 6, 9))",
  "cut(z, c(0, 3, 6, 9), labels = c(\"l\", \"m\", \"h\"))", "cut(x, 4, labels = FALSE)", "cut(z, c(1, 4, 9), right = FALSE, include.lowest = TRUE)", "ifelse(x > 2, 1, 0)", "pmin(x, 2)", "round(x, 1) + floor(z) + ceiling(z)",
  "is.na(xm) + x", "cbind(x, z)", "dummy(f, \"b\")", "dummy(f)", "when", "Upper", "Upper:x", "exam.prep.days", "`my var`", "`my var`:f", "I(`my var` * 2)", "x + offset(z)", "x + offset(log(z)) + f",
  "C(f, contr.sum)", "I((x - mean(x))/sd(x))", "I(f == \"a\")", "I(days %in% c(0, 2))", "x %in% f", "f + s + f", "x + z - x", "as.character(f)", "sin(x):cos(z)", "s * poly(x, 2, raw = TRUE)",
  "g + f:g", "f + x + s:f + x:s", "days + days:f:s", "I(x * (days > 2)) + I(-x)", "(x < z)", "(!flag)", "factor(flag)", "as.numeric(flag)"
)
random <- c(
  "(1 | g)", "(x | g)", "(x - 1 | g)", "(0 + x | g)", "(x || g)", "(f | g)", "(0 + f | g)", "(f || g)", "(x + z || g)", "(x * s || h)", "(0 + x || g)",
  "(1 | h) + (1 | g)", "(1 | g) + (1 | h)", "(x | h) + (1 | g)", "(1 | k) + (x || g)", "(x || g) + (1 | h)", "(1 | k) + (1 | s) + (1 | h)", "(1 | g/s)", "(1 | g/k)", "(1 | g/s/f)",
  "(x | h/s)", "(1 | h:s)", "(1 | s:h)", "(1 | s:g)", "(1 | f) + (1 | h:s) + (1 | g)", "(0 + dummy(f, \"b\") | g)", "(dummy(f, \"b\") | g)", "(poly(x, 2) | g)", "(scale(x) + s | g)", "(flag | g)", "(o | h)",
  "(I(x^2) | g)", "(1 | flag)", "(x:s | g)", "(0 + s | g) + (1 | h)", "(x || h/s)", "(1 | h) + (0 + x | h) + (0 + z | h)", "(1 | `my var`)", "(factor(k) | g)", "(log(z) | g) + (1 | h:k)"
)
ctrl <- lmerControl(check.nobs.vs.nRE = "ignore", check.nobs.vs.nlev = "ignore", check.rankX = "ignore", check.scaleX = "ignore")
matrix_of <- function(X) list(names = I(as.character(colnames(X))), values = lapply(seq_len(ncol(X)), function(j) signif(as.numeric(X[, j]), 13)))
random_of <- function(r) list(
  groups = I(names(r$cnms)), cnms = unname(lapply(r$cnms, I)), nl = I(unname(r$nl)), levels = lapply(r$flist, function(f) I(levels(f))),
  ntheta = length(r$theta), i = r$Zt@i, p = r$Zt@p, v = signif(r$Zt@x, 13), q = nrow(r$Zt)
)
one <- function(formula, weights = NULL, subset = NULL, contrasts = NULL) {
  form <- as.formula(formula)
  args <- list(form, data = quote(m), control = ctrl)
  if (!is.null(weights)) args$weights <- str2lang(weights)
  if (!is.null(subset)) args$subset <- str2lang(subset)
  if (!is.null(contrasts)) args$contrasts <- contrasts
  r <- do.call(lFormula, args)
  out <- list(formula = formula, weights = weights, subset = subset, contrasts = contrasts, text = paste(deparse(form, 500), collapse = ""),
              X = matrix_of(r$X), assign = attr(r$X, "assign"), n = nrow(r$fr), random = random_of(r$reTrms))
  o <- model.offset(r$fr)
  if (!is.null(o)) out$offset <- as.numeric(o)
  out
}
cases <- c(lapply(paste0("y ~ ", fixed, G), one), lapply(paste("y ~ x +", random), one), list(
  one("log(y + 10) ~ x + (1 | g)"), one("y ~ (1 | g)"), one("y ~ 0 + (x | g)"), one("flag ~ x + (1 | g)"), one("I(y^2) ~ x * s + (s | h)"),
  one("y ~ xm + f + (1 | g)"), one("y ~ xm * fm + (1 | g)"), one("y ~ x + (xm | g)"), one("y ~ x + (1 | fm)"), one("y ~ scale(xm) + (1 | fm:s)"),
  one("y ~ scale(x) + ns(z, df = 3) + (1 | g)", subset = "days >= 2"), one("y ~ f + (1 | g)", subset = "f != 'b' & g > 4"), one("y ~ x + (1 | g)", weights = "w"),
  one("y ~ poly(x, 2) + scale(xm) + (1 | h)", subset = "z < 8", weights = "w / mean(w)"),
  one("y ~ f * s + (f | g)", contrasts = list(f = "contr.sum", s = "contr.helmert")), one("y ~ f * x + (1 | g)", contrasts = list(f = "contr.SAS")),
  one("y ~ o + f + (1 | g)", contrasts = list(o = "contr.treatment", f = "contr.helmert")), one("y ~ f + factor(days) + (1 | g)", contrasts = list(f = "contr.poly", "factor(days)" = "contr.sum"))
))
refit <- c("poly(x, 2)", "poly(x, 2, raw = TRUE)", "poly(x, z, degree = 2)", "ns(x, df = 3)", "bs(x, df = 4)", "scale(x)", "ns(z, df = 4, intercept = TRUE) - 1", "f * scale(z)", "factor(days) + o", "s:poly(x, 2)", "x + offset(log(z))")
again <- lapply(refit, function(rhs) {
  t <- delete.response(terms(mf <- model.frame(as.formula(paste("y ~", rhs)), m)))
  fr <- model.frame(t, mnew, xlev = .getXlevels(t, mf))
  list(formula = paste0("y ~ ", rhs, G), X = matrix_of(model.matrix(t, fr)), offset = if (!is.null(model.offset(fr))) model.offset(fr))
})
expressions <- c("a+b*c", "-1e5 + 100000L", "0.00001 + 123456 + 1e15 + 0.1 + 1e-4", "a%in%b/c^2**3-(-1):3", "!x==1&y|z", "f(a=1,`b c`=2,\"q\")", "poly(x,2,raw=TRUE)", "(a+b):c", "-x^2", "(-x)^2", "a^-b", "'it\\'s'", "x-(y-z)", "1:3", "I( x ^ 2 )", "a/b/c", "a/(b*c)", "c('a',\"b\")", "splines::ns(x,df=3)", "TRUE||F", "~ x", "y ~ x + (1|g/h)", "x<=2 | y != 3", "a %% 2 %/% 3", "`my var` + .a", "0x1F", "1e5L", "123456789012", "1234567.891", "1/3 + 2.50")
updates <- list(c("y ~ x + (x | g)", ". ~ . - x"), c("y ~ x + (1 | g)", ". ~ . + z"), c("y ~ x + z + (1 | g)", "log(.) ~ . - z"), c("y ~ x - 1", ". ~ . + z"), c("y ~ x + (1 | g)", ". ~ . + 1"),
                c("y ~ x + (x | g)", ". ~ . - (x | g) + (1 | g)"), c("y ~ 1 + (1 | g)", ". ~ ."), c("y ~ x * f", ". ~ . - x:f"), c("y ~ x + (1 | g)", ". ~ z"), c("y ~ x", "~ .^2 + f"), c("y ~ f", ". ~ . * s"), c("y ~ (1 | g) + x + offset(z)", ". ~ f + ."))
cat(toJSON(list(
  versions = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4"))),
  data = as.list(d), new = as.list(new), cases = cases, again = again,
  deparsed = unname(lapply(expressions, function(e) c(e, paste(deparse(str2lang(e), 500), collapse = "")))),
  updated = lapply(updates, function(u) c(u, paste(deparse(update(as.formula(u[1]), as.formula(u[2])), 500), collapse = "")))
), digits = NA, auto_unbox = TRUE, null = "null", na = "null"))
