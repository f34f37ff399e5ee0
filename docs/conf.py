"""The documentation site: `make docs` builds it into docs/_build/html, without a network."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# The cells run against this tree, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
# Kernels with these settings, whatever those of the person are who builds the site.
os.environ.pop("MPLBACKEND", None)
os.environ["IPYTHONDIR"] = str(ROOT / "docs" / "_build" / "ipython")
PROFILE = ROOT / "docs" / "_build" / "ipython" / "profile_default"
PROFILE.mkdir(parents=True, exist_ok=True)
(PROFILE / "ipython_kernel_config.py").write_text("""
c = get_config()
c.IPKernelApp.log_level = "ERROR"
c.HistoryManager.enabled = False
c.InlineBackend.figure_formats = {"svg"}
""")

import fastlmm_hlm  # noqa: E402
from docs.ext.examples import examples, run  # noqa: E402

project = "fastlmm_hlm"
author = "fastlmm_hlm developers"
version = release = fastlmm_hlm.__version__
copyright = author

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon",
              "docs.ext.api_entries", "docs.ext.mathml", "docs.ext.r_output"]
exclude_patterns = ["_build", "README.md", "r_output", "verify_output", "ext"]

# --- pages ------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

# --- reference ---------------------------------------------------------------------

nitpicky = True
smartquotes = False
nitpick_ignore = [("py:class", "fastlmm_hlm.report.parts.SummaryParts")]       # what the printed tables are made from
autodoc_member_order = "bysource"
# Users do not make results themselves: no signatures of classes, and no __init__ in their place.
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
# A name between single backticks in a docstring is a link where there is something to link to.
default_role = "py:obj"

# --- look ---------------------------------------------------------------------------

html_theme = "furo"
html_title = f"fastlmm_hlm {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
python_display_short_literal_types = True
pygments_style = "tango"


def check_shown_outputs(app):
    """The examples whose output stands in a page print just that."""
    for path in sorted(ROOT.glob("docs/*.md")):
        found = examples(path.read_text(encoding="utf-8"))
        for example, printed in zip(found, run(found, ROOT) if found else []):
            if (example.shown or "").rstrip() != printed.rstrip():
                raise AssertionError(f"{path.name}: the example\n{example.source}prints\n{printed}")


def as_plain_text(app, env, node, text):
    """Types of other packages and names in the running text of docstrings are links only where there is an entry."""
    target = node.get("reftarget", "")
    in_a_docstring = node.get("reftype") == "obj" and not node.get("refexplicit")
    elsewhere = node.get("refdomain") == "py" and not target.startswith("fastlmm_hlm")
    return text if in_a_docstring or elsewhere else None


def setup(app):
    app.connect("builder-inited", check_shown_outputs)
    app.connect("missing-reference", as_plain_text)
