# lme4_search.R: find the theta that minimizes lme4's deviance function.

TIGHT <- list(
    bobyqa = list(rhoend = 1e-9, maxfun = 1e5),
    Nelder_Mead = list(FtolAbs = 1e-11, FtolRel = 1e-15, XtolRel = 1e-10, maxfun = 1e5),
    nlminbwrap = list(rel.tol = 1e-14, abs.tol = 0, x.tol = 1e-12, eval.max = 1e5, iter.max = 1e5),
    nloptwrap = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 1e5)
)
START_SCALES <- c(0.3, 3)
LARGE <- 20000L
NEWTON_STEPS <- 12L
FINISHED <- 1e-13
CURVATURE_FLOOR <- 1e-7
NEGLIGIBLE <- 1e-9
# Steps 0.01 (|w| + 1), then halved three times: wide enough for rounding not to matter.
DIFFERENCES <- list(d = 0.01, eps = 0.01, zero.tol = Inf)

# The optima that lme4's own optimizers report, with tight tolerances.
own_optima <- function(devfun, reTrms, default_theta, effort) {
    if (effort == "live") {
        runs <- list(nloptwrap = list("nloptwrap", default_theta))
    } else {
        unit <- ifelse(reTrms$lower == 0, 1, 0)
        runs <- lapply(setNames(nm = names(TIGHT)), list, reTrms$theta)
        for (scale in START_SCALES) {
            runs[[sprintf("bobyqa from %g", scale)]] <- list("bobyqa", scale * unit)
            runs[[sprintf("nloptwrap from %g", scale)]] <- list("nloptwrap", scale * unit)
        }
    }
    found <- lapply(runs, function(run) {
        opt <- tryCatch(
            suppressMessages(suppressWarnings(optimizeLmer(devfun, run[[1L]], start = run[[2L]], control = TIGHT[[run[[1L]]]]))),
            error = identity
        )
        if (inherits(opt, "error")) return(NULL)
        theta <- pmax(as.vector(opt$par), reTrms$lower)
        list(theta = theta, criterion = devfun(theta))
    })
    Filter(function(one) !is.null(one) && is.finite(one$criterion), found)
}

# Per term: T with (x T)'(x T) / n = 1, or scales only if x has dependent columns.
whiteners <- function(reTrms) {
    lapply(term_columns(reTrms), function(x) {
        moments <- crossprod(x) / nrow(x)
        root <- tryCatch(chol(moments), error = function(e) NULL)
        if (is.null(root) || rcond(root) < 1e-12) diag(1 / sqrt(diag(moments)), ncol(x)) else backsolve(root, diag(ncol(x)))
    })
}

# Lower triangular factor of m m' with a diagonal that is not negative.
lower_factor <- function(m) {
    R <- qr.R(qr(t(m), LAPACK = FALSE, tol = 0))
    t(R * ifelse(diag(R) < 0, -1, 1))
}

# Theta with each term's template multiplied by a matrix from the left.
transform_theta <- function(theta, multipliers) {
    sizes <- vapply(multipliers, nrow, 0L)
    lengths <- sizes * (sizes + 1L) / 2L
    pieces <- split(theta, rep(seq_along(sizes), lengths))
    unlist(Map(function(piece, multiplier) {
        lambda <- matrix(0, nrow(multiplier), nrow(multiplier))
        lambda[lower.tri(lambda, diag = TRUE)] <- piece
        image <- lower_factor(multiplier %*% lambda)
        image[lower.tri(image, diag = TRUE)]
    }, pieces, multipliers), use.names = FALSE)
}

# Newton's method with |eigenvalues| of a difference Hessian; accepts only descent.
newton_polish <- function(f, w) {
    value <- f(w)
    gradient <- numDeriv::grad(f, w, method.args = DIFFERENCES)
    for (step in seq_len(NEWTON_STEPS)) {
        curvature <- eigen(numDeriv::hessian(f, w, method.args = DIFFERENCES), symmetric = TRUE)
        size <- pmax(abs(curvature$values), CURVATURE_FLOOR * max(abs(curvature$values)))
        direction <- -as.vector(curvature$vectors %*% (crossprod(curvature$vectors, gradient) / size))
        predicted <- -sum(direction * gradient) / 2
        shrink <- 1
        while (shrink > 1e-4 && f(w + shrink * direction) > value + 1e-12 * abs(value)) shrink <- shrink / 4
        if (shrink <= 1e-4) break
        w <- w + shrink * direction
        value <- f(w)
        gradient <- numDeriv::grad(f, w, method.args = DIFFERENCES)
        if (predicted < FINISHED) break
    }
    list(w = w, value = value, gradient_norm = sqrt(sum(gradient^2)))
}

# Set diagonal elements that do not matter to exactly zero, as lme4 does.
snap_to_zero <- function(f, w, lower) {
    value <- f(w)
    for (j in which(lower == 0 & w < 1e-3)) {
        candidate <- replace(w, j, 0)
        if (f(candidate) <= value + NEGLIGIBLE) w <- candidate
    }
    w
}

# lme4's deviance function of the same model with whitened columns in Z and X.
#
# The covariance template of a term in the new columns is solve(T) times the old
# one, so the likelihood is the same function of the model, up to a constant from
# log|RX|; only its arguments and its rounding errors change.
whitened_devfun <- function(parts, to_user) {
    blocks <- Map(function(T, Zt) {
        Matrix::kronecker(Matrix::Diagonal(nrow(Zt) / nrow(T)), as(t(T), "CsparseMatrix")) %*% Zt
    }, to_user, parts$reTrms$Ztlist)
    parts$reTrms$Zt <- as(do.call(rbind, unname(blocks)), "CsparseMatrix")
    parts$X <- qr.Q(qr(parts$X)) * sqrt(nrow(parts$X))
    devfun <- do.call(mkLmerDevfun, c(parts, list(control = lmerControl())))
    identities <- lapply(to_user, function(T) diag(nrow(T)))
    function(w) devfun(transform_theta(w, identities))
}

# The best theta over all starts; whitened coordinates.
best_theta <- function(devfun, parts, starts, effort) {
    lower <- parts$reTrms$lower
    to_user <- whiteners(parts$reTrms)
    to_white <- lapply(to_user, solve)
    f <- whitened_devfun(parts, to_user)
    unit <- ifelse(lower == 0, 1, 0)
    ours <- lapply(starts, transform_theta, to_white)
    scores <- vapply(ours, f, 0)
    candidates <- ours[order(scores)[1L]]
    if (effort == "full" || nrow(parts$X) < LARGE) candidates <- c(candidates, list(unit))
    if (effort == "full") candidates <- c(candidates, list(0.2 * unit))
    found <- lapply(candidates, function(w) {
        run <- if (length(w) == 1L) {
            optimize(f, c(0, 2 * w + 5), tol = 1e-9)[c("minimum", "objective")] |> setNames(c("par", "fval"))
        } else {
            minqa::bobyqa(w, f, control = list(rhobeg = 0.2, rhoend = 1e-6, maxfun = 2e4))[c("par", "fval")]
        }
        if (run$fval < f(w)) run else list(par = w, fval = f(w))
    })
    best <- found[[which.min(vapply(found, `[[`, 0, "fval"))]]
    polished <- newton_polish(f, best$par)
    white <- transform_theta(polished$w, lapply(to_user, function(T) diag(nrow(T))))
    white <- snap_to_zero(f, white, lower)
    list(theta = transform_theta(white, to_user), gradient_norm = polished$gradient_norm)
}
