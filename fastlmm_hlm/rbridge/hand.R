# A merMod at given theta, made by lme4's own steps without its optimizer.

column_of <- function(column) {
    values <- column$values
    switch(
        column$kind,
        factor = factor(column$levels[values + 1L], levels = column$levels, ordered = column$ordered),
        date = structure(values, class = "Date"),
        values
    )
}

data_frame <- function(columns, row_names) {
    frame <- lapply(columns, column_of)
    structure(frame, class = "data.frame", row.names = if (is.null(row_names)) .set_row_names(length(frame[[1L]])) else row_names)
}

coding_of <- function(coding) {
    if (!is.null(coding$name)) return(coding$name)
    matrix(coding$values, ncol = length(coding$names), dimnames = list(coding$levels, coding$names))
}

# The model of `given` with its data in an environment of their own, where update() and others find them.
made_model <- function(given) {
    home <- new.env(parent = globalenv())
    data <- data_frame(given$columns, given$row_names)
    assign(given$data_name, data, envir = home)
    formula <- as.formula(str2lang(given$formula), env = home)
    call <- list(formula = str2lang(given$formula), data = as.name(given$data_name), REML = given$REML)
    for (name in c("weights", "offset", "subset")) {
        if (!is.null(given[[name]])) call[[name]] <- str2lang(given[[name]])
    }
    if (!is.null(given$contrasts)) call$contrasts <- lapply(given$contrasts, coding_of)
    if (given$na_action == "exclude") call$na.action <- quote(na.exclude)
    parts <- eval(as.call(c(quote(lme4::lFormula), call, list(control = lme4::lmerControl(
        check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore", check.nlev.gtr.1 = "ignore", check.rankX = "silent.drop.cols"
    )))), home)
    check_parts(parts, given)
    parts$control <- lme4::lmerControl()
    devfun <- do.call(lme4::mkLmerDevfun, parts)
    optimum <- list(par = given$theta, fval = devfun(given$theta), feval = as.integer(given$evaluations), conv = 0L,
                    message = given$optimizer)
    attr(optimum, "optimizer") <- "nloptwrap"          # refit() in R goes on with it
    attr(optimum, "control") <- list()
    fit <- lme4::mkMerMod(environment(devfun), optimum, parts$reTrms, parts$fr, mc = as.call(c(quote(lme4::lmer), call)))
    environment(attr(fit@frame, "formula")) <- home
    if (!is.null(given$beta)) fit <- with_parameters(fit, given)
    if (given$lmerTest) as_lmerTest(fit, call, home) else fit
}

# The design must be the one of the fit: names, rows, response.
check_parts <- function(parts, given) {
    refuse <- function(what, here, there) {
        if (!identical(here, there)) stop(what, " in R: ", paste(here, collapse = ", "), "; in the fit: ", paste(there, collapse = ", "), call. = FALSE)
    }
    refuse("rows", nrow(parts$X), as.integer(given$n))
    refuse("fixed effects", as.character(colnames(parts$X)), as.character(given$x_names))
    refuse("number of variance parameters", length(parts$reTrms$theta), length(given$theta))
    refuse("grouping factors of the terms", names(parts$reTrms$cnms), as.character(given$groups))
    refuse("columns of the random terms", unlist(parts$reTrms$cnms, use.names = FALSE), as.character(given$group_columns))
    y <- as.numeric(model.response(parts$fr))
    if (max(abs(y - given$y)) > 1e-8 * max(abs(y))) stop("the response of the fit is not the one in its data", call. = FALSE)
    X <- matrix(given$X, nrow(parts$X))
    far <- apply(abs(parts$X - X), 2L, max) > 1e-8 * apply(abs(X), 2L, max)
    if (any(far)) {
        stop("R makes another column ", colnames(parts$X)[far][1L], " of these data than the fit has; ",
             "did its basis come from rows that are not among them? Read the model with all rows, data=", call. = FALSE)
    }
}

# Parameters that were given and not estimated: the slots that lme4's functions read.
with_parameters <- function(fit, given) {
    Lt <- getME(fit, "Lambdat")
    LtZt <- Lt %*% getME(fit, "Zt")
    w <- weights(fit, type = "prior")
    mu <- as.numeric(getME(fit, "X") %*% given$beta) + getME(fit, "offset")
    M <- Matrix::tcrossprod(LtZt %*% Matrix::Diagonal(x = sqrt(w))) + Matrix::Diagonal(nrow(Lt))
    u <- as.numeric(Matrix::solve(M, LtZt %*% (w * (getME(fit, "y") - mu))))
    fit@beta <- given$beta
    fit@u <- u
    fit@pp$setDelb(given$beta)
    fit@pp$setDelu(u)
    fit@resp$updateMu(mu - getME(fit, "offset") + as.numeric(Matrix::crossprod(LtZt, u)))
    fit@devcomp$cmp[if (given$REML) "sigmaREML" else "sigmaML"] <- given$sigma
    fit@devcomp$cmp[if (given$REML) "REML" else "dev"] <- given$criterion
    fit
}

as_lmerTest <- function(fit, call, home) {
    if (!requireNamespace("lmerTest", quietly = TRUE)) {
        stop("lmerTest=True needs R's package lmerTest; in R: install.packages(\"lmerTest\")", call. = FALSE)
    }
    made <- lmerTest::as_lmerModLmerTest(fit)
    made@call <- as.call(c(quote(lmerTest::lmer), call))
    made
}

assigned <- function(model, name) {
    assign(name, model, envir = globalenv())
    invisible(NULL)
}

saved <- function(model, path) {
    saveRDS(model, path)
    invisible(NULL)
}
