library(lme4)

# fits one model; the argument is changed inside only
fit.one <- function(data, reml = TRUE) {
  data$half <- data$Days / 2        # in units of two days

  lmer(Reaction ~ half + (1 | Subject), data = data, REML = reml)
}

icc.of <- function(m) {
  v <- as.data.frame(VarCorr(m))
  v$vcov[1] / sum(v$vcov)
}
never.called <- function(x) x + 1
counter <- 0
add <- function(k) { counter <<- counter + k }
vary <- function(...) lmer(...)

one <- fit.one(sleepstudy)
two <- fit.one(sleepstudy, reml = F)
icc.of(one)
add(1)
counter
three <- vary(Reaction ~ 1 + (1 | Subject), data = sleepstudy)
summary(three)
