"""Does the schedule hold: python3 -m benchmarks.load_open_loop. Rates, schedule lag, CPU and memory of our engine.

The target answers in 0.03 to 0.15 ms, so whatever is far above that is made by the generator. Constant arrivals; the
median of several rounds.
"""

from __future__ import annotations

import platform
import statistics
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "scripts")]

from benchmarks.load_common import c_target, ours  # noqa: E402

RATES = (1_000, 5_000, 10_000, 20_000, 50_000)
ROUNDS = 3
SECONDS = 2.0


def main() -> int:
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}; medians of {ROUNDS} rounds\n")
    print(
        "| asked/s | sent and answered | response p50 / p99 ms | schedule lag p50 / p99 / p99.9 ms | CPU | memory MB |"
    )
    print("|---|---|---|---|---|---|")
    with c_target() as url:
        rounds = [[ours(url, SECONDS, rate=rate, arrivals="constant") for rate in RATES] for _ in range(ROUNDS)]
    for place, rate in enumerate(RATES):
        runs = [each[place] for each in rounds]
        middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        lag = " / ".join(f"{middle[f'lag_p{share}_ms']:.3f}" for share in ("50", "99", "99.9"))
        print(
            f"| {rate:,} | {middle['rate'] / rate:.3%} | {middle['p50_ms']:.3f} / {middle['p99_ms']:.3f} | {lag} "
            f"| {middle['cpu']:.0%} | {middle['memory_mb']:.0f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
