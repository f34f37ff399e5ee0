# make_residuals_reference.R: residuals and what rests on them, by lme4 and by definition, as JSON.
#
#   python -m parity.cases ID ... > cases.json
#   Rscript tests/inference/make_residuals_reference.R cases.json tests/inference/reference/residuals.json
#
# from the top of the repository.  The committed file was made with R 4.2.2 and lme4 1.1-31, from the
# cases that it names.  V is formed in full from getME(fit, "Z"), Lambda and the weights.  The optimum is that of
# the parity suite (parity/lme4_search.R), so the numbers are good for more digits than a default fit.

source("parity/lme4_reference.R")
source("parity/lme4_search.R")

arguments <- commandArgs(trailingOnly = TRUE)
cases <- fromJSON(arguments[1], simplifyVector = FALSE)

best_fit <- function(case, frame) {
    default <- default_fit(case, frame)
    parts <- model_parts(case, frame)
    devfun <- do.call(mkLmerDevfun, c(parts, list(control = lmerControl())))
    own <- own_optima(devfun, parts$reTrms, getME(default$fit, "theta"), "live")
    best <- best_theta(devfun, parts, lapply(own, `[[`, "theta"), "live")
    criterion <- devfun(best$theta)
    opt <- list(par = best$theta, fval = criterion, feval = NA, conv = 0, message = "")
    mkMerMod(environment(devfun), opt, parts$reTrms, parts$fr, mc = case_call(case, quote(lme4::lmer)))
}

all_nested <- function(flist) {
    k <- length(flist)
    if (k < 2) return(TRUE)
    for (i in seq_len(k - 1)) for (j in (i + 1):k) if (!isNested(flist[[i]], flist[[j]])) return(FALSE)
    TRUE
}

# Rows with the levels of nested factors together, levels as they first appear.
sequence_of <- function(flist) {
    keys <- lapply(rev(flist), function(f) match(f, unique(f)))
    do.call(order, c(unname(keys), list(seq_along(flist[[1]]))))
}

residuals_of <- function(fit) {
    X <- getME(fit, "X"); Z <- as.matrix(getME(fit, "Z")); Lambda <- as.matrix(getME(fit, "Lambda"))
    w <- weights(fit); s <- sigma(fit); n <- length(w)
    flist <- getME(fit, "flist"); nested <- all_nested(flist)
    V <- s^2 * (Z %*% Lambda %*% t(Lambda) %*% t(Z) + diag(1 / w, n))
    xi <- getME(fit, "y") - getME(fit, "offset") - as.vector(X %*% fixef(fit))
    Vi <- solve(V)
    variance <- diag(V - X %*% solve(t(X) %*% Vi %*% X, t(X)))
    rows <- if (nested) sequence_of(flist) else seq_len(n)
    chol_residuals <- numeric(n)
    chol_residuals[rows] <- forwardsolve(t(chol(V[rows, rows])), xi[rows])
    e <- eigen(sqrt(outer(w, w)) * V, symmetric = TRUE)
    symmetric <- as.vector(e$vectors %*% ((t(e$vectors) %*% (sqrt(w) * xi)) / sqrt(e$values)))
    r <- unname(residuals(fit))
    answer <- list(marginal = xi, cholesky = chol_residuals, symmetric = symmetric, marginal_standardized = xi / sqrt(variance),
                   standardized = r * sqrt(w) / (s * sqrt(1 - unname(hatvalues(fit)))))
    for (type in c("response", "pearson", "deviance", "working")) {
        answer[[type]] <- unname(residuals(fit, type))
        answer[[paste0(type, "_scaled")]] <- unname(residuals(fit, type, scaled = TRUE))
    }
    if (nested) {
        ls <- numeric(n); leverage <- numeric(n)
        columns <- cbind(X, do.call(cbind, getME(fit, "mmList")))
        y <- getME(fit, "y") - getME(fit, "offset")
        for (level in levels(flist[[1]])) {
            at <- which(flist[[1]] == level)
            own <- lm.wfit(columns[at, , drop = FALSE], y[at], w[at])
            ls[at] <- own$residuals
            leverage[at] <- hat_of(own)
        }
        answer$least_squares <- ls
        answer$least_squares_left <- sum(1 - leverage)
    }
    lapply(answer, vector_summary)
}

hat_of <- function(own) {
    Q <- qr.qy(own$qr, diag(1, nrow(own$qr$qr), own$rank))
    rowSums(Q^2)
}

# Least squares effects, and numbers from the conditional variances, of each factor.
levels_of <- function(fit) {
    modes <- ranef(fit, condVar = TRUE)
    flist <- getME(fit, "flist"); w <- weights(fit)
    xi <- getME(fit, "y") - getME(fit, "offset") - as.vector(getME(fit, "X") %*% fixef(fit))
    mm <- getME(fit, "mmList"); factor_of <- names(getME(fit, "cnms"))
    lapply(names(modes), function(name) {
        b <- as.matrix(modes[[name]])
        variances <- attr(modes[[name]], "postVar")
        variances <- if (is.list(variances)) do.call(cbind, lapply(variances, function(v) conditional_sd(v)^2)) else conditional_sd(variances)^2
        tau <- unlist(lapply(unname(VarCorr(fit)[factor_of == name]), function(S) diag(as.matrix(S))), use.names = FALSE)
        zs <- do.call(cbind, mm[factor_of == name])
        ls <- t(vapply(levels(flist[[name]]), function(level) {
            at <- flist[[name]] == level; z <- zs[at, , drop = FALSE]
            tryCatch(as.vector(solve(crossprod(z * sqrt(w[at])), crossprod(z, w[at] * xi[at]))), error = function(e) rep(NA_real_, ncol(z)))
        }, numeric(ncol(zs))))
        if (ncol(zs) == 1) ls <- t(ls)
        ranks <- vapply(seq_len(ncol(b)), function(j) {
            vapply(seq_len(nrow(b)), function(i) 1 + sum(pnorm((b[i, j] - b[-i, j]) / sqrt(variances[i, j] + variances[-i, j]))), 0)
        }, numeric(nrow(b)))
        list(group = unbox(name), ls = unname(ls), rank = ranks, reliability = unname(1 - sweep(variances, 2, tau, "/")),
             shapiro = if (nrow(b) >= 3) apply(b, 2, function(x) if (diff(range(x)) > 0) shapiro.test(x)$p.value else NA) |> unname())
    })
}

out <- list(R = unbox(as.character(getRversion())), lme4 = unbox(as.character(packageVersion("lme4"))))
for (case in cases) {
    frame <- read_frame(case$path, case$types)
    fit <- best_fit(case, frame)
    out$cases[[case$id]] <- list(rows = residuals_of(fit), levels = levels_of(fit))
    cat(case$id, "\n", file = stderr())
}
writeLines(toJSON(out, digits = I(14), na = "null", null = "null"), arguments[2])
