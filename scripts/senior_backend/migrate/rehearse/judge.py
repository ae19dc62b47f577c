"""What a rehearsal means: findings with a verdict, from plain observations."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.console.report import Finding

if TYPE_CHECKING:
    from senior_backend.migrate.rehearse.model import QueryRun, Rehearsal, StatementRun, Wait

SHOWN = 5
ENOUGH = 0.9
"""Share of the wanted rows from which a table counts as filled."""
READS_TOO = frozenset({"AccessExclusiveLock", "exclusive"})
WRITES_ONLY = frozenset({"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "shared"})
"""PostgreSQL's table lock modes, and the two words by which other engines' observers say what they saw."""


def blocks(mode: str) -> str | None:
    """Return what a table lock of `mode` keeps out: `reads and writes`, `writes`, or None."""
    if mode in READS_TOO:
        return "reads and writes"
    return "writes" if mode in WRITES_ONLY else None


@dataclass(frozen=True, slots=True)
class Growth:
    """Work under a lock that grows with the table."""

    statement: int
    relation: str
    keeps_out: str
    per_row: float
    fixed: float

    def seconds(self, rows: int) -> float:
        """Return how long the lock would be held over a table of `rows` rows."""
        return self.fixed + self.per_row * rows


def place(run: StatementRun) -> str:
    """Return `file:line:column` of a statement."""
    return f"{run.step.file}:{run.step.line}:{run.step.column}"


def held_before(rehearsal: Rehearsal, number: int) -> dict[str, str]:
    """Return the locks that the transaction of statement `number` holds while it runs."""
    held: dict[str, str] = {}
    run = rehearsal.up[number]
    for other in rehearsal.up[: number + 1]:
        if other.transaction == run.transaction:
            held.update(other.cost.locks)
    return held


def growths(rehearsal: Rehearsal) -> list[Growth]:
    """Return the statements that scan, rewrite or change rows while their transaction keeps others out."""
    existing = {filled.table: filled.rows for filled in rehearsal.filled}
    found: list[Growth] = []
    for number, run in enumerate(rehearsal.up):
        cost = run.cost
        rows = max(cost.rows_read or 0, cost.rows_written or 0)
        filled = max(existing.values(), default=0)
        if filled == 0 or run.error:
            continue
        grows = rows >= filled * 0.5 or bool(set(cost.rewritten) & existing.keys())
        if not grows:
            continue
        held = [
            (relation, kept_out)
            for relation, mode in held_before(rehearsal, number).items()
            if relation in existing and (kept_out := blocks(mode))
        ]
        if not held and (cost.rows_written or 0) >= filled * 0.5:
            relation = next((relation for relation, _ in cost.locks if relation in existing), "")
            held = [(relation, "writes to the same rows")]
        if held:
            # On few rows the fixed part can seem to be all of it; at least half is taken to grow.
            fixed = min(rehearsal.fixed[number] if number < len(rehearsal.fixed) else 0.0, run.seconds / 2)
            relation, kept_out = min(held, key=lambda one: (one[1] != "reads and writes", one[0]))
            found.append(Growth(number, relation, kept_out, max(run.seconds - fixed, 1e-6) / filled, fixed))
    return found


def findings(rehearsal: Rehearsal, *, max_wait: float, production_rows: int) -> list[Finding]:
    """Return everything that does not hold (errors) or should be known, in the order of the run."""
    found: list[Finding] = []
    failed = next((run for run in rehearsal.statements if run.error), None)
    if failed:
        found.append(_failure(rehearsal, failed))
    found.extend(_waits(rehearsal, max_wait))
    if production_rows:
        found.extend(_growth(rehearsal, growth, max_wait, production_rows) for growth in growths(rehearsal))
    found.extend(_broken_queries(rehearsal))
    found.extend(_round_trip(rehearsal))
    found.extend(
        Finding(
            "table-not-filled", "warning",
            f"{filled.table} got {filled.rows:,} of {rehearsal.rows:,} rows: {filled.problem}", filled.table,
            "What was measured on this table says less; give it rows in a migration before, or in --schema.",
        )
        for filled in rehearsal.filled
        if filled.problem and filled.rows < rehearsal.rows * ENOUGH
    )  # fmt: skip
    found.extend(
        Finding("query-left-out", "info", f"the workload does not {kind} {table}: {reason}", table, None)
        for table, kind, reason in rehearsal.unusable
    )
    return found


def _failure(rehearsal: Rehearsal, run: StatementRun) -> Finding:
    on = "empty tables" if not rehearsal.filled else f"tables of {rehearsal.rows:,} invented rows"
    way = {"up": "", "down": " on the way down", "again": " when applied a second time, after down"}[run.direction]
    missing = "does not exist" in (run.error or "").lower() or "doesn't exist" in (run.error or "").lower()
    hint = (
        "Name the schema that is there before: --schema FILE, or keep the file in a folder with the earlier migrations."
        if missing and not rehearsal.filled
        else "Mend the statement; it would fail on a real database too."
    )
    return Finding("statement-failed", "error", f"fails on {on}{way}: {run.error}", place(run), hint)


def _waits(rehearsal: Rehearsal, max_wait: float) -> list[Finding]:
    found: list[Finding] = []
    longest: dict[int, Wait] = {}
    many: Counter[int] = Counter()
    unexplained = 0.0
    for wait in rehearsal.waits:
        if wait.statement is None:
            unexplained = max(unexplained, wait.query.seconds)
            continue
        slow = _slowest_during(rehearsal, wait.statement, wait.query)
        many[slow] += 1
        if slow not in longest or wait.query.seconds > longest[slow].query.seconds:
            longest[slow] = wait
    for number, wait in sorted(longest.items()):
        if wait.query.seconds > max_wait:
            found.append(
                Finding(
                    "query-waited", "error",
                    f"{_article(wait.query.kind)} of {wait.query.table} waited {_duration(wait.query.seconds)} for "
                    f"{_waited_for(rehearsal, wait, number)} "
                    f"({many[number]} queries waited in all; allowed are {_duration(max_wait)})",
                    place(rehearsal.up[number]),
                    "`db_migrate.py rewrite` turns it into steps that do not block.",
                )
            )  # fmt: skip
    if unexplained > max_wait:
        found.append(
            Finding(
                "slow-query", "warning",
                f"a query took {_duration(unexplained)} although nothing was seen to block it: the server was busy",
                None, "Rehearse again on a quieter machine if this matters.",
            )
        )  # fmt: skip
    return found


def _slowest_during(rehearsal: Rehearsal, holder: int, query: QueryRun) -> int:
    """Return the statement that ran longest while `query` waited for a lock of `holder`'s transaction.

    The lock is kept to the commit, so what takes the time is often a statement behind the one that took the lock.
    """

    def shared(number: int) -> float:
        run = rehearsal.up[number]
        return min(run.ended, query.ended) - max(run.started, query.started)

    transaction = rehearsal.up[holder].transaction
    later = [number for number, run in enumerate(rehearsal.up) if run.transaction == transaction and number >= holder]
    return max(later, key=lambda number: (round(shared(number), 3), number == holder))


def _waited_for(rehearsal: Rehearsal, wait: Wait, number: int) -> str:
    if wait.statement is None or wait.statement == number:
        return "this statement"
    holder = rehearsal.up[wait.statement].step
    return f"the lock that line {holder.line} took and its transaction keeps, most of it while this statement ran"


def _article(kind: str) -> str:
    return {"read": "a read", "page": "a page", "insert": "an insert", "update": "an update"}.get(kind, f"a {kind}")


def _growth(rehearsal: Rehearsal, growth: Growth, max_wait: float, production_rows: int) -> Finding:
    run = rehearsal.up[growth.statement]
    seconds = growth.seconds(production_rows)
    does = "rewrites" if run.cost.rewritten else "changes" if run.cost.rows_written else "scans"
    limit = max(int((max_wait - growth.fixed) / growth.per_row), 0)
    return Finding(
        "work-under-lock",
        "error" if seconds > max_wait else "warning",
        f"{does} every row while {growth.keeps_out} of {growth.relation} wait: {_duration(run.seconds)} for "
        f"{rehearsal.rows:,} rows, about {_duration(seconds)} for {production_rows:,}; "
        f"{_duration(max_wait)} are passed at about {limit:,} rows",
        place(run),
        "`db_migrate.py rewrite` turns it into steps that do not block; --production-rows says how large the table is.",
    )


def _broken_queries(rehearsal: Rehearsal) -> list[Finding]:
    groups: dict[tuple[str, str, str], list[float]] = {}
    for query in rehearsal.queries:
        if query.error and query.started >= rehearsal.began - 0.05:
            groups.setdefault((query.table, query.kind, _general(query.error)), []).append(query.ended)
    found = []
    for (table, kind, error), times in sorted(groups.items(), key=lambda item: item[1][0])[:SHOWN]:
        cause = _cause(rehearsal, min(times), error)
        found.append(
            Finding(
                "running-version-broken", "error",
                f"the application as it runs now fails to {kind} {table} ({len(times)} times): {error}",
                place(cause) if cause else None,
                "Expand first, deploy the application, contract in a later migration: `db_migrate.py rewrite` "
                "writes these files.",
            )
        )  # fmt: skip
    return found


def _cause(rehearsal: Rehearsal, at: float, error: str) -> StatementRun | None:
    """Return the statement that broke a query: of the last transaction before it, the one that names what is missing.

    What a transaction changes is seen when it commits, so its last statement need not be the one.
    """
    last = next((run for run in reversed(rehearsal.up) if run.started <= at), None)
    if last is None:
        return None
    together = [run for run in rehearsal.up if run.transaction == last.transaction]
    names = re.findall(r"[\"'`]([^\"'`]+)[\"'`]", error)
    naming = [run for run in together if any(re.search(rf"\b{re.escape(name)}\b", run.step.text) for name in names)]
    return naming[-1] if naming else last


def _general(error: str) -> str:
    """Return an error without the values that differ between two queries."""
    return re.sub(r"\d{2,}", "…", error)


def _round_trip(rehearsal: Rehearsal) -> list[Finding]:
    found: list[Finding] = []
    last = rehearsal.files[-1] if rehearsal.files else None
    names = {"down": "down does not lead back", "again": "up after down does not lead to the same schema"}
    for name, trip in (("down", rehearsal.down), ("again", rehearsal.again)):
        if trip.outcome == "different":
            shown = "; ".join(
                f"{one.object}: {_short(one.before)} -> {_short(one.after)}" for one in trip.differences[:SHOWN]
            )
            more = f"; and {len(trip.differences) - SHOWN} more" if len(trip.differences) > SHOWN else ""
            found.append(
                Finding(
                    f"{name}-differs", "error", f"{names[name]}: {shown}{more}", last,
                    "Let the down section undo exactly what up does, or declare it irreversible.",
                )
            )  # fmt: skip
    if rehearsal.down.outcome == "unknown":
        found.append(
            Finding(
                "down-not-rehearsed", "warning", f"down was not rehearsed: {rehearsal.down.error}", last,
                "Try it by hand on a copy of the schema, or declare the migration irreversible.",
            )
        )  # fmt: skip
    if rehearsal.down.outcome == "irreversible":
        found.append(Finding("irreversible", "info", "there is no way down, so down was not rehearsed", last, None))
    for table, before, after in rehearsal.lost_rows:
        found.append(
            Finding(
                "rows-lost", "error", f"down and up again left {after:,} of {before:,} rows in {table}", last,
                "A way down that loses rows needs the irreversible mark, or a copy of the rows.",
            )
        )  # fmt: skip
    return found


def _short(text: str | None) -> str:
    if text is None:
        return "nothing"
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:77] + "..."


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


duration = _duration
