"""Build of the C kernels and their Cython wrapper; everything else is in pyproject.toml.

CHOLMOD is looked for by pkg-config, then in the folder named by the environment
variable SUITESPARSE_ROOT (with include/ or include/suitesparse/, and lib/).
"""

import os
import pathlib
import subprocess

import numpy
from setuptools import Extension, setup

ROOT = pathlib.Path(__file__).parent
KERNELS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").glob("*.c"))
HEADERS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").glob("*.h"))
NOT_FOUND = """
fastlmm_hlm needs CHOLMOD (SuiteSparse) to build, and did not find it.
  - looked with pkg-config for: CHOLMOD, cholmod, SuiteSparse
  - looked in the standard folders /usr/include/suitesparse, /usr/local/include/suitesparse
  - looked in the folder named by SUITESPARSE_ROOT: {root}
On Debian or Ubuntu:   apt-get install libsuitesparse-dev pkg-config
Elsewhere: point SUITESPARSE_ROOT at a folder that has include/ (or include/suitesparse/) with cholmod.h and lib/.
"""


def pkg_config(name, option):
    """Words that `pkg-config OPTION NAME` prints, or None if it knows no such package."""
    try:
        run = subprocess.run(["pkg-config", option, name], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.split()


def cholmod_from_pkg_config():
    for name in ("CHOLMOD", "cholmod", "SuiteSparse"):
        compile_words = pkg_config(name, "--cflags")
        link_words = pkg_config(name, "--libs")
        if compile_words is not None and link_words is not None:
            return {
                "include_dirs": [word[2:] for word in compile_words if word.startswith("-I")],
                "extra_link_args": link_words,
            }
    return None


def cholmod_from_folder(folder):
    for include in (folder / "include", folder / "include" / "suitesparse"):
        if (include / "cholmod.h").exists():
            library = folder / "lib"
            found = {"include_dirs": [str(include)], "libraries": ["cholmod"]}
            if folder != pathlib.Path("/usr"):
                found.update(library_dirs=[str(library)], runtime_library_dirs=[str(library)])
            return found
    return None


def cholmod():
    """Where CHOLMOD's header and library are, as keywords of Extension."""
    root = os.environ.get("SUITESPARSE_ROOT")
    found = cholmod_from_pkg_config()
    for folder in filter(None, (root, "/usr", "/usr/local")):
        found = found or cholmod_from_folder(pathlib.Path(folder))
    if found is None:
        raise SystemExit(NOT_FOUND.format(root=root or "(not set)"))
    return found


found = cholmod()
kernels = Extension(
    "fastlmm_hlm._core.kernels",
    sources=["fastlmm_hlm/_core/kernels.pyx", *KERNELS],
    depends=[*HEADERS, "fastlmm_hlm/_core/rows.pxi", "fastlmm_hlm/_core/flmm.pxd"],
    include_dirs=["csrc", numpy.get_include(), *found.pop("include_dirs")],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_compile_args=["-O3", "-std=c11", "-fno-math-errno", "-fopenmp"],
    extra_link_args=[*found.pop("extra_link_args", []), "-fopenmp"],
    language="c",
    **found,
)

setup(ext_modules=[kernels])
