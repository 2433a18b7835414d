"""The result of bench_service.py in, its tables out: the ones that it prints and the ones of docs/service.md."""

from collections.abc import Callable
from typing import Any

from benchmarks.numpy_tables import Rows, threads

OURS, OFFLINE = "convscope serve", "offline loop"
IN_LOOP, IN_THREAD = "plain endpoint, async def", "plain endpoint, def"
PLAIN = (IN_LOOP, IN_THREAD)
AT = 32  # clients, where the goals are
GOALS = {OFFLINE: 0.5, "plain endpoint": 1.5}


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """Our pictures a second over those of the offline loop, and over those of the faster plain endpoint."""
    rates = {way: of[str(AT)]["pictures_per_second"] for way, of in result["ways"].items()}
    others = {OFFLINE: rates[OFFLINE], "plain endpoint": max(rates[way] for way in PLAIN)}
    return {name: rates[OURS] / rate for name, rate in others.items()}


def contest(result: dict[str, Any]) -> Rows:
    """A row a contestant: what 32 clients get of it, and what ours comes to beside it."""
    rows = []
    best = max(PLAIN, key=lambda way: result["ways"][way][str(AT)]["pictures_per_second"])
    names = {OFFLINE: OFFLINE, best: "plain endpoint"}
    for way, of in result["ways"].items():
        numbers = of[str(AT)]
        goal = names.get(way)
        ratio = f"{result['ratio'][goal]:.2f} ({GOALS[goal]})" if goal else ""
        rows.append([way, f"{numbers['pictures_per_second']:.0f}", *_latencies(numbers), ratio])
    return [[f"{AT} clients", "pictures/s", "p50 (ms)", "p95 (ms)", "p99 (ms)", f"{OURS} ÷ this (goal)"], *rows]


def clients(result: dict[str, Any]) -> Rows:
    """A row a number of clients: what they get of ours, and of the plain endpoint."""
    ours, plain = result["ways"][OURS], result["ways"][IN_LOOP]
    header = ["clients", "pictures/s", "p50 (ms)", "p95 (ms)", "p99 (ms)", "memory (MiB)", "failed or wrong"]
    header += [f"{IN_LOOP}: pictures/s", "p50 (ms)", "p99 (ms)", "memory (MiB)"]
    rows = []
    for count, of in ours.items():
        other = plain[count]
        p50, _, p99 = _latencies(other)
        bad = str(of["failed"] + of["wrong"])
        cells = [f"{of['pictures_per_second']:.0f}", *_latencies(of), f"{of['mebibytes']:.0f}", bad]
        rows.append([count, *cells, f"{other['pictures_per_second']:.0f}", p50, p99, f"{other['mebibytes']:.0f}"])
    return [header, *rows]


TABLES: dict[str, Callable[[dict[str, Any]], Rows]] = {"contest": contest, "clients": clients}


def describe(environment: dict[str, Any]) -> str:
    """On what it was measured, in two sentences."""
    packages = environment["packages"]
    return (
        f"{environment['processor']}, {environment['cores']} cores, {environment['platform']}; Python "
        f"{environment['python']}, PyTorch {packages['torch']}, {threads(environment)}, FastAPI {packages['fastapi']}, "
        f"uvicorn {packages['uvicorn']}. The network `{environment['run']}`; server and load generator share the cores."
    )


def _latencies(numbers: dict[str, Any]) -> list[str]:
    """The percentiles, or nothing for the loop that answers nobody."""
    of = numbers.get("milliseconds")
    return [f"{of[name]:.1f}" if of and of[name] is not None else "" for name in ("p50", "p95", "p99")]
