"""python -m fastlmm_hlm: the command line."""

import sys

from fastlmm_hlm.cli import main

sys.exit(main())
