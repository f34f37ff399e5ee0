#!/usr/bin/env bash
# Prepare this machine and .venv:  .ci/setup.sh build | test | docs
#
# build  a C compiler, CHOLMOD and a virtual environment with the package
# test   the same with R, lme4, rpy2, the test tools and what the documentation is built with
# docs   build, with what the documentation is built with
#
# Looks first, installs only what is missing: system packages with apt-get when
# that is allowed (root, or sudo without a password), the rest with pip.
# Environment: PYTHON names the interpreter to use (3.11 to 3.13).
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-}
case "$purpose" in
    build) extras="plots arrow" ;;
    test) extras="plots arrow test r docs" ;;
    docs) extras="plots arrow docs" ;;
    *) echo "setup.sh: got '$purpose', expected 'build', 'test' or 'docs'" >&2; exit 2 ;;
esac

BUILD_PACKAGES="gcc libc6-dev make pkg-config libsuitesparse-dev python3-dev python3-venv"
R_PACKAGES="r-base-core r-cran-lme4 r-cran-lmertest r-cran-jsonlite r-cran-numderiv r-cran-pbkrtest r-cran-emmeans
    r-cran-rlrsim r-cran-clubsandwich r-cran-broom.mixed r-cran-performance r-cran-ggeffects r-cran-sjplot"
R_NAMES='"lme4", "lmerTest", "jsonlite", "numDeriv", "pbkrtest", "emmeans", "RLRsim", "clubSandwich", "broom.mixed", "performance", "ggeffects", "sjPlot"'
# What `R CMD config --ldflags` names and rpy2 therefore links with.
R_LIBRARIES="libpcre2-dev liblzma-dev libbz2-dev zlib1g-dev libtirpc-dev libicu-dev libdeflate-dev"

# --- what is there -------------------------------------------------------------

suitable_python() {
    "$1" - 2>/dev/null <<'PY'
import pathlib, sys, sysconfig
import ensurepip, venv
header = pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h"
sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and header.exists()))
PY
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        if command -v "$candidate" >/dev/null && suitable_python "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

compiles() {
    local source=$1
    shift
    printf '%s\n' "$source" | gcc -x c - -o /dev/null "$@" 2>/dev/null
}

have_cholmod() {
    local flags
    flags=$(pkg-config --cflags CHOLMOD 2>/dev/null || pkg-config --cflags cholmod 2>/dev/null) || true
    # shellcheck disable=SC2086
    compiles '#include <cholmod.h>
int main(void) { return 0; }' $flags -I/usr/include/suitesparse -I/usr/local/include/suitesparse \
        ${SUITESPARSE_ROOT:+-I"$SUITESPARSE_ROOT/include" -I"$SUITESPARSE_ROOT/include/suitesparse"}
}

have_r() {
    command -v Rscript >/dev/null && Rscript --vanilla -e \
        "for (name in c($R_NAMES)) loadNamespace(name)" >/dev/null 2>&1
}

have_r_libraries() {
    # shellcheck disable=SC2046
    compiles 'int main(void) { return 0; }' $(R CMD config --ldflags 2>/dev/null)
}

missing_packages() {
    if ! command -v gcc >/dev/null || ! find_python >/dev/null || ! have_cholmod; then
        echo "$BUILD_PACKAGES"
    fi
    if [ "$purpose" = test ] && { ! have_r || ! have_r_libraries; }; then
        echo "$R_PACKAGES $R_LIBRARIES"
    fi
}

# --- system packages -------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

explain_and_stop() {
    echo "setup.sh: this machine lacks something that 'make $purpose' needs." >&2
    echo "On Debian or Ubuntu, install:" >&2
    echo "    apt-get install --no-install-recommends $1" >&2
    echo "Elsewhere: gcc, SuiteSparse's CHOLMOD (or SUITESPARSE_ROOT pointing at it), Python 3.11-3.13 with its headers" >&2
    [ "$purpose" = test ] && echo "and venv; R with the packages $R_NAMES." >&2
    exit 1
}

missing=$(missing_packages | tr '\n' ' ')
if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null || ! as_root true 2>/dev/null; then
        explain_and_stop "$missing"
    fi
    echo "setup.sh: installing $missing"
    as_root apt-get update -q >/dev/null || echo "setup.sh: apt-get update failed; trying with the old lists" >&2
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >/dev/null \
        || explain_and_stop "$missing"
    missing=$(missing_packages | tr '\n' ' ')
    [ -z "$missing" ] || explain_and_stop "$missing"
fi

# --- virtual environment ------------------------------------------------------------

if [ ! -x .venv/bin/python ]; then
    "$(find_python)" -m venv .venv
fi
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }

# The requirements are installed by name, so that nothing is fetched when all are
# there; our own package is then built with what the environment has.
mapfile -t requirements < <(.venv/bin/python - $extras <<'PY'
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    pyproject = tomllib.load(file)
project = pyproject["project"]
print(*pyproject["build-system"]["requires"], *project["dependencies"], sep="\n")
for extra in sys.argv[1:]:
    print(*project["optional-dependencies"][extra], sep="\n")
PY
)
pip install "${requirements[@]}"
pip install --no-build-isolation --no-deps -e .
touch ".venv/.ready-$purpose"
[ "$purpose" = build ] || touch .venv/.ready-build
