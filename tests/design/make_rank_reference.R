# The columns that R's qr(X, tol = 1e-7) keeps, for matrices that are hard to judge.
#   Rscript tests/design/make_rank_reference.R      writes rank_reference.json beside this file
library(jsonlite)

set.seed(20)
n <- 12
one <- rep(1, n)
x <- round(rnorm(n), 3)
z <- round(rnorm(n), 3)
f <- rep(1:3, 4)
dummies <- outer(f, 1:3, "==") + 0
near <- function(size) x + size * round(z, 3)

cases <- list(
  independent = cbind(one, x, z),
  a_copy = cbind(one, x, x, z),
  a_copy_first = cbind(x, x, one, z),
  sum_of_two = cbind(one, x, z, x + z),
  a_zero_column = cbind(one, 0, x),
  only_zeros = matrix(0, n, 2),
  all_dummies_and_one = cbind(one, dummies),
  dummies_then_one = cbind(dummies, one),
  two_full_sets = cbind(dummies, outer(rep(1:4, each = 3), 1:4, "==") + 0),
  centred_copy = cbind(one, x, x - mean(x)),
  year_and_one = cbind(one, 2010 + f, (2010 + f)^2),
  year_cubic = cbind(one, 2010 + f + x, (2010 + f + x)^2, (2010 + f + x)^3),
  near_1e4 = cbind(one, x, near(1e-4)),
  near_1e6 = cbind(one, x, near(1e-6)),
  near_2e7 = cbind(one, x, near(2e-7)),
  near_5e8 = cbind(one, x, near(5e-8)),
  near_1e9 = cbind(one, x, near(1e-9)),
  near_then_good = cbind(one, x, near(1e-9), z, near(1e-5)),
  tiny_scale = cbind(one, 1e-12 * x, 1e-12 * z),
  huge_scale = cbind(one, 1e12 * x, 1e-9 * z),
  small_copy = cbind(one, 1e6 * x, 1e-6 * x),
  constant_far_from_one = cbind(one, 1e8 + one),
  wide = cbind(one, x, z, x^2, z^2, x * z)[1:4, ],
  wide_with_copy = cbind(one, one, x, z, x^2, z^2)[1:3, ],
  one_row = cbind(one, x)[1, , drop = FALSE],
  one_column = cbind(x),
  interaction = cbind(one, dummies[, 2:3], x, dummies[, 2:3] * x, (1 - dummies[, 2] - dummies[, 3]) * x),
  alternating = cbind(x, one, x, z, one, z, x * z)
)

kept <- function(X) {
  q <- qr(unname(X), tol = 1e-7, LAPACK = FALSE)
  sort(q$pivot[seq_len(q$rank)]) - 1L
}

out <- list(
  R = R.version.string,
  tolerance = 1e-7,
  cases = lapply(cases, function(X) list(X = unname(X), kept = I(kept(X))))
)
arguments <- commandArgs(FALSE)
here <- dirname(sub("--file=", "", grep("--file=", arguments, value = TRUE)))
writeLines(toJSON(out, digits = NA, auto_unbox = TRUE), file.path(here, "rank_reference.json"))
