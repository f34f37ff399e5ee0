"""A progress bar, where the user asks for one; tqdm is loaded then."""

from fastlmm_hlm.errors import FastlmmError


class ProgressBar:
    """A progress bar of tqdm, or None, as a context.

    Parameters
    ----------
    wanted : bool
    total : int
    caller : str
        Written in front of the bar.
    unit : str
    """

    def __init__(self, wanted, total, caller, unit):
        self.made = None
        if wanted:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                raise FastlmmError(
                    f"{caller}: progress=True needs tqdm, which is not installed: pip install 'fastlmm_hlm[progress]'"
                ) from None
            self.made = tqdm(total=total, desc=caller, unit=unit)

    def __enter__(self):
        return self.made

    def __exit__(self, *problem):
        if self.made is not None:
            self.made.close()
