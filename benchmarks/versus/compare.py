"""Fit the cases with every program and write the table."""

import hashlib
import inspect
import pathlib

import pyarrow
import pyarrow.csv

from benchmarks import cases as cases_module
from benchmarks.cases import CASES
from benchmarks.machine import describe_machine, hardware, r_versions
from benchmarks.tables import write_table
from benchmarks.versus import records
from benchmarks.versus.install import install
from benchmarks.versus.peers import BY_NAME, OURS, PEERS
from benchmarks.versus.process import available_mb, run_job
from benchmarks.versus.summary import best_of, has_fit, median_fit, report

DATA = pathlib.Path(__file__).resolve().parents[1] / ".data"
SHARE_OF_MEMORY = 0.85


def data_file(case, quick):
    """The case's rows as CSV, written once for each version of cases.py."""
    stamp = hashlib.sha256(inspect.getsource(cases_module).encode()).hexdigest()[:8]
    path = DATA / f"{case.id}{'-quick' if quick else ''}-{stamp}.csv"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        (DATA / ".gitignore").write_text("*\n", encoding="utf-8")
        table = pyarrow.Table.from_pandas(case.data(quick), preserve_index=False)
        unfinished = path.with_suffix(".part")
        pyarrow.csv.write_csv(plain(table), unfinished)
        unfinished.rename(path)
    return path


def plain(table):
    """Dictionary columns decoded, as CSV has none."""
    for j, field in enumerate(table.schema):
        if pyarrow.types.is_dictionary(field.type):
            table = table.set_column(j, field.name, table.column(j).cast(field.type.value_type))
    return table


def measure(case, peer, setting, REML, options):
    """One program, one setting, one case; the result is a dict as `run_job` makes, with "rows"."""
    command = peer.command()
    if command is None:
        return {"version": None, "fits": [], "estimates": None, "stopped": f"{peer.name} is not installed", "rows": 0}
    path = data_file(case, options.quick)
    job = {
        "case": case.id, "formula": case.formula, "factors": list(case.factors), "REML": REML, "data": str(path),
        "setting": setting, "options": peer.settings[setting], "threads": options.threads,
        "budget": options.budget, "max_fits": options.max_fits,
    }
    memory = available_mb()
    result = run_job(command, job, options.limit, memory and SHARE_OF_MEMORY * memory)
    with open(path, "rb") as file:
        result["rows"] = sum(1 for _ in file) - 1
    return result


def settings_to_try(peer, wanted):
    """Names of a peer's settings: its default, all, or None for as many as needed to agree with ours."""
    names = list(peer.settings)
    return names[:1] if wanted == "default" else names


def compare_case(case, options, results, keep):
    """Measure one case with the chosen programs; `keep` is called after each."""
    chosen = [BY_NAME[name] for name in options.peers]
    criteria = [True] * (OURS in chosen or not options.peers_given) + [False] * any(
        not peer.REML and case.id not in peer.cannot for peer in chosen
    )
    for REML in criteria:
        record(case, OURS, "default", REML, options, results, keep)
    for peer in chosen:
        if peer is OURS or case.id in peer.cannot:
            continue
        for setting in peer.settings:
            results.pop(records.key(case.id, peer.name, setting, peer.REML), None)
        for setting in settings_to_try(peer, options.settings):
            result = record(case, peer, setting, peer.REML, options, results, keep)
            if not has_fit(result) or (options.settings == "needed" and best_of(results, case.id, peer)[1]):
                break


def record(case, peer, setting, REML, options, results, keep):
    """Measure, keep and say one line."""
    result = measure(case, peer, setting, REML, options)
    results[records.key(case.id, peer.name, setting, REML)] = result
    keep()
    if has_fit(result):
        said = f"{median_fit(result, 'cpu'):.4g} CPU seconds, {len(result['fits'])} fits"
    else:
        said = result.get("stopped", "no result")
    print(f"{case.id}: {peer.name} ({setting}, {'REML' if REML else 'ML'}): {said}", flush=True)
    return result


def run(options):
    """Write results/versus.json and results/versus.md."""
    name = "versus" + options.suffix
    machine = hardware(options.threads)
    results = records.load(name, machine)
    for peer in PEERS:
        if peer.name in options.peers:
            try:
                install(peer)
            except RuntimeError as error:
                print(error, flush=True)
    for case in CASES:
        if case.id in options.cases:
            compare_case(case, options, results, lambda: records.save(name, machine, results))
    write_table(name, report(results, CASES, describe_machine(options.threads), r_versions()))
