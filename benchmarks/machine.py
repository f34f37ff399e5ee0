"""What the measurements were made on, in words without dates or places."""

import os
import pathlib
import platform
import shutil
import subprocess
from importlib.metadata import version

import fastlmm_hlm

LIBRARIES = ("numpy", "scipy", "pandas")


def processor():
    """Model name of the CPU."""
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory_gb():
    """Physical memory in GB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def r_versions():
    """Versions of R and lme4, or an empty string where Rscript is missing."""
    if not shutil.which("Rscript"):
        return ""
    code = 'cat("R", paste(R.version$major, R.version$minor, sep = "."), "- lme4", format(packageVersion("lme4")))'
    answer = subprocess.run(["Rscript", "--vanilla", "-e", code], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else ""


def hardware(threads):
    """Processor, memory, and the threads used."""
    return (
        f"{processor()}, {os.cpu_count()} cores, {memory_gb():.0f} GB, {platform.system()}; "
        f"{threads} thread{'s' if threads != 1 else ''}"
    )


def describe_machine(threads):
    """One sentence for the head of a table."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{hardware(threads)}. Python {platform.python_version()}, fastlmm_hlm {fastlmm_hlm.__version__}, {libraries}."
