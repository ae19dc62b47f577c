"""Time to generate: the whole process for one resource and for many, and the cost of each further one.

    python3 benchmarks/scaffold_generation.py [ROUNDS]

Rounds are interleaved, so that noise falls on all sizes alike; the figures are medians of seconds, by the clock and
of CPU, from `python3 scripts/api_scaffold.py …` to its end, with the packages installed and files in the page cache.
`bare` is an interpreter that does nothing, for scale: on a busy machine the clock tells little. `again` runs the same
specification over the finished project.
"""

from __future__ import annotations

import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
DOOR = ROOT / "scripts" / "api_scaffold.py"
SIZES = (1, 10, 50, 100)
FIELDS = "title:str(100):unique note:text? total:money status:enum(open,paid)=open:index due:date?"
ONE_LIMIT = 0.6
FIFTY_LIMIT = 3.0
ROUNDS = 5


def specification(resources: int) -> str:
    """Return a specification of so many resources, each but the first with a ref to the one before it."""
    lines = ["service: bench", "resources:"]
    for i in range(resources):
        ref = f" before:ref(thing{i - 1})?" if i else ""
        lines += [f"  thing{i}:", f"    fields: {FIELDS!r}".replace(FIELDS, FIELDS + ref)]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Cost:
    """What one run costs, in seconds: by the clock, and of all processors (user and system)."""

    wall: float
    cpu: float


def cost(command: list[str], folder: Path) -> Cost:
    """Return the cost of one run that succeeds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def measure(
    rounds: int, sizes: tuple[int, ...] = SIZES, summarize: Callable[[list[float]], float] = statistics.median
) -> dict[str, Cost]:
    """Return the summarized cost of each measurement."""
    costs: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            (folder / f"{size}.yaml").write_text(specification(size))
        generate = [sys.executable, str(DOOR)]
        cost([*generate, "--name", "warm", "--crud", "--out", "warm"], folder)
        for _ in range(rounds):
            costs.setdefault("bare", []).append(cost([sys.executable, "-c", "pass"], folder))
            shutil.rmtree(folder / "user-service", ignore_errors=True)
            costs.setdefault("--name user --crud", []).append(cost([*generate, "--name", "user", "--crud"], folder))
            for size in sizes:
                shutil.rmtree(folder / f"out{size}", ignore_errors=True)
                command = [*generate, "--spec", f"{size}.yaml", "--out", f"out{size}"]
                costs.setdefault(f"{size} resources", []).append(cost(command, folder))
                costs.setdefault(f"{size} resources again", []).append(cost(command, folder))
    return {
        key: Cost(summarize([each.wall for each in values]), summarize([each.cpu for each in values]))
        for key, values in costs.items()
    }


def main(arguments: list[str]) -> int:
    """Print the figures; 1 where a limit is broken."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    figures = measure(rounds)
    print(f"Python {platform.python_version()}, {platform.machine()}, {rounds} interleaved rounds, medians of seconds")
    print(f"{'':<26}{'clock':>8}{'CPU':>8}")
    for key, value in figures.items():
        print(f"{key:<26}{value.wall:8.3f}{value.cpu:8.3f}")
    ten, fifty, hundred = (figures[f"{size} resources"].cpu for size in (10, 50, 100))
    print(f"\neach further resource     {(hundred - ten) / 90 * 1000:8.1f} ms of CPU")
    print(f"growth, 50-100 : 10-50    {(hundred - fifty) / 50 / ((fifty - ten) / 40):8.2f}  (1 is linear)")
    ok = figures["--name user --crud"].wall <= ONE_LIMIT and figures["50 resources"].wall <= FIFTY_LIMIT
    print(f"limits (one {ONE_LIMIT} s, fifty {FIFTY_LIMIT} s): {'kept' if ok else 'BROKEN'}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
