"""Time to generate: the whole process for one resource and for many, and the cost of each further one.

    python3 benchmarks/scaffold_generation.py [ROUNDS]

Rounds are interleaved, so that noise falls on all sizes alike; the figures are medians of wall-clock seconds, from
`python3 scripts/api_scaffold.py …` to its end, with the packages installed and files in the page cache. `bare` is an
interpreter that does nothing, for scale. `again` runs the same specification over the finished project.
"""

from __future__ import annotations

import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
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


def seconds(command: list[str], folder: Path) -> float:
    """Return the wall-clock time of one run that succeeds."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(
    rounds: int, sizes: tuple[int, ...] = SIZES, summarize: Callable[[list[float]], float] = statistics.median
) -> dict[str, float]:
    """Return the summarized seconds of each measurement."""
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            (folder / f"{size}.yaml").write_text(specification(size))
        generate = [sys.executable, str(DOOR)]
        seconds([*generate, "--name", "warm", "--crud", "--out", "warm"], folder)
        for _ in range(rounds):
            times.setdefault("bare", []).append(seconds([sys.executable, "-c", "pass"], folder))
            shutil.rmtree(folder / "user-service", ignore_errors=True)
            times.setdefault("--name user --crud", []).append(seconds([*generate, "--name", "user", "--crud"], folder))
            for size in sizes:
                shutil.rmtree(folder / f"out{size}", ignore_errors=True)
                command = [*generate, "--spec", f"{size}.yaml", "--out", f"out{size}"]
                times.setdefault(f"{size} resources", []).append(seconds(command, folder))
                times.setdefault(f"{size} resources again", []).append(seconds(command, folder))
    return {key: summarize(values) for key, values in times.items()}


def main(arguments: list[str]) -> int:
    """Print the figures; 1 where a limit is broken."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    figures = measure(rounds)
    print(f"Python {platform.python_version()}, {platform.machine()}, {rounds} interleaved rounds, medians of seconds")
    for key, value in figures.items():
        print(f"{key:<26}{value:8.3f}")
    small, large = figures["10 resources"], figures["100 resources"]
    per_resource = (large - small) / 90
    print(f"\neach further resource     {per_resource * 1000:8.1f} ms")
    first = (figures["50 resources"] - small) / 40
    print(f"growth, 10-50 : 50-100    {first / ((large - figures['50 resources']) / 50):8.2f}  (1 is linear)")
    ok = figures["--name user --crud"] <= ONE_LIMIT and figures["50 resources"] <= FIFTY_LIMIT
    print(f"limits (one {ONE_LIMIT} s, fifty {FIFTY_LIMIT} s): {'kept' if ok else 'BROKEN'}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
