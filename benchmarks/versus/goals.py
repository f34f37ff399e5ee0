"""The ratios this project means to reach, in CPU seconds, with the same estimates."""

# case -> times as fast as lme4
LME4 = {"sleep": 10, "insteval": 20, "nested": 100, "slopes": 100, "growth": 200, "maximal": 50, "crossed": 20}
# case -> times as fast as the fastest Python program
PYTHON = {"sleep": 2, "nested": 5, "slopes": 5, "insteval": 10, "crossed": 10}
