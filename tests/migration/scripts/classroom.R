# Students in classes
library(lme4)
library(ggplot2)

# read the data
classroom <- read.csv("../../../fastlmm_hlm/datasets/classroom.csv")
head(classroom)
str(classroom)
tapply(classroom$score, classroom$class, mean)

classroom$college <- ifelse(classroom$parent.ed %in% c("college", "graduate"), 1, 0)

# how much do classes differ?
fit <- lmer(score ~ 1 + (1 | class), data = classroom)   # averages
summary(fit)
ranef(fit)$class

slopes <- lmer(score ~ exam.prep.days + poverty + college +
                 (1 + exam.prep.days | class), data = classroom)
fixef(slopes)
head(ranef(slopes)$class)
# the line of each class
lines.of.class <- ranef(slopes)$class + fixef(slopes)
apply(lines.of.class, 2, mean)
averages <- fixef(fit)["(Intercept)"] + ranef(fit)$class[, 1]
classroom$fitted <- predict(slopes)
ggplot(classroom, aes(exam.prep.days, score, group = class)) + geom_line(aes(y = fitted))
anova(fit, slopes)
