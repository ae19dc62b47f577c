"""`--selftest`: the tool against a server whose truth is known by arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.output import table
from senior_backend.console.progress import Progress as Bar
from senior_backend.console.report import Report
from senior_backend.load import selftest

if TYPE_CHECKING:
    from senior_backend.load.model import Progress


def report() -> tuple[Report, str]:
    """Run the self-test and return its report."""
    with Bar("selftest") as bar:

        def progress(now: Progress) -> None:
            bar.update(round(now.elapsed_s, 1), f"{now.rate:.0f}/s of {now.asked_rate:.0f}/s")

        result = selftest.run(progress=progress)
    rows = [
        [check.name, f"{check.truth_ms:,.1f} ms", f"{check.measured_ms:,.1f} ms", "right" if check.right else "WRONG"]
        for check in result.checks
    ]
    body = (
        f"a server that stalls for {result.stall_s:g} s, {result.run_s:g} s at {result.rate:g}/s\n"
        f"{result.sent:,} of {result.planned:,} requests sent, schedule lag p99 {result.lag_p99_ms:.2f} ms\n\n"
        + table(rows, ["", "truth", "measured", ""])
    )
    if result.passed:
        code, sentence = ExitCode.OK, "every percentile is what arithmetic says it must be"
    elif not result.valid:
        code, sentence = ExitCode.UNDECIDED, f"the machine disturbed the self-test: {result.limit_reason}"
    else:
        code, sentence = ExitCode.FAILED, "the tool does not measure rightly on this machine"
    return Report("load_test", code, sentence, (), {"selftest": result.to_json()}), body
