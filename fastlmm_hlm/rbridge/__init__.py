"""Models across the border to R: stored merMods as fits, and fits as merMods.  R and rpy2 start when they are asked for."""
