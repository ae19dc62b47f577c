"""Start-up of each script's `--help`, as a ratio to bare Python with argparse: python3 benchmarks/startup.py."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 15
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Modules are compiled once, as on a user's machine."""


def seconds(command: list[str]) -> float:
    """Return the wall-clock time of one run, in seconds."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - started


def measure(commands: dict[str, list[str]]) -> dict[str, float]:
    """Return the median time of each command; rounds are interleaved so that noise falls on all alike."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> int:
    bare = [sys.executable, "-c", "import argparse; argparse.ArgumentParser().format_help()"]
    doors = sorted((ROOT / "scripts").glob("*.py"))
    results = measure({"bare": bare, **{door.name: [sys.executable, str(door), "--help"] for door in doors}})
    print(f"Python {platform.python_version()}, {ROUNDS} interleaved rounds, medians")
    for name, value in results.items():
        print(f"{name:<20}{value * 1000:7.1f} ms{value / results['bare']:7.2f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
