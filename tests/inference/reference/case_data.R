# The models of cases.json and the rows of each; some_cases.py makes the same ones.
cases <- jsonlite::fromJSON(file.path("tests/inference/reference", "cases.json"), simplifyVector = FALSE)

data_of <- function(case) {
  d <- read.csv(case$data, stringsAsFactors = FALSE)
  i <- seq_len(nrow(d))
  if (!is.null(case$keep)) d <- d[(i * i) %% case$keep[[1]] < case$keep[[2]], , drop = FALSE]
  for (name in unlist(case$factors)) d[[name]] <- factor(as.character(d[[name]]))
  d$w <- 0.5 + (seq_len(nrow(d)) %% 5) / 2
  d
}
