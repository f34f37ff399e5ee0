"""Whether a model gives here what it gives in lme4, shown with lme4 itself."""
