suppressPackageStartupMessages(library(lme4))
library(magrittr); library(dplyr, warn.conflicts = FALSE)

late <- sleepstudy %>%
  filter(Days >= 2, Days != 5) %>%   # fewer days
  mutate(week = Days / 7, high = ifelse(Reaction > 300, 1, 0))

late |> nrow()
fit <- late %>% lmer(Reaction ~ week + (1 | Subject), data = .)
fit %>% summary()
fit %>% fixef %>% print
late %>% group_by(Subject) %>% summarise(m = mean(Reaction))
fit2 <- lme4::lmer(Reaction ~ high + (1 | Subject), late)
