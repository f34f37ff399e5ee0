"""Pictures of a fit: for each the data frame behind it, `NAME_data(fit)`, and the picture, `plot_NAME(fit)`.

The numbers are made here; `fastlmm_hlm.report` draws them.  Every picture takes
``ax=``: matplotlib Axes (several for several panels), or a Figure to be filled;
by default it makes a figure, which stays open until the caller closes it.
Nothing calls show().
"""
