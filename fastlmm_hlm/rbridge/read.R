# What a fastlmm_hlm model is re-created from: the pieces of a fitted merMod, as plain vectors.

text_of <- function(expression) paste(deparse(expression, width.cutoff = 500L), collapse = " ")

# --- finding models -----------------------------------------------------------

READABLE <- c("lmerMod", "lmerModLmerTest", "merModLmerTest")
OTHER_MODELS <- c("merMod", "glmerMod", "nlmerMod", "rlmerMod", "blmerMod", "bglmerMod", "glmmTMB", "lme", "gls", "lm",
                  "glm", "gam", "brmsfit", "stanreg", "lmList4", "clmm", "mixor", "MixMod")

# All models in an object, named by the way to them: "" for the object itself, "a", "fits.2".
models_in <- function(object, path = "", depth = 0L) {
    if (isS4(object) || inherits(object, OTHER_MODELS)) {
        return(list(list(path = path, class = class(object)[1L], model = object)))
    }
    if (!is.list(object) || depth > 6L) return(list())
    names <- names(object)
    if (is.null(names)) names <- character(length(object))
    names[!nzchar(names)] <- seq_along(object)[!nzchar(names)]
    found <- Map(function(element, name) {
        models_in(element, if (nzchar(path)) paste(path, name, sep = ".") else name, depth + 1L)
    }, unclass(object), names)
    unname(do.call(c, unname(found)))
}

read_rds <- function(path) {
    object <- readRDS(path)
    list(class = class(object)[1L], single = isS4(object), found = models_in(object),
         writer = tryCatch(infoRDS(path)$writer_version, error = function(e) NULL))
}

read_rdata <- function(path) {
    store <- new.env()
    load(path, envir = store)
    objects <- as.list(store, all.names = TRUE)
    found <- models_in(objects[order(names(objects))])
    list(class = paste(names(objects), collapse = ", "), single = FALSE, found = found, writer = NULL)
}

given_object <- function(object) {
    list(class = class(object)[1L], single = isS4(object), found = models_in(object), writer = NULL)
}

# --- columns ------------------------------------------------------------------

# A vector as its kind and plain values.
described <- function(x) {
    if (is.factor(x)) {
        coding <- attr(x, "contrasts")
        if (is.character(coding)) coding <- coded(coding, levels(x))
        return(list(kind = "factor", codes = as.integer(x) - 1L, levels = levels(x), ordered = is.ordered(x), coding = as_matrix(coding)))
    }
    if (inherits(x, "POSIXt")) stop("date-times (POSIXct) are seconds in R's models; make a number of them in the data")
    if (inherits(x, "Date")) return(list(kind = "date", values = as.numeric(x)))
    if (is.character(x)) return(described(factor(x)))
    if (is.logical(x) && is.null(dim(x))) return(list(kind = "logical", values = as.integer(x)))
    if (!is.numeric(x)) stop("a variable of class ", class(x)[1L], " has no place in a model here")
    if (!is.null(dim(x))) {
        values <- matrix(as.numeric(x), nrow(x), ncol(x))
        if (ncol(x) == 1L && is.null(colnames(x))) return(list(kind = "number", values = values[, 1L]))
        names <- if (is.null(colnames(x))) as.character(seq_len(ncol(x))) else colnames(x)
        return(list(kind = "matrix", values = as.numeric(values), names = names))
    }
    if (is.integer(x)) list(kind = "integer", values = as.integer(x)) else list(kind = "number", values = as.numeric(x))
}

as_matrix <- function(coding) {
    if (is.null(coding)) return(NULL)
    coding <- as.matrix(coding)
    names <- if (is.null(colnames(coding))) as.character(seq_len(ncol(coding))) else colnames(coding)
    list(values = as.numeric(coding), names = names)
}

KNOWN_CODINGS <- c("contr.treatment", "contr.sum", "contr.helmert", "contr.poly", "contr.SAS")

# A coding by name as its matrix; the five that both sides know stay names.
coded <- function(coding, levels) {
    if (is.function(coding) || (is.character(coding) && !coding %in% KNOWN_CODINGS)) do.call(coding, list(levels))
    else if (is.character(coding)) get(coding, asNamespace("stats"))(levels)
    else coding
}

contrasts_used <- function(fit) {
    used <- attr(getME(fit, "X"), "contrasts")
    lapply(setNames(names(used), names(used)), function(name) {
        coding <- used[[name]]
        if (is.character(coding) && coding %in% KNOWN_CODINGS) list(name = coding)
        else list(matrix = as_matrix(coded(coding, levels(factor(fit@frame[[name]])))))
    })
}

# --- variables ----------------------------------------------------------------

REMEMBERED <- c("coefs", "knots", "Boundary.knots", "center", "scale")

# What a basis learned from the data, out of its call in predvars.
remembered <- function(call) {
    if (!is.call(call)) return(NULL)
    what <- as.list(call)[-1L]
    what <- what[names(what) %in% REMEMBERED]
    what <- lapply(what, function(value) tryCatch(eval(value, baseenv()), error = function(e) NULL))
    lapply(what, function(value) {
        if (is.list(value) && !is.null(value$alpha)) value[c("alpha", "norm2")]
        else if (is.list(value)) lapply(value, function(one) one[c("alpha", "norm2")])
        else if (is.logical(value)) value
        else as.numeric(value)
    })
}

is_offset <- function(variable) is.call(variable) && identical(variable[[1L]], quote(offset))

variables_of <- function(fit) {
    terms <- attr(fit@frame, "terms")
    variables <- as.list(attr(terms, "variables"))[-1L]
    predvars <- attr(terms, "predvars")
    predvars <- if (is.null(predvars)) variables else as.list(predvars)[-1L]
    Map(function(variable, predvar, column) {
        offset <- is_offset(variable)
        inner <- if (offset) variable[[2L]] else variable
        c(list(text = if (is.name(inner)) as.character(inner) else text_of(inner), is_name = is.name(inner), offset = offset,
               remembered = if (offset) NULL else remembered(predvar)),
          tryCatch(list(value = described(fit@frame[[column]])), error = function(e) {
              stop("the variable ", column, " cannot be taken over: ", conditionMessage(e), call. = FALSE)
          }))
    }, variables, predvars, seq_along(variables)) |> unname()
}

# The data that the call names, where they can still be reached: all rows of the columns that the model uses.
data_of <- function(fit) {
    call <- fit@call
    data <- tryCatch(eval(call$data, environment(formula(fit))), error = function(e) NULL)
    if (!is.data.frame(data) || is.null(call$data)) return(NULL)
    used <- unique(c(all.vars(attr(attr(fit@frame, "terms"), "variables")), all.vars(call$weights), all.vars(call$offset)))
    data <- as.data.frame(data)
    tryCatch(list(columns = lapply(data[intersect(used, names(data))], described_with_gaps), row_names = rownames(data)),
             error = function(e) NULL)
}

# The same for columns with missing values, which a model frame does not have.
described_with_gaps <- function(x) {
    if (is.logical(x) && anyNA(x)) list(kind = "number", values = as.numeric(x), whole = "logical")
    else if (is.integer(x) && anyNA(x)) list(kind = "number", values = as.numeric(x), whole = "integer")
    else if (anyNA(x) && is.character(x)) described_with_gaps(factor(x))
    else if (anyNA(x) && is.factor(x)) {
        out <- described(x)
        out$codes[is.na(out$codes)] <- -1L
        out
    } else described(x)
}

# --- the formula ----------------------------------------------------------------

formula_text <- function(fit) {
    formula <- formula(fit)
    if (!"." %in% all.vars(formula)) return(text_of(formula))
    columns <- intersect(attr(attr(fit@frame, "terms"), "varnames.fixed"), names(fit@frame))
    fixed <- terms(lme4::nobars(formula), data = fit@frame[columns])
    bars <- vapply(lme4::findbars(formula), text_of, "")
    paste(text_of(formula(fixed)), paste0("(", bars, ")", collapse = " + "), sep = " + ")
}

# Who found theta; models that to_r() made say so in their message.
optimizer_of <- function(fit) {
    message <- as.character(fit@optinfo$message)
    if (length(message) && grepl("^theta of fastlmm_hlm", message[1L])) message[1L]
    else paste("R:", as.character(fit@optinfo$optimizer)[1L])
}

# --- all of it -----------------------------------------------------------------

stored_model <- function(fit) {
    fit_class <- class(fit)[1L]
    if (!fit_class %in% READABLE) stop("not a linear mixed model of lme4: ", fit_class)
    if (is.null(getClassDef(fit_class)) || fit_class == "merModLmerTest") {
        class(fit) <- structure("lmerMod", package = "lme4")
    }
    if (any(dim(fit@frame) == 0L)) stop("the model frame is empty, so the model was stored without its data")
    X <- getME(fit, "X")
    Zt <- methods::as(getME(fit, "Zt"), "CsparseMatrix")
    omitted <- attr(fit@frame, "na.action")
    messages <- unlist(fit@optinfo$conv$lme4$messages)
    list(
        class = fit_class,
        versions = c(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4"))),
        formula = formula_text(fit),
        REML = lme4::isREML(fit),
        variables = variables_of(fit),
        data = data_of(fit),
        row_names = rownames(fit@frame),
        omitted = if (is.null(omitted)) NULL else
            list(class = class(omitted)[1L], positions = as.integer(omitted), names = names(omitted)),
        weights = if (is.null(fit@call$weights)) NULL else
            list(text = text_of(fit@call$weights), values = as.numeric(fit@resp$weights)),
        offset = if (is.null(fit@call$offset)) NULL else
            list(text = text_of(fit@call$offset), values = as.numeric(fit@frame[["(offset)"]])),
        contrasts = contrasts_used(fit),
        data_name = if (is.name(fit@call$data)) as.character(fit@call$data) else NULL,
        theta = as.numeric(getME(fit, "theta")),
        beta = as.numeric(fit@beta),
        sigma = as.numeric(sigma(fit)),
        groups = names(fit@cnms),
        group_columns = unname(fit@cnms),
        x_names = colnames(X),
        X = as.numeric(X),
        Zt = list(i = Zt@i, p = Zt@p, x = Zt@x, dim = dim(Zt)),
        y = as.numeric(getME(fit, "y")),
        total_offset = as.numeric(getME(fit, "offset")),
        prior_weights = as.numeric(weights(fit, type = "prior")),
        optimizer = optimizer_of(fit),
        evaluations = as.numeric(fit@optinfo$feval)[1L],
        code = as.numeric(fit@optinfo$conv$opt)[1L],
        messages = if (is.null(messages)) character() else as.character(messages)
    )
}
