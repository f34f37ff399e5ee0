"""What every Python runner does: load, fit and time, report.

Runners work in the environments of the peers, so this file needs only the
standard library.  A runner is called with a job (JSON) and appends events, one
JSON object per line, to the file the job names:

    {"event": "loaded", "version": ..., "cpu": ...}                   data in the peer's own frame
    {"event": "fit", "cpu": ..., "wall": ..., "peak_mb": ...}         one per fit, seconds
    {"event": "estimates", "criterion": ..., "fixef": ..., ...}       after the first fit
    {"event": "error", "message": ...}                                instead of what failed
"""

import ctypes
import gc
import json
import resource
import sys
import time


def memory_mb(field):
    """A memory field of this process in MB: "VmRSS" (now) or "VmHWM" (peak).

    Where there is no /proc, both are the peak since the process began.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reset_peak():
    """Give freed memory back and start the peak anew, where the system lets us; returns MB in use."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w", encoding="ascii") as clear:
            clear.write("5")
    except (OSError, AttributeError):
        pass
    return memory_mb("VmRSS")


def wants_another(walls, budget, max_fits):
    """True if one more fit as long as the last keeps within `budget` seconds and `max_fits`."""
    return not walls or (len(walls) < max_fits and sum(walls) + walls[-1] <= budget)


def run(version, load, fit, describe):
    """Do the job named on the command line.

    Parameters
    ----------
    version : str
        Name and version of the peer.
    load : callable
        job -> data in the peer's own frame, not timed.
    fit : callable
        (data, job) -> fitted model; this alone is timed.
    describe : callable
        (fitted, job) -> dict with "criterion", "fixef" (name -> number), "varcomp"
        (grouping factor -> {"names", "cov"}), "residual" (variance), not timed.
    """
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    events = open(job["events"], "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open until the process ends

    def emit(event, **content):
        events.write(json.dumps({"event": event, **content}) + "\n")

    try:
        data = load(job)
        base = reset_peak()
        emit("loaded", version=version, cpu=time.process_time())
        walls = []
        while wants_another(walls, job["budget"], job["max_fits"]):
            fitted = None
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            fitted = fit(data, job)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            emit("fit", cpu=cpu, wall=wall, peak_mb=memory_mb("VmHWM") - base, total_cpu=time.process_time())
            walls.append(wall)
            if len(walls) == 1:
                emit("estimates", **describe(fitted, job))
    except BaseException as error:
        emit("error", message=f"{type(error).__name__}: {error}")
        raise
