"""What the samples say, in plain words: stalls, pools, queues, leaks, limits. Each rule is one function.

A rule gets a `View` of the run and returns findings or nothing. Thresholds are named with the reason for them; a rule
that is not sure says nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise, takewhile
from statistics import mean, median, stdev
from typing import TYPE_CHECKING

from senior_backend.console.report import Finding
from senior_backend.load.model import NANOSECONDS, ErrorKind
from senior_backend.load.samples import Samples
from senior_backend.load.statistics import MS, falls_behind, show_ms, slope, steady_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from senior_backend.load.model import RunResult
    from senior_backend.load.statistics import Summary

ROWS = 200_000
"""Rows that are looked at; more say the same and take seconds."""
LEAST_ROWS = 20
STALL_NS = 50_000_000
STALL_FACTOR = 10
"""A stall lasts 50 ms, and ten times as long as answers and gaps between arrivals usually take."""
STALL_REQUESTS = 3
STALL_AFTER = 0.2
"""What was held up is answered as soon as the stall is over, within a fifth of its length; at least three requests."""
STALL_BEFORE = 10
"""How many answers before a gap show what was usual then; under overload those have queued, and do not."""
STALL_SHARE = 0.2
"""Stalls are worth a word when a fifth of the slow requests fell into them."""
SLOW_FACTOR = 5
QUEUEING = 2.0
"""Requests among many others that take twice as long as those alone have been queueing."""
POOL_TOLERANCE = 0.12
SMALL_POOL = 8
SURE = 0.2
"""Up to here, and this near to a whole number, the estimate tells one size from the next."""
ALONE_LEAST = 5
"""So many requests without any other say what one takes; a queue of constant length looks as even as no queue."""
RACES_SHARE = 0.02
"""Closing idle connections meets few requests; more than 2 % is something else."""
NEW_SHARE = 0.8
OUTAGE_LEAST = 10
OUTAGE_SHARE = 0.7
OUTAGE_ANSWERS = 3
TOO_MANY = 429
REFUSALS = frozenset({429, 503})
RATE_SECONDS = 3
RATE_REFUSED = 0.05
RATE_SPREAD = 0.5
"""A rate limit: 5 % or more are refused, and in three seconds or more successes differ by half of what arrivals do."""
"""An outage: at least ten failed requests in a row and 70 % of all failures, with no more than three other answers."""
COLD_FLAT = 1.5
"""After a cold start the second half is even: its slowest second is at most 1.5 times its quickest."""
SLOWEST_LEAST = 10
KIND_FACTOR = 2.0
KIND_SHARE = 0.02
KIND_LEAST = 8
KIND_SPREAD = 0.4
"""Two kinds of answers: no service time between two that differ by that factor, 2 % and eight answers on either side,
and the middle 80 % of the slow ones spread over at least 40 % of the run."""
BLOCKS = 8
LEAK_GROWTH = 0.3
LEAK_ORDER = 0.7
QUEUE_GROWTH = 1.15
MATCHED_LEAST = 3
MATCHED_SHARE = 0.1
"""A leak: block medians grow by 30 % over the run, and at least 70 % of all pairs of blocks are in rising order. It is
none when requests that meet as many others take as long as before: a tenth of a third of the run has to be like that,
three of a kind, to tell. Else growth in what is in flight leaves both possible."""


@dataclass(frozen=True, slots=True)
class View:
    """The exact rows of a run in clock order, prepared once for all rules; times in nanoseconds of the run."""

    result: RunResult
    summary: Summary
    intended: Sequence[int]
    sent: Sequence[int]
    done: Sequence[int]
    service: Sequence[int]
    lag: Sequence[int]
    wait: Sequence[int]
    error: Sequence[int]
    status: Sequence[int]
    request: Sequence[int]
    in_flight: Sequence[int]
    """How many other requests were in flight when this one was sent."""
    good: Sequence[tuple[int, int]]
    """How many others each good request met, and what it took, those of the warm-up included."""
    dones: Sequence[int]
    """All ends in order."""

    @classmethod
    def of(cls, result: RunResult, summary: Summary) -> View:
        """Prepare a run."""
        samples = result.samples
        order = sorted(range(min(len(samples.intended), ROWS)), key=samples.intended.__getitem__)

        def pick(column: Sequence[int]) -> list[int]:
            return [column[place] for place in order]

        intended, lag, wait, response = (
            pick(column) for column in (samples.intended, samples.lag, samples.wait, samples.response)
        )
        sent = [due + late + waited for due, late, waited in zip(intended, lag, wait, strict=True)]
        done = [due + took for due, took in zip(intended, response, strict=True)]
        service = [end - start for end, start in zip(done, sent, strict=True)]
        warm = result.warmup_samples or Samples()
        early = zip(warm.intended, warm.lag, warm.wait, strict=True)
        early_sent = [due + late + waited for due, late, waited in early]
        early_done = [due + took for due, took in zip(warm.intended, warm.response, strict=True)]
        dones = sorted(done)
        sends, ends = sorted(early_sent + sent), sorted(early_done + done)

        def met(moments: Sequence[int]) -> list[int]:
            return [bisect_left(sends, moment) - bisect_right(ends, moment) for moment in moments]

        error, in_flight = pick(samples.error), met(sent)
        rows = zip(met(early_sent) + in_flight, [*warm.service, *service], [*warm.error, *error], strict=True)
        return cls(
            result=result,
            summary=summary,
            intended=intended,
            sent=sent,
            done=done,
            service=service,
            lag=lag,
            wait=wait,
            error=error,
            status=pick(samples.status),
            request=pick(samples.request),
            in_flight=in_flight,
            good=[(others, took) for others, took, failed in rows if not failed],
            dones=dones,
        )

    @property
    def rate(self) -> float:
        """Return requests per second."""
        return len(self.intended) / max(self.result.measured_s, 1e-9)

    def alone(self) -> float:
        """Return the service time of a request that meets no others: the median of those that did not.

        Under overload hardly any request is alone: then it is the lower quartile of those that met the fewest, which
        keeps those out that met one or two.
        """
        if len(alone := self.met_at_most(0)) >= LEAST_ROWS:
            return median(alone)
        few = sorted(took for _, took in self._fewest())
        return few[len(few) // 4] if few else 0.0

    def _fewest(self) -> list[tuple[int, int]]:
        """Return how many others the good requests met that met the fewest, and what they took."""
        fine = sorted(self.good)
        return fine[: max(5, len(fine) // 100)]

    def met_at_most(self, others: int) -> list[int]:
        """Return the service times of good requests that met at most so many others when they were sent."""
        return [took for met, took in self.good if met <= others]

    def usual(self) -> float:
        """Return what an answer takes without a queue: under overload, most have queued."""
        return min(median(self.service), self.alone()) if self.service else 0.0


@dataclass(frozen=True, slots=True)
class Stall:
    """A time without any answer while requests were due, in nanoseconds of the run."""

    start: int
    end: int

    @property
    def seconds(self) -> float:
        """Return its length."""
        return (self.end - self.start) / NANOSECONDS


def explain(result: RunResult, summary: Summary, *, disturbed: bool = False) -> tuple[Finding, ...]:
    """Return everything that can be said, the weightiest first.

    Where the generator was disturbed, times say nothing of the server: only what does not rest on them is told.
    """
    found = errors(result)
    if len(result.samples.intended) >= LEAST_ROWS:
        view = View.of(result, summary)
        for rule in DISTURBED_RULES if disturbed else RULES:
            found += rule(view)
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def errors(result: RunResult) -> list[Finding]:
    """Return each class of errors with its example."""
    found = []
    for kind, count in sorted(result.errors.items(), key=lambda item: -item[1]):
        example = result.examples.get(kind)
        said = f", for example {example.message} ({example.request}, t = {example.at_s:.1f} s)" if example else ""
        share = count / max(result.planned, 1)
        code = f"errors-{kind.label.replace('_', '-')}"
        found.append(Finding(code, "error", f"{count:,} requests ({share:.1%}) failed with {kind.label}{said}"))
    return found


def find_stalls(view: View) -> list[Stall]:
    """Return the times without answers that neither the plan nor the usual service time explains."""
    usual = view.usual()
    overloaded = saturated(view)
    least = max(STALL_NS, STALL_FACTOR * usual, STALL_FACTOR * NANOSECONDS / max(view.rate, 1e-9) / 3)
    answers = sorted(zip(view.done, view.service, strict=True))
    stalls = []
    for place, (start, end) in enumerate(pairwise(view.dones)):
        if end - start < least:
            continue
        before = [took for _, took in answers[max(0, place + 1 - STALL_BEFORE) : place + 1]]
        if not overloaded and end - start < STALL_FACTOR * median(before):
            continue  # it was slow already, and then it is so in the next gap between arrivals
        due = bisect_right(view.intended, end) - bisect_left(view.intended, start)
        at_once = bisect_right(view.dones, end + (end - start) * STALL_AFTER) - bisect_left(view.dones, end)
        if min(due, at_once) < STALL_REQUESTS:
            continue
        # Without a request due nothing can be answered: only the time from the first one on counts.
        first = view.intended[bisect_left(view.intended, start)]
        began = min(max(start, first - int(usual)), end)
        if end - began >= least:
            stalls.append(Stall(began, end))
    return stalls


def stalls_of(result: RunResult, summary: Summary) -> list[Stall]:
    """Return the stalls of a run; see `find_stalls`."""
    return find_stalls(View.of(result, summary)) if len(result.samples.intended) >= LEAST_ROWS else []


def stalled_share(result: RunResult, summary: Summary) -> float:
    """Return the share of the measured time in which the server stood still."""
    return sum(stall.seconds for stall in stalls_of(result, summary)) / max(result.measured_s, 1e-9)


def stalls(view: View) -> list[Finding]:
    """Say when nothing was answered, and whether that is what made requests slow."""
    found = find_stalls(view)
    if not found:
        return []
    generator = [stall for stall in found if _lag_inside(view, stall) > 0.5 * (stall.end - stall.start)]
    if generator:
        at = ", ".join(f"{stall.start / NANOSECONDS:.1f}" for stall in generator[:3])
        message = f"the generator itself stood still for up to {max(s.seconds for s in generator):.2f} s at t = {at} s"
        return [Finding("generator-stall", "warning", message, fix="repeat the run on an idle machine")]
    if outage(view):
        return []
    fine = view.usual()
    slow = [
        (due, end)
        for due, end in zip(view.intended, view.done, strict=True)
        if end - due > max(SLOW_FACTOR * fine, 0.02 * (found[0].end - found[0].start))
    ]
    inside = sum(1 for due, end in slow if any(due <= stall.end and end >= stall.end for stall in found))
    if inside < STALL_SHARE * len(slow) or not inside:
        return []  # something else makes requests slow
    share = "all" if inside == len(slow) else f"{inside:,} of"
    told = f"{share} {len(slow):,} slow requests fell into "
    lengths = [stall.seconds for stall in found]
    if len(found) == 1:
        length = f"{lengths[0]:.1f}" if lengths[0] >= 0.95 else f"{lengths[0]:.2f}"
        where = f"a {length} s stall at t = {found[0].start / NANOSECONDS:.1f} s"
        return [Finding("stall", "warning", told + where + ", when nothing was answered", fix=_STALL_FIX)]
    gaps = [(after.start - before.start) / NANOSECONDS for before, after in pairwise(found)]
    regular = len(gaps) > 1 and max(gaps) < 1.3 * min(gaps)
    every = f", one every {median(gaps):.1f} s" if regular else ""
    where = f"{len(found)} stalls of about {median(lengths):.2f} s{every}"
    return [Finding("periodic-stall" if regular else "stalls", "warning", told + where, fix=_STALL_FIX)]


_STALL_FIX = "look for what stops everything: garbage collection, a checkpoint, a lock, a blocked event loop"


def _lag_inside(view: View, stall: Stall) -> int:
    first, last = bisect_left(view.intended, stall.start), bisect_right(view.intended, stall.end)
    return max(view.lag[first:last], default=0)


def saturated(view: View) -> bool:
    """Whether the backlog grew: more was asked than answered."""
    return falls_behind(view.result) is not None


def pool(view: View) -> list[Finding]:
    """Say how many requests the server can work on at once, when it cannot keep up and single requests were seen."""
    if not saturated(view) or find_stalls(view) or view.summary.error_share > 0.05:
        return []
    rate, alone = steady_rate(view.result), view.met_at_most(0)
    message = pool_sentence(rate, alone)
    if message is None or rate * mean(alone) / NANOSECONDS > 0.9 * view.result.generator.connections_cap:
        return []  # not shown, or the generator's own pool
    return [Finding("pool", "warning", message, fix=POOL_FIX)]


POOL_FIX = "more workers, a larger pool, or less work for each request"


def pool_sentence(rate: float, alone: Sequence[int]) -> str | None:
    """Return how many requests a server works on at a time, by Little's law; None where the data do not show it.

    `rate` is its throughput while requests wait, and `alone` what requests took that met no others, in ns: with others,
    they queue, and then the product is the length of the queue.
    """
    if len(alone) < ALONE_LEAST:
        return None
    took = mean(alone)
    size, error = rate * took / NANOSECONDS, stdev(alone) / math.sqrt(len(alone)) / took
    whole = round(size)
    if whole < 1 or abs(size - whole) > POOL_TOLERANCE * whole or 2 * error > POOL_TOLERANCE:
        return None
    if whole == 1:
        at_a_time = "one at a time: a single worker or a lock?"
    elif whole <= SMALL_POOL and abs(size - whole) <= SURE and 2 * error * size <= SURE:
        at_a_time = f"{whole} at a time: a pool of {whole}?"
    else:
        at_a_time = f"about {whole} at a time: a pool of that size, or that many fill the CPU?"
    return f"throughput stops at {rate:.0f} requests/s while a request alone takes {show_ms(took)}: {at_a_time}"


def queueing(view: View) -> list[Finding]:
    """Say whether the slowest hundredth waited for a connection, queued in the server, or was slow by itself."""
    response = [end - due for due, end in zip(view.intended, view.done, strict=True)]
    usual = median(response)
    limit = sorted(response)[int(0.99 * len(response))]
    if limit < max(2 * usual, 2 * MS) or saturated(view) or find_stalls(view):
        return []
    if _steady_change(view, _block_medians(view)) or _two_kinds(view):
        return []  # the server itself changed, or has slow answers: those meet more others because they are slow
    slowest = [place for place, took in enumerate(response) if took >= limit]
    total = sum(response[place] for place in slowest)
    if sum(view.wait[place] for place in slowest) > 0.5 * total:
        message = f"p99 is waiting for a connection, not service: the slowest 1 % waited {show_ms(limit)}"
        return [Finding("queueing-for-connection", "warning", message, fix="raise --connections, if users have more")]
    alone = view.alone()
    few = sorted(view.in_flight)[len(view.in_flight) // 4]
    crowded = [view.service[place] for place in slowest]
    others = median(view.in_flight[place] for place in slowest)
    if others >= few + 2 and alone and median(crowded) > QUEUEING * alone:
        message = (
            f"p99 is queueing, not service: a request takes {show_ms(alone)} alone and {show_ms(median(crowded))} "
            f"when it meets {others:.0f} others"
        )
        return [Finding("queueing", "info", message, fix="more workers, or less work for each request")]
    if others <= few + 1:
        message = f"p99 is service, not queueing: the slowest 1 % ({show_ms(limit)}) met no more others than usual"
        return [
            Finding("slow-by-itself", "info", message, fix="look at what these requests do: data, locks, cold caches")
        ]
    return []


_SLOW_FIX = "look at what these requests do: their data, locks, cold caches"


def trend(view: View) -> list[Finding]:
    """Say when answers became slower, or faster, all along at the same load."""
    if find_stalls(view):
        return []
    medians = _block_medians(view)
    change = _steady_change(view, medians)
    if not change or (change < 0 and cold_start(view)):
        return []
    per_s = change / MS / max(view.result.measured_s, 1e-9)
    message = (
        f"answers become {'slower' if change > 0 else 'faster'} all the time: {show_ms(medians[0])} at the start, "
        f"{show_ms(medians[-1])} at the end ({per_s:+.2f} ms per second)"
    )
    if change < 0:
        return [Finding("warming-up", "warning", message, fix="a longer --warmup leaves that out; a cache, or a JIT?")]
    if saturated(view):
        return [Finding("growing", "info", message + ", as the backlog grows")]
    first, last = _ends(view.in_flight)
    rises = _slower_at_equal_load(view)
    if rises is False or (rises is None and last > QUEUE_GROWTH * first + 1):
        message += f", and {last:.0f} instead of {first:.0f} others are in flight: a queue that grows"
        message += "" if rises is False else ", or a leak"
        return [Finding("growing", "info", message, fix="a longer run at a lower rate tells what it is")]
    return [Finding("leak", "warning", message, fix="look for what grows: memory, rows, open cursors; run it longer")]


def _slower_at_equal_load(view: View) -> bool | None:
    """Whether late requests took longer than early ones that met as many others; None where too few did.

    More in flight is no sign of either: by Little's law a leak makes requests meet more others, as a queue does.
    """
    width = len(view.service) // 3
    early: defaultdict[int, list[int]] = defaultdict(list)
    late: defaultdict[int, list[int]] = defaultdict(list)
    for groups, start in ((early, 0), (late, len(view.service) - width)):
        for others, took in zip(
            view.in_flight[start : start + width], view.service[start : start + width], strict=True
        ):
            groups[others].append(took)
    shared = [others for others in early if min(len(early[others]), len(late[others])) >= MATCHED_LEAST]
    weights = [min(len(early[others]), len(late[others])) for others in shared]
    if sum(weights) < MATCHED_SHARE * width:
        return None
    ratios = [median(late[others]) / max(median(early[others]), 1) for others in shared]
    matched = sum(ratio * weight for ratio, weight in zip(ratios, weights, strict=True)) / sum(weights)
    whole = median(view.service[-width:]) / max(median(view.service[:width]), 1)
    return bool(matched - 1 > (whole - 1) / 2)


def _ends(column: Sequence[int]) -> tuple[float, float]:
    """Return the medians of the first and of the last block."""
    width = max(1, len(column) // BLOCKS)
    return median(column[:width]), median(column[-width:])


def _steady_change(view: View, medians: Sequence[float]) -> float:
    """Return by how much the medians of blocks rose or fell from the first to the last; 0 where there is no trend.

    What is less than the generator's own lateness says nothing of the server.
    """
    least = sorted(view.lag)[int(0.99 * len(view.lag))]
    if len(medians) < BLOCKS or min(medians) <= 0:
        return 0.0
    change = slope(list(enumerate(medians))) * (len(medians) - 1)
    pairs = [(early, late) for place, early in enumerate(medians) for late in medians[place + 1 :]]
    in_order = sum(1 for early, late in pairs if (late > early) == (change > 0) and late != early) / len(pairs)
    lowest = medians[0] if change > 0 else medians[-1]
    if in_order < LEAK_ORDER or abs(change) < max(LEAK_GROWTH * lowest, 0.5 * MS, least):
        return 0.0
    return change


def _block_medians(view: View) -> list[float]:
    width = max(1, len(view.service) // BLOCKS)
    if width < 10:
        return []
    return [median(view.service[start : start + width]) for start in range(0, width * BLOCKS, width)]


def outage(view: View) -> list[Finding]:
    """Say when failures are one stretch of time in which nothing succeeded: a server that went away, or shed load."""
    # What was never sent, because the run ended first, says nothing of the server at that time.
    failed = [error not in (ErrorKind.NONE, ErrorKind.NO_CONNECTION) for error in view.error]
    start, end = _longest_run(failed)
    if end - start < OUTAGE_LEAST or end - start < OUTAGE_SHARE * sum(failed) or end - start == len(failed):
        return []
    until = view.intended[end] if end < len(failed) else max(view.done)
    after = view.intended[start] + int(view.usual())
    if (
        sum(after < done < until for done, error in zip(view.done, view.error, strict=True) if not error)
        > OUTAGE_ANSWERS
    ):
        return []  # it went on answering what had come before
    kinds = Counter(ErrorKind(view.error[place]) for place in range(start, end))
    kind = " and ".join(one.label.replace("_", " ") for one, _ in kinds.most_common(2))
    statuses = Counter(view.status[place] for place in range(start, end) if view.error[place] == ErrorKind.STATUS)
    answered = bool(statuses) and len(kinds) == 1
    status = statuses.most_common(1)[0][0] if answered else 0
    if answered:
        kind += f" {status}"
    first = view.intended[start] / NANOSECONDS
    if end == len(failed):
        what = "it failed from then on" if answered else "the server went away, or hangs"
        message = f"from t = {first:.1f} s on no request succeeded ({kind}): {what}"
    elif start == 0:
        message = f"no request succeeded before t = {view.intended[end] / NANOSECONDS:.1f} s ({kind}): it was not ready"
    else:
        message = (
            f"from t = {first:.1f} s to {view.intended[end] / NANOSECONDS:.1f} s no request succeeded ({kind}), and it "
            f"recovered: {'a rate limit?' if status == TOO_MANY else 'a restart, or an overload?'}"
        )
    return [Finding("outage", "error", message, fix="look at the server's log of that time")]


def _longest_run(flags: Sequence[bool]) -> tuple[int, int]:
    """Return where the longest run of true flags starts and ends."""
    best = (0, 0)
    start = 0
    for place, flag in enumerate([*flags, False]):
        if flag:
            continue
        if place - start > best[1] - best[0]:
            best = (start, place)
        start = place + 1
    return best


def failures_by_load(view: View) -> list[Finding]:
    """Say when failures come exactly above a number of requests in flight."""
    failed = sorted(
        others for others, error in zip(view.in_flight, view.error, strict=True) if error == ErrorKind.STATUS
    )
    fine = sorted(others for others, error in zip(view.in_flight, view.error, strict=True) if not error)
    if len(failed) < 5 or len(fine) < LEAST_ROWS:
        return []
    limit = failed[len(failed) // 20]
    below = bisect_left(fine, limit) / len(fine)
    if limit < 2 or below < 0.95:
        return []
    worst = Counter(status for status, error in zip(view.status, view.error, strict=True) if error).most_common(1)[0][0]
    message = f"failures (status {worst}) come when {limit} or more requests are in flight: a limit of {limit}?"
    return [Finding("concurrency-limit", "warning", message, fix="raise the limit, or send less at a time")]


def rate_limit(view: View) -> list[Finding]:
    """Say when as many requests succeed in each second and the rest is refused."""
    if failures_by_load(view):
        return []
    refused = Counter(
        status
        for status, error in zip(view.status, view.error, strict=True)
        if error == ErrorKind.STATUS and status in REFUSALS
    )
    seconds = view.summary.timeline
    later = seconds[len(seconds) // 3 : -1]  # before, a bucket may have been full; the last is rarely whole
    good = [second.sent - second.failed for second in later]
    if len(good) < RATE_SECONDS or refused.total() < RATE_REFUSED * len(view.status):
        return []
    asked = [second.sent for second in later]
    if min(good) < LEAST_ROWS or max(good) - min(good) > RATE_SPREAD * (max(asked) - min(asked)):
        return []
    status = refused.most_common(1)[0][0]
    message = (
        f"about {mean(good):.0f} requests succeed in each second, and the rest is refused (status {status}): a rate "
        "limit of that size, or all that it takes on?"
    )
    return [Finding("rate-limit", "warning", message, fix="ask for less, or raise the limit")]


def two_kinds(view: View) -> list[Finding]:
    """Say when answers are of two kinds that differ much, at the same load."""
    split = None if saturated(view) or find_stalls(view) or one_request(view) else _two_kinds(view)
    if not split:
        return []
    quick, slow = split
    share = len(slow) / (len(quick) + len(slow))
    message = (
        f"answers are of two kinds: {1 - share:.0%} take about {show_ms(median(quick))}, {share:.0%} about "
        f"{show_ms(median(slow))}, whatever the load: another path through the code, a cache, a retry?"
    )
    return [Finding("two-kinds", "info", message, fix="find out what the slow ones have in common")]


def _two_kinds(view: View) -> tuple[list[int], list[int]] | None:
    """Return the service times of good answers on both sides of the widest gap, if it is wide and both are common."""
    good = [
        (took, place) for place, (took, error) in enumerate(zip(view.service, view.error, strict=True)) if not error
    ]
    good.sort()
    least = max(KIND_LEAST, int(KIND_SHARE * len(good)))
    if len(good) < 2 * least:
        return None
    place = max(range(least, len(good) - least + 1), key=lambda at: good[at][0] / max(good[at - 1][0], 1))
    if good[place][0] < KIND_FACTOR * good[place - 1][0]:
        return None
    slow_places = sorted(at for _, at in good[place:])
    # Slow ones that stand together are a slow time, which is something else.
    spread = slow_places[int(0.9 * (len(slow_places) - 1))] - slow_places[int(0.1 * (len(slow_places) - 1))]
    if spread < KIND_SPREAD * len(view.service):
        return None
    quick_places = [at for _, at in good[:place]]
    if median(view.in_flight[at] for at in slow_places) > median(view.in_flight[at] for at in quick_places) + 1:
        return None  # they met more others: that is queueing
    return [took for took, _ in good[:place]], [took for took, _ in good[place:]]


def cold_start(view: View) -> list[Finding]:
    """Say when the first seconds were slow and the rest is not."""
    seconds = [second for second in view.summary.timeline if second.p50_ms is not None and second.sent >= 5]
    if len(seconds) < 5 or view.result.plan.warmup_s or find_stalls(view):
        return []
    later = [second.p50_ms or 0.0 for second in seconds[len(seconds) // 2 :]]
    if max(later) > COLD_FLAT * min(later):
        return []
    rest = median(later)
    slow = list(takewhile(lambda second: (second.p50_ms or 0.0) >= max(2 * rest, rest + 2), seconds))
    if not slow:
        return []
    took = median(second.p50_ms or 0.0 for second in slow)
    while_ = "first second was" if len(slow) == 1 else f"first {len(slow)} seconds were"
    message = f"the {while_} slow (p50 {took:.1f} ms, later {rest:.1f} ms): a cold start"
    return [Finding("cold-start", "info", message, fix=f"add --warmup {max(5, 2 * len(slow))}s to leave it out")]


def connections(view: View) -> list[Finding]:
    """Say what the server does with connections, where that costs something."""
    stats = view.result.generator
    found = []
    if stats.server_closes > 0.5 * len(view.intended):
        connect = median(view.result.samples.connects) if view.result.samples.connects else 0
        message = (
            f"the server closes the connection after each response; each request pays {show_ms(connect)} for another"
        )
        found.append(Finding("no-keep-alive", "warning", message, fix="let it keep connections alive"))
    if stats.keep_alive_races:
        share = stats.keep_alive_races / len(view.intended)
        message = f"{stats.keep_alive_races:,} requests were sent again because the server had closed a kept connection"
        often = share > RACES_SHARE and not outage(view)
        if often:
            message += (
                f" ({share:.1%}): it closes in the middle of use, and a client that does not try again sees failures"
            )
        fix = "look for what drops connections" if often else "a longer keep-alive timeout at the server"
        found.append(Finding("keep-alive-races", "warning" if often else "info", message, fix=fix))
    return found


def connection_limit(view: View) -> list[Finding]:
    """Say when new connections fail while those that were once answered go on working."""
    stats = view.result.generator
    failed = view.result.failed - view.result.errors.get(ErrorKind.NO_CONNECTION, 0)
    if failed < OUTAGE_LEAST or stats.unused_failures < NEW_SHARE * failed or outage(view):
        return []
    if not 0 < stats.connections_used < stats.connections_peak:
        return []
    slow = view.result.errors.get(ErrorKind.READ_TIMEOUT, 0) + view.result.errors.get(ErrorKind.UNFINISHED, 0)
    if slow > 0.5 * failed:
        return []  # requests that hang, wherever they are sent: those connections never get to a second one
    number = stats.connections_used
    message = f"requests fail on new connections, and never more than {number} worked at a time: a limit of {number}?"
    return [Finding("connection-limit", "warning", message, fix="raise the server's limit, or use fewer --connections")]


def one_request(view: View) -> list[Finding]:
    """Say when one of several requests makes the slow end."""
    names = view.result.names
    if len(names) < 2:
        return []
    response = [end - due for due, end in zip(view.intended, view.done, strict=True)]
    limit = sorted(response)[min(int(0.99 * len(response)), len(response) - SLOWEST_LEAST)]
    slow = Counter(index for index, took in zip(view.request, response, strict=True) if took >= limit)
    index, count = slow.most_common(1)[0]
    share, usual = count / slow.total(), Counter(view.request)[index] / len(view.request)
    if share < 0.8 or usual > 0.6:
        return []
    what = "the slowest 1 %" if slow.total() < 0.015 * len(response) else f"the {slow.total()} slowest"
    message = f"{share:.0%} of {what} are '{names[index]}', which is {usual:.0%} of the requests"
    return [Finding("slow-request", "info", message, where=names[index])]


RULES: tuple[Callable[[View], list[Finding]], ...] = (
    outage,
    stalls,
    failures_by_load,
    rate_limit,
    connection_limit,
    pool,
    trend,
    queueing,
    one_request,
    two_kinds,
    cold_start,
    connections,
)
DISTURBED_RULES = (outage, stalls, failures_by_load, rate_limit, connections)
