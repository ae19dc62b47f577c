"""Requests per second on one core, beside other generators: python3 -m benchmarks.load_closed_loop.

Closed loop, 64 connections, an answer of about 100 bytes of JSON, everything recorded. The target has one core, the
generator the other; rounds are interleaved, so that what disturbs the machine disturbs all alike; medians.
Requests per CPU second change less on a shared machine; ours are without the start of Python (0.1 s), the peers' are
those of the whole process.
Needs a C compiler; wrk, hey (Debian), autocannon (npm; AUTOCANNON_HOME names its folder) and nginx (for TLS) where
they are to be compared.
"""

from __future__ import annotations

import platform
import statistics
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "scripts")]

from benchmarks.load_common import Generator, Rate, c_target, generators, tls_target  # noqa: E402

ROUNDS = 5
SECONDS = 2.0


def table(title: str, url: str, which: list[Generator]) -> None:
    """Measure and print one table with ratios."""
    rates: dict[str, list[Rate]] = {generator.name: [] for generator in which}
    for _ in range(ROUNDS):
        for generator in which:
            rates[generator.name].append(generator.rate(url, SECONDS))
    print(f"\n{title}; {ROUNDS} interleaved rounds of {SECONDS:g} s, medians (least to greatest)\n")
    print("| generator | requests/s on one core | load_test.py is | requests per CPU second | load_test.py is |")
    print("|---|---|---|---|---|")
    ours = rates[which[0].name]
    for generator in which:
        cells = [f"{generator.name} {generator.version}"]
        for field in ("per_second", "per_cpu_second"):
            values = sorted(getattr(rate, field) for rate in rates[generator.name])
            median = statistics.median(values)
            mine = statistics.median(getattr(rate, field) for rate in ours)
            cells += [f"{median:,.0f} ({values[0]:,.0f} to {values[-1]:,.0f})", f"{mine / median:.2f}x"]
        print(f"| {' | '.join(cells)} |")


def main() -> int:
    found = generators()
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    with c_target() as url:
        table("HTTP, closed loop, 64 connections, C target", url, found)
    with tls_target() as secure:
        if secure is None:
            print("\nTLS was not measured: no nginx")
        else:
            table("TLS, closed loop, 64 connections, nginx with one worker", secure, found[:3])
    return 0


if __name__ == "__main__":
    sys.exit(main())
