# lme4_answers.R: one model in lme4, and what lme4 says of it at three points.
#
#   default   lmer() as it is called without further arguments
#   refit     lme4's optimizers with tight tolerances, from the optimum that the default fit reports; where that is
#             the optimum but for digits, Newton steps on lme4's own deviance function follow
#   at_ours   no optimizer: lme4's own deviance function, and its results, at a theta that is given
#
# The environment holds the data as `frame`.  Each object of lme4 made from one deviance function shares
# its state, so all answers are read off before the function is evaluated again.

local({
    TIGHT <- list(
        nloptwrap = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 1e5),
        bobyqa = list(rhoend = 1e-9, maxfun = 1e5),
        Nelder_Mead = list(FtolAbs = 1e-11, FtolRel = 1e-15, XtolRel = 1e-10, maxfun = 1e5),
        nlminbwrap = list(rel.tol = 1e-14, abs.tol = 0, x.tol = 1e-12, eval.max = 1e5, iter.max = 1e5)
    )
    SHORT <- 1
    # Closer to the theta found here than this, in scaled coordinates, nothing is left to be gained.
    CLOSE <- 1e-7
    NEWTON_STEPS <- 8L
    STEPS <- list(eps = 0.05, d = 0.05, zero.tol = Inf)

    model_call <- function(what, env, settings) {
        arguments <- list(formula = as.formula(settings$formula, env), data = quote(frame), REML = settings$REML)
        for (name in c("weights", "offset", "subset")) {
            if (!is.null(settings[[name]])) arguments[[name]] <- str2lang(settings[[name]])
        }
        if (!is.null(settings$contrasts)) arguments$contrasts <- settings$contrasts
        arguments$na.action <- as.name(settings$na_action)
        as.call(c(what, arguments))
    }

    # The fit that a user of lme4 gets, all that was said on the way, and its time; a short one is timed twice.
    default_fit <- function(env, settings) {
        said <- character()
        call <- model_call(quote(lme4::lmer), env, settings)
        listen <- function(expr) withCallingHandlers(
            expr,
            warning = function(w) { said <<- c(said, conditionMessage(w)); invokeRestart("muffleWarning") },
            message = function(m) { said <<- c(said, conditionMessage(m)); invokeRestart("muffleMessage") }
        )
        seconds <- system.time(fit <- listen(eval(call, env)))[["elapsed"]]
        if (seconds < SHORT) seconds <- min(seconds, system.time(suppressMessages(suppressWarnings(eval(call, env))))[["elapsed"]])
        list(fit = fit, seconds = seconds, warnings = unique(trimws(unlist(strsplit(c(said, unlist(fit@optinfo$conv$lme4$messages)), ";(?=Model)", perl = TRUE)))))
    }

    conditional_variances <- function(b) {
        variances <- attr(b, "postVar")
        if (is.list(variances)) lapply(unname(variances), unname) else list(unname(variances))
    }

    # The coefficient table of lmerTest, or lme4's; with the reason if lmerTest cannot make it.
    coefficients_of <- function(fit, env, ddf) {
        if (ddf == "lme4") return(list(table = coef(summary(fit)), problem = NULL))
        env$.fit <- fit
        env$.ddf <- ddf
        doubts <- character()
        tryCatch(
            withCallingHandlers({
                table <- eval(quote(coef(summary(lmerTest::as_lmerModLmerTest(.fit), ddf = .ddf))), env)
                list(table = table, problem = NULL, doubts = doubts)
            },
            warning = function(w) { doubts <<- c(doubts, conditionMessage(w)); invokeRestart("muffleWarning") },
            message = function(m) invokeRestart("muffleMessage")),
            error = function(e) list(table = coef(summary(fit)), problem = conditionMessage(e), doubts = doubts)
        )
    }

    answers <- function(fit, env, settings, criterion) {
        modes <- lme4::ranef(fit, condVar = TRUE)
        variances <- as.data.frame(lme4::VarCorr(fit))
        V <- as.matrix(vcov(fit))
        list(
            criterion = criterion,
            fixef_names = names(lme4::fixef(fit)), fixef = unname(lme4::fixef(fit)), vcov = unname(V),
            VarCorr = list(grp = variances$grp, var1 = variances$var1, var2 = variances$var2, vcov = variances$vcov),
            sigma = sigma(fit), theta = unname(lme4::getME(fit, "theta")), singular = lme4::isSingular(fit),
            ranef = lapply(modes, function(b) list(
                levels = rownames(b), terms = colnames(b), modes = unname(as.matrix(b)), variances = conditional_variances(b)
            )),
            # + 0 copies: the next evaluation writes into the same memory
            fitted = fit@resp$mu + 0, residuals = fit@resp$y - fit@resp$mu,
            rows = as.integer(rownames(fit@frame)),
            logLik = as.numeric(logLik(fit)), npar = attr(logLik(fit), "df"), AIC = AIC(fit), BIC = BIC(fit),
            df_residual = df.residual(fit), nobs = nobs(fit), ngrps = as.list(lme4::ngrps(fit)),
            rows_left_out = nrow(env$frame) - nobs(fit),
            coefficients = coefficients_of(fit, env, settings$ddf)
        )
    }

    fit_at <- function(theta, devfun, parts, call) {
        value <- devfun(theta)
        opt <- list(par = theta, fval = value, feval = NA, conv = 0, message = "")
        list(fit = lme4::mkMerMod(environment(devfun), opt, parts$reTrms, parts$fr, mc = call), criterion = value)
    }

    # Satterthwaite's degrees of freedom from lme4's functions alone, in steps of a scale in which the criterion curves
    # alike in all directions: theta = theta0 + scale w.  lmerTest differentiates by theta itself, whose elements
    # may be of very different sizes.  sigma is profiled out exactly: 2 f^2 / (g' 2 D^-1 g + 2 f^2 / N), where f is
    # a variance of a fixed effect, g its gradient and D the Hessian of the profiled criterion.
    scaled_df <- function(theta, scale, devfun, df_N) {
        at <- function(w) {
            value <- devfun(as.vector(theta + scale %*% w))
            rho <- environment(devfun)
            s2 <- (rho$resp$wrss() + rho$pp$sqrL(1)) / df_N
            list(value = value, variances = s2 * diag(rho$pp$unsc()))
        }
        zero <- numeric(length(theta))
        D <- numDeriv::hessian(function(w) at(w)$value, zero, method.args = STEPS)
        G <- numDeriv::jacobian(function(w) at(w)$variances, zero, method.args = STEPS)
        f <- at(zero)$variances
        as.vector(2 * f^2 / (2 * rowSums(G * t(solve(D, t(G)))) + 2 * f^2 / df_N))
    }

    differs <- function(table, ours) {
        is.matrix(table) && "df" %in% colnames(table) && any(abs(table[, "df"] / ours - 1) > 1e-3)
    }

    search_from <- function(theta, optimizer, devfun, lower) {
        opt <- tryCatch(
            suppressMessages(suppressWarnings(
                lme4::optimizeLmer(devfun, optimizer, start = theta, control = TIGHT[[optimizer]], calc.derivs = FALSE)
            )),
            error = identity
        )
        if (inherits(opt, "error")) return(NULL)
        theta <- pmax(as.vector(opt$par), lower)
        list(theta = theta, criterion = devfun(theta))
    }

    # Newton steps in scaled coordinates.  An optimizer that compares values stops where these stop changing, at
    # half the digits of theta; differences over wide steps see the gradient beyond that.
    newton_from <- function(theta, scale, devfun, lower) {
        f <- function(w) devfun(as.vector(theta + scale %*% w))
        w <- numeric(length(theta))
        value <- f(w)
        for (step in seq_len(NEWTON_STEPS)) {
            centre <- w
            local_f <- function(v) f(centre + v)
            gradient <- numDeriv::grad(local_f, 0 * w, method.args = STEPS)
            curvature <- eigen(numDeriv::hessian(local_f, 0 * w, method.args = STEPS), symmetric = TRUE)
            size <- pmax(abs(curvature$values), 1e-7 * max(abs(curvature$values)))
            move <- -as.vector(curvature$vectors %*% (crossprod(curvature$vectors, gradient) / size))
            if (f(w + move) > value + 1e-12 * abs(value)) break
            w <- w + move
            value <- f(w)
            if (max(abs(move)) < CLOSE / 10) break
        }
        found <- as.vector(theta + scale %*% w)
        # lme4's side of a boundary, and exactly on it if nothing is lost by that
        found <- ifelse(lower == 0 & found < 0, 0, found)
        at <- devfun(found)
        for (j in which(lower == 0 & found < 1e-3)) {
            if (devfun(replace(found, j, 0)) <= at + 1e-9) found[j] <- 0
        }
        list(theta = found, criterion = devfun(found))
    }

    function(env, settings, ours) {
        default <- default_fit(env, settings)
        parts <- suppressMessages(suppressWarnings(eval(model_call(quote(lme4::lFormula), env, settings), env)))
        devfun <- do.call(lme4::mkLmerDevfun, c(parts, list(control = lme4::lmerControl())))
        call <- model_call(quote(lme4::lmer), env, settings)
        lower <- parts$reTrms$lower
        theirs <- lme4::getME(default$fit, "theta")
        start <- devfun(theirs)

        searches <- list(nloptwrap = search_from(theirs, "nloptwrap", devfun, lower))
        lowest <- function() min(start, vapply(Filter(Negate(is.null), searches), `[[`, 0, "criterion"))
        if (!is.null(ours) && lowest() > ours$criterion + ours$tolerance) {
            for (optimizer in setdiff(names(TIGHT), "nloptwrap")) searches[[optimizer]] <- search_from(theirs, optimizer, devfun, lower)
            searches[["bobyqa from lme4's first start"]] <- search_from(parts$reTrms$theta, "bobyqa", devfun, lower)
        }
        searches <- Filter(Negate(is.null), searches)
        best <- function() {
            criteria <- vapply(searches, `[[`, 0, "criterion")
            if (length(criteria) && min(criteria) <= start) searches[[which.min(criteria)]]$theta else theirs
        }
        refit <- best()
        if (!is.null(ours$scale) && requireNamespace("numDeriv", quietly = TRUE) && abs(lowest() - ours$criterion) <= ours$tolerance &&
            max(abs(solve(ours$scale, refit - ours$theta))) > CLOSE) {
            polished <- tryCatch(newton_from(refit, ours$scale, devfun, lower), error = function(e) NULL)
            if (!is.null(polished) && polished$criterion <= lowest() + ours$tolerance / 100) {
                searches[["Newton steps on lme4's function"]] <- polished
                refit <- polished$theta
            }
        }
        criteria <- vapply(searches, `[[`, 0, "criterion")

        out <- list(
            default = c(answers(default$fit, env, settings, start),
                        list(evaluations = default$fit@optinfo$feval, optimizer = default$fit@optinfo$optimizer)),
            seconds = default$seconds, warnings = default$warnings,
            optimizers = as.list(criteria)
        )
        again <- fit_at(refit, devfun, parts, call)
        out$refit <- answers(again$fit, env, settings, again$criterion)
        if (!is.null(ours) && length(ours$theta) == length(theirs)) {
            there <- fit_at(ours$theta, devfun, parts, call)
            out$at_ours <- answers(there$fit, env, settings, there$criterion)
            table <- out$at_ours$coefficients$table
            if (settings$ddf == "Satterthwaite" && !is.null(ours$df) && differs(table, ours$df)) {
                df_N <- nobs(there$fit) - (if (settings$REML) length(ours$df) else 0)
                out$scaled_df <- tryCatch(scaled_df(ours$theta, ours$scale, devfun, df_N), error = function(e) NULL)
            }
            from_ours <- search_from(ours$theta, "nloptwrap", devfun, lower)
            out$from_ours <- if (is.null(from_ours)) NULL else from_ours$criterion
        }
        out
    }
})
