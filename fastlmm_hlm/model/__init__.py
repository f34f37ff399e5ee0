"""The fitted model: frozen estimates under lme4's names."""
