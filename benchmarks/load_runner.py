"""Run our engine once and print its figures as JSON: python -m benchmarks.load_runner URL SECONDS [--rate R]."""

from __future__ import annotations

import argparse
import json
import resource
from urllib.parse import urlsplit

from senior_backend.load import engine
from senior_backend.load.http import request_bytes
from senior_backend.load.model import Plan, Prepared, Stage, StaticWorkload, Target, TLSOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--rate", type=float, default=0.0, help="open loop at this rate; without it a closed loop")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--arrivals", default="poisson")
    options = parser.parse_args()
    parts = urlsplit(options.url)
    tls = TLSOptions(verify=False) if parts.scheme == "https" else None
    target = Target("https" if tls else "http", parts.hostname or "", parts.port or 80, tls)
    plan = Plan(
        target,
        (Stage(options.seconds, options.rate, options.rate),),
        arrivals=options.arrivals if options.rate else "closed",
        connections=options.connections,
        processes=options.processes,
        preopen=options.connections,
    )
    result = engine.run(plan, StaticWorkload(("root",), (Prepared(request_bytes(target, "GET", "/")),), (1.0,)))
    response, lag = result.samples.distribution(), result.samples.distribution("lag")
    print(
        json.dumps(
            {
                "requests": len(result.samples),
                "rate": (len(result.samples) - result.failed) / result.plan.duration_s,
                "failed": result.failed,
                "cpu": result.generator.cpu_share,
                "elapsed_s": result.elapsed_s,
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                **{f"p{share:g}_ms": (response.at(share / 100) or 0) / 1e6 for share in (50, 99, 99.9)},
                **{f"lag_p{share:g}_ms": (lag.at(share / 100) or 0) / 1e6 for share in (50, 99, 99.9)},
            }
        )
    )


if __name__ == "__main__":
    main()
