"""Run one job in its own process, within limits of time and memory, and collect what it reports."""

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

LOOK_EVERY = 0.05  # seconds
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "NUMEXPR_NUM_THREADS",
)


def thread_environment(threads):
    """Environment variables that hold every library to `threads` threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def available_mb():
    """Memory that can be had without swapping, in MB; None where there is no /proc."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1024
    except OSError:
        return None
    return None


def _memory_of(pid):
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def _stop(process):
    """End a process we started, with its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run_job(command, job, limit, memory_limit=None):
    """Run `command` on `job`.

    Parameters
    ----------
    command : list of str
        Program and runner; the path of the job is appended.
    job : dict
        What the runner reads; "events" is added here.
    limit : float
        Seconds that the loading or any one fit may take.
    memory_limit : float, optional
        MB above which the process is ended.

    Returns
    -------
    dict with "version", "fits" (list of dicts with cpu, wall, peak_mb), "estimates"
    (dict or None), and, if something stopped the job, "stopped" (str) and, for
    a limit, "cpu_so_far" (seconds of the fit that was stopped).
    """
    with tempfile.TemporaryDirectory(prefix="versus-") as folder:
        events, log = Path(folder, "events"), Path(folder, "log")
        events.touch()
        (Path(folder) / "job.json").write_text(json.dumps({**job, "events": str(events)}), encoding="utf-8")
        environment = {**os.environ, **thread_environment(job["threads"])}
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [*command, str(Path(folder, "job.json"))], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                env=environment, start_new_session=True,
            )
            stopped, usage = _watch(process, events, limit, memory_limit)
        return _collect(events, log, process.returncode, stopped, usage)


def _watch(process, events, limit, memory_limit):
    """Wait for the end, or bring it about; returns why (or None) and the resources used."""
    stopped, size, since = None, 0, time.monotonic()
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return stopped, usage
            if events.stat().st_size != size:
                size, since = events.stat().st_size, time.monotonic()
            if stopped is None and time.monotonic() - since > limit:
                stopped = f"more than {limit:,.0f} s"
                _stop(process)
            if stopped is None and memory_limit and _memory_of(process.pid) > memory_limit:
                stopped = f"more than {memory_limit / 1024:.1f} GB"
                _stop(process)
            time.sleep(LOOK_EVERY)
    except BaseException:
        _stop(process)
        raise


def _collect(events, log, returncode, stopped, usage):
    result = {"version": None, "fits": [], "estimates": None}
    cpu_before = None
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        kind = event.pop("event")
        if kind == "loaded":
            result["version"], cpu_before = event["version"], event["cpu"]
        elif kind == "fit":
            cpu_before = event.pop("total_cpu")
            result["fits"].append(event)
        elif kind == "estimates":
            result["estimates"] = event
        elif kind == "error":
            stopped = stopped or event["message"].splitlines()[0][:200]
    if stopped is None and returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        stopped = f"ended with status {returncode}" + (f": {last[0][:200]}" if last else "")
    if stopped and not result["fits"]:
        result["stopped"] = stopped if cpu_before is not None else f"{stopped}, before the data were loaded"
        if stopped.startswith("more than") and cpu_before is not None:
            result["cpu_so_far"] = usage.ru_utime + usage.ru_stime - cpu_before
    return result
