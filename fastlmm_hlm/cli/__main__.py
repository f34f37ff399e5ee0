"""python -m fastlmm_hlm.cli: the command line."""

import sys

from fastlmm_hlm.cli import main

sys.exit(main())
