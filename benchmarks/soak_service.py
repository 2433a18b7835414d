"""Minutes of mixed load on `convscope serve`; exits 1 if it fails, leaks, or answers differently than when left alone.

`python benchmarks/soak_service.py --minutes 10` asks for predictions and for explanations by every method at once,
while some clients send bad pictures and some leave before they are answered, and watches the server's threads,
files and memory. It needs the extra `dev`, Linux, and the test set of the run's data set.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

import httpx

from benchmarks.bench_service import PACKAGED, png_files
from benchmarks.load_client import request
from benchmarks.server_process import ServerProcess
from benchmarks.soak_requests import KINDS, Question, differs, endless, questions
from convscope.runs import load_run

CLIENTS = {"predict": 4, "explain": 2, "bad": 1, "leave": 2}
PAUSES = {"predict": 0.05, "explain": 0.0, "bad": 0.1, "leave": 0.1}  # seconds, drawn up to twice that
PATIENCE = 300.0  # seconds for an explanation: how fast this machine is, is not the question
SETTLED = 60.0  # seconds after which nothing may grow, or a third of a shorter soak
# MiB: the allocator keeps what is in use for a moment in other places each time. A leak of 1 kB a request shows: in ten
# minutes there are more than 20,000.
ALLOWED = 16.0


@dataclass
class Sample:
    """What the server holds of the machine at one moment."""

    seconds: float
    threads: int
    descriptors: int
    memory: float  # MiB


@dataclass
class Soak:
    """What happened so far."""

    end: float
    answers: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the time is up, or so much is wrong that more of it would tell nothing."""
        return time.monotonic() >= self.end or len(self.complaints) >= 20


async def alone(client: httpx.AsyncClient, all_: dict[str, list[Question]]) -> dict[Question, tuple[int, Any]]:
    """The answer to each question with nothing else going on."""
    answers = {question: await question.ask(client) for kind in KINDS for question in all_[kind]}
    # some networks cannot have some methods
    allowed = {"predict": {200}, "explain": {200, 409}, "bad": {400, 404, 409, 422}}
    for kind, statuses in allowed.items():
        for question in all_[kind]:
            status, body = answers[question]
            if status not in statuses:
                raise RuntimeError(f"{question.path} got {status} even alone: {str(body)[:200]}")
    return answers


async def keep_asking(soak: Soak, url: str, kind: str, seed: int, of: Sequence[Question], expected: Any) -> None:
    """One client that compares every answer."""
    rng = random.Random(seed)
    async with httpx.AsyncClient(base_url=url, timeout=2 * PATIENCE) as client:
        for question in endless(of, seed):
            if soak.over:
                return
            try:
                status, body = await question.ask(client)
            except (httpx.HTTPError, ValueError) as error:
                soak.complaints.append(f"{question.path}: {error!r}")
                continue
            soak.answers[f"{kind} {status}"] += 1
            if status != expected[question][0]:
                soak.complaints.append(f"{question.path}: {status} {str(body)[:200]}, alone {expected[question][0]}")
            elif differs(body, expected[question][1], question.tolerance):
                soak.complaints.append(f"{question.path}: another answer than alone")
            await asyncio.sleep(2 * PAUSES[kind] * rng.random())


async def keep_leaving(soak: Soak, url: str, seed: int, of: Sequence[Question]) -> None:
    """One client that closes its connection in the middle of its request, or before the answer."""
    rng = random.Random(seed)
    host, _, port = url.rpartition("/")[2].rpartition(":")
    for question in endless(of, seed):
        if soak.over:
            return
        _, writer = await asyncio.open_connection(host, int(port))
        sent = request(host, question.path, question.contents[0])
        writer.write(sent[: rng.randrange(1, len(sent))] if rng.random() < 0.3 else sent)
        await writer.drain()
        await asyncio.sleep(rng.choice((0, 0.002, 0.02, 0.2)))
        if rng.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()
        soak.answers["left"] += 1
        await asyncio.sleep(2 * PAUSES["leave"] * rng.random())


async def watch(soak: Soak, server: ServerProcess) -> None:
    """A sample a second, or ten times a second in a soak of less than a minute."""
    begin = time.monotonic()
    every = min(1.0, (soak.end - begin) / 60)
    while not soak.over:
        seconds = time.monotonic() - begin
        soak.samples.append(Sample(seconds, server.threads(), server.descriptors(), server.memory()))
        await asyncio.sleep(every)


async def at_rest(server: ServerProcess) -> int:
    """The descriptors that are open without any client, once what clients left behind is closed."""
    found = []
    for _ in range(20):
        await asyncio.sleep(0.5)
        found.append(server.descriptors())
    return min(found)


def growth(samples: Sequence[Sample], settled: float) -> list[str]:
    """What grew between the first third and the last of the time after `settled` seconds.

    By the least that there was in each: it hardly depends on which requests were in flight, and a leak lifts it. Of
    descriptors, two more are allowed, connections of the emptiest moment; `at_rest` counts them exactly.
    """
    after = [sample for sample in samples if sample.seconds >= settled]
    third = len(after) // 3
    if not third:
        raise ValueError(f"{len(after)} samples after {settled:g} s are too few to tell growth; soak for longer")
    found = []
    for name, allowed in (("threads", 0), ("descriptors", 2), ("memory", ALLOWED)):
        before, now = (min(getattr(sample, name) for sample in part) for part in (after[:third], after[-third:]))
        if now > before + allowed:
            found.append(f"{name} grew from {before:g} to {now:g}, allowed {allowed:g}")
    return found


async def soak_for(server: ServerProcess, pictures: Sequence[bytes], seconds: float) -> Soak:
    """What came of so many seconds of everything at once."""
    all_ = questions(pictures)
    async with httpx.AsyncClient(base_url=server.url, timeout=2 * PATIENCE) as client:
        expected = await alone(client, all_)
    before = await at_rest(server)
    soak = Soak(time.monotonic() + seconds)
    async with asyncio.TaskGroup() as group:
        group.create_task(watch(soak, server))
        for kind, count in CLIENTS.items():
            for seed in range(count):
                if kind == "leave":
                    group.create_task(keep_leaving(soak, server.url, seed, [*all_["predict"], *all_["explain"]]))
                else:
                    group.create_task(keep_asking(soak, server.url, kind, seed, all_[kind], expected))
    after = await at_rest(server)
    if after > before:
        soak.complaints.append(f"{after} descriptors are open when all clients have left, {before} before they came")
    return soak


def main() -> int:
    """Soak, tell, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: 10)")
    parser.add_argument("--run", default=PACKAGED, help=f"the run to serve (default: {PACKAGED})")
    options = parser.parse_args()
    pictures = png_files(load_run(options.run), 16)
    serve = [sys.executable, "-m", "convscope", "serve", options.run, "--port", "{port}"]
    serve += ["--explain-timeout", f"{PATIENCE:g}"]
    with ServerProcess(serve, "/health/ready") as server:
        soak = asyncio.run(soak_for(server, pictures, 60 * options.minutes))
        log = server.log
    complaints = soak.complaints + growth(soak.samples, min(SETTLED, 20 * options.minutes))
    complaints += [f"the log has {line[:300]}" for line in log.splitlines() if '"error"' in line]
    first, last = soak.samples[len(soak.samples) // 3], soak.samples[-1]
    print(", ".join(f"{count:,} × {what}" for what, count in sorted(soak.answers.items())))
    for name, unit in (("threads", ""), ("descriptors", ""), ("memory", " MiB")):
        print(
            f"{name}: {getattr(first, name):.0f}{unit} at {first.seconds:.0f} s, {getattr(last, name):.0f} at the end"
        )
    print("\n".join(complaints) or "nothing failed, grew or differed")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
