"""Compare fastlmm_hlm with lme4 on the cases of cases.toml."""
