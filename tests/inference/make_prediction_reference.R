# make_prediction_reference.R: lme4's predictions and simulations, and standard errors by their definition.
#
#   python -m tests.inference.prediction_cases | Rscript tests/inference/make_prediction_reference.R
#
# Every model is taken at the theta that comes with it, so that no optimizer has a say.  lme4 1.1-31 has no
# se.fit: standard errors are sigma sqrt(r C^-1 r') with dense matrices, C the coefficient matrix of Henderson's
# equations in the columns Z Lambda and X, r the row of the new data in these columns; a new level adds its prior variance.

suppressPackageStartupMessages({
    library(lme4)
    library(splines)
    library(jsonlite)
})
source("parity/lme4_reference.R")

DRAWS <- 2000L
SHOWN <- 12L          # rows whose moments are stored

new_frame <- function(case) {
    columns <- lapply(setNames(names(case$newdata), names(case$newdata)), function(name) {
        values <- unlist(lapply(case$newdata[[name]], function(v) if (is.null(v)) NA else v))
        kind <- case$types[[name]]
        if (kind$type == "factor") {
            known <- unlist(kind$levels)
            factor(values, levels = c(known, setdiff(values, known)), ordered = kind$ordered)
        } else values
    })
    as.data.frame(columns, check.names = FALSE, stringsAsFactors = FALSE)
}

# X of new data in the columns that the fit kept.
fixed_matrix <- function(fit, new) {
    t <- delete.response(terms(fit, fixed.only = TRUE))
    old <- model.frame(fit)
    levels_of <- lapply(Filter(function(v) is.factor(v) || is.character(v), as.list(old)),
                        function(v) if (is.factor(v)) levels(v) else sort(unique(v)))
    variables <- vapply(as.list(attr(t, "variables"))[-1], deparse1, "")
    frame <- model.frame(t, new, na.action = na.pass, xlev = levels_of[intersect(names(levels_of), variables)])
    X <- model.matrix(t, frame, contrasts.arg = attr(getME(fit, "X"), "contrasts"))
    X[, colnames(getME(fit, "X")), drop = FALSE]
}

# Z of new data in the columns of the fit, one matrix per term, with the raw columns of rows whose level is new.
random_matrices <- function(fit, new) {
    t <- delete.response(terms(fit, random.only = TRUE))
    seen <- droplevels_to_known(new, model.frame(fit))
    variables <- vapply(as.list(attr(t, "variables"))[-1], deparse1, "")
    frame <- suppressWarnings(model.frame(t, seen, na.action = na.pass))
    bars <- findbars(formula(fit))
    cnms <- getME(fit, "cnms")
    flist <- getME(fit, "flist")
    assign <- attr(flist, "assign")
    lapply(seq_along(cnms), function(i) {
        for (bar in bars) {
            m <- model.matrix(eval(substitute(~side, list(side = bar[[2]]))), frame)
            if (deparse1(bar[[3]]) == names(cnms)[i] && identical(colnames(m), cnms[[i]])) break
        }
        known <- levels(flist[[assign[i]]])
        group <- match(as.character(eval(bar[[3]], new)), known)
        nc <- length(cnms[[i]])
        Z <- matrix(0, nrow(m), nc * length(known))
        for (j in which(!is.na(group))) Z[j, (group[j] - 1) * nc + seq_len(nc)] <- m[j, ]
        list(group_name = names(cnms)[i], names = cnms[[i]], Z = Z, raw = unname(m), unknown = is.na(group))
    })
}

# Factors on the levels of the fit, so that contrasts are the fit's; a level that it lacks becomes its first.
droplevels_to_known <- function(new, old) {
    for (name in intersect(names(new), names(old))) {
        if (is.factor(old[[name]])) {
            values <- as.character(new[[name]])
            values[!values %in% levels(old[[name]])] <- levels(old[[name]])[1]
            new[[name]] <- factor(values, levels = levels(old[[name]]), ordered = is.ordered(old[[name]]))
        }
    }
    new
}

# C^-1 in the columns Z Lambda and X.
henderson_inverse <- function(fit) {
    rows <- cbind(getME(fit, "Z") %*% getME(fit, "Lambda"), as(getME(fit, "X"), "dgCMatrix"))
    C <- as.matrix(crossprod(rows, weights(fit) * rows))
    q <- length(getME(fit, "u"))
    diag(C)[seq_len(q)] <- diag(C)[seq_len(q)] + 1
    chol2inv(chol(C))
}

standard_errors <- function(fit, inverse, X, terms, use, with_fixed = TRUE) {
    Lambda <- getME(fit, "Lambda")
    Z <- do.call(cbind, lapply(seq_along(terms), function(i) {
        nc <- length(terms[[i]]$names)
        terms[[i]]$Z * rep(rep(use[[i]], length.out = ncol(terms[[i]]$Z)), each = nrow(X))
    }))
    rows <- cbind(as.matrix(Z %*% Lambda), if (with_fixed) X else 0 * X)
    # without random effects: beta-hat alone
    if (!any(unlist(use))) variance <- rowSums((X %*% as.matrix(vcov(fit))) * X)
    else variance <- sigma(fit)^2 * rowSums((rows %*% inverse) * rows)
    for (i in seq_along(terms)) {
        T <- getME(fit, "Tlist")[[i]]
        z <- terms[[i]]$raw * rep(use[[i]], each = nrow(X))
        variance <- variance + ifelse(terms[[i]]$unknown, sigma(fit)^2 * rowSums((z %*% T)^2), 0)
    }
    unname(sqrt(variance))
}

# Columns of each term that a formula asks for.
columns_of <- function(text, fit, terms, new) {
    use <- lapply(terms, function(term) rep(0, length(term$names)))
    frame <- droplevels_to_known(new, model.frame(fit))
    for (bar in findbars(as.formula(text))) {
        wanted <- colnames(model.matrix(eval(substitute(~side, list(side = bar[[2]]))), frame))
        for (i in seq_along(terms)) {
            if (deparse1(bar[[3]]) == terms[[i]]$group_name) use[[i]][terms[[i]]$names %in% wanted] <- 1
        }
    }
    use
}

moments <- function(draws) {
    list(mean = unname(rowMeans(draws)[seq_len(SHOWN)]), covariance = unname(cov(t(draws[seq_len(SHOWN), ]))))
}

attempt <- function(expression) tryCatch(expression, error = function(e) NULL)

prediction_reference <- function(case) {
    frame <- read_frame(case$path, case$types)
    control <- lmerControl(optimizer = NULL, calc.derivs = FALSE, check.conv.singular = "ignore", check.rankX = "silent.drop.cols")
    call <- case_call(case, quote(lme4::lmer), control = control, start = unlist(case$theta))
    fit <- suppressWarnings(suppressMessages(eval(call)))
    stopifnot(max(abs(getME(fit, "theta") - unlist(case$theta))) < 1e-14)
    new <- new_frame(case)
    X <- fixed_matrix(fit, new)
    terms <- random_matrices(fit, new)
    all_columns <- lapply(terms, function(term) rep(1, length(term$names)))
    no_columns <- lapply(all_columns, `*`, 0)
    inverse <- henderson_inverse(fit)
    say <- function(...) unname(suppressMessages(suppressWarnings(predict(fit, new, allow.new.levels = TRUE, ...))))
    out <- list(
        formula = unbox(case$formula), sd = unbox(sd(getME(fit, "y"))), new_rows = unbox(sum(Reduce(`|`, lapply(terms, `[[`, "unknown")))),
        all = say(), none = say(re.form = NA), random_only = say(random.only = TRUE),
        newparams = say(newparams = list(beta = 1.5 * unname(fixef(fit)) + 0.1, theta = 1.2 * getME(fit, "theta"))),
        # NULL where lme4 1.1-31 stops because it blanks the columns that re.form does not name
        subsets = lapply(case$subsets, function(text) attempt(say(re.form = as.formula(text)))),
        se = list(
            all = standard_errors(fit, inverse, X, terms, all_columns), none = standard_errors(fit, inverse, X, terms, no_columns),
            random_only = standard_errors(fit, inverse, X, terms, all_columns, FALSE),
            subsets = lapply(case$subsets, function(text) standard_errors(fit, inverse, X, terms, columns_of(text, fit, terms, new)))
        )
    )
    if (isTRUE(case$simulated)) {
        set.seed(20240101)
        draw <- function(...) as.matrix(suppressWarnings(simulate(fit, DRAWS, ...)))
        quiet <- function(...) unname(suppressWarnings(simulate(fit, 1, cond.sim = FALSE, ...))[[1]])
        # NULL where simulate() of lme4 1.1-31 does not find the variables of an offset
        out$simulated <- list(
            draws = unbox(DRAWS), new_effects = attempt(moments(draw())), kept_effects = attempt(moments(draw(use.u = TRUE))),
            conditional_mean = attempt(head(quiet(re.form = NULL), SHOWN)),
            new_data = attempt(moments(draw(newdata = new, allow.new.levels = TRUE))),
            new_data_conditional_mean = attempt(quiet(newdata = new, re.form = NULL, allow.new.levels = TRUE))
        )
    }
    out
}

cases <- fromJSON(file("stdin"), simplifyVector = FALSE)
path <- "tests/inference/reference/prediction.json"
known <- if (file.exists(path)) fromJSON(path, simplifyVector = FALSE) else list()
known$versions <- list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")))
for (case in cases) {
    seconds <- system.time(answer <- prediction_reference(case))[["elapsed"]]
    known[[case$id]] <- answer
    cat(sprintf("%-45s %6.1f s\n", case$id, seconds))
}
write(toJSON(known, digits = I(15), auto_unbox = TRUE, na = "null", null = "null"), path)
