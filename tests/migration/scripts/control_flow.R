library(lme4)
x <- NULL
m0 <- lmer(Yield ~ 1 + (1 | Batch), Dyestuff)
if (isSingular(m0)) {
  cat("singular\n")
} else if (AIC(m0) > 1000) {
  # large
  cat("large\n")
} else {
  m1 <- update(m0, REML = FALSE)
}
i <- 0
while (i < 3) {
  i <- i + 1
  if (i == 2) next
  cat("round", i, "\n")
}
repeat { break }
for (k in 1:nobs(m0)) y <- k
for (name in c("Dyestuff", "Dyestuff2")) print(get(name))
p <- if (is.null(x)) 1 else 2
attach(Dyestuff)
mean(Yield)
f <- Yield ~ 1 + (1 | Batch)
m2 <- lmer(f, Dyestuff2)
m3 <- lmer(formula = f, data = subset(Dyestuff2, Batch != "A"))
g <- glmer(Yield > 5 ~ 1 + (1 | Batch), Dyestuff2, family = binomial)
summary(g)
