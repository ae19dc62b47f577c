"""Who depends on whom: root causes, what they block, and causes that several services share without saying so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from senior_backend.health.model import Result
from senior_backend.health.reasons import next_step

NOT_REACHED = frozenset({"refused", "unreachable", "connect_timeout"})
_DATES = frozenset({"tls_expired", "tls_chain_expired", "tls_not_yet_valid"})
WRONG_CLOCK = 300.0
"""Seconds; less than that breaks no certificate."""
_LOOKUP = frozenset({"dns_timeout", "dns_failure", "checker_resolver", "checker_dns"})


@dataclass(frozen=True, slots=True)
class Cause:
    """A failure that explains others; `affected` are blocked by it, directly or through others."""

    service: str
    reason: str
    detail: str
    affected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SharedCause:
    """Something that all failing `services` have in common and no healthy one has."""

    kind: str
    subject: str
    services: tuple[str, ...]
    message: str


def resolve(results: Sequence[Result]) -> list[Result]:
    """Return the results with failures behind a failing dependency marked `blocked`, and their root causes named."""
    if not any(result.state == "down" for result in results):
        return list(results)
    by_name = {result.service.name: result for result in results}
    causes: dict[str, tuple[str, ...]] = {}
    further: dict[str, tuple[str, ...]] = {}
    for name in _dependencies_first(by_name):
        result = by_name[name]
        through = [root for item in result.service.depends_on for root in causes.get(item, further.get(item, ()))]
        if result.state != "down":
            further[name] = tuple(dict.fromkeys(through))
            continue
        behind = [item for item in result.service.depends_on if item in causes]
        roots = dict.fromkeys(root for item in behind for root in causes[item])
        causes[name] = tuple(roots) or (name,)
        if roots:
            step = next_step("dependency", causes=", ".join(roots))
            by_name[name] = result._replace(
                state="blocked",
                reason="dependency",
                own_reason=result.reason,
                causes=tuple(roots),
                next_step=step,
            )
        elif through:
            # What lies between says that it is up, so this is a hint and no verdict.
            named = ", ".join(dict.fromkeys(through))
            by_name[name] = result._replace(
                next_step=f"{result.next_step} Behind what it needs, this fails: {named}; look there first."
            )
    return [by_name[result.service.name] for result in results]


def _dependencies_first(by_name: Mapping[str, Result]) -> list[str]:
    """Return all names so that each comes after those it depends on; the configuration has no cycles."""
    ordered: list[str] = []
    seen: set[str] = set()
    for start in by_name:
        stack = [(start, False)]
        while stack:
            name, expanded = stack.pop()
            if expanded:
                ordered.append(name)
            elif name not in seen:
                seen.add(name)
                stack.append((name, True))
                stack.extend((item, False) for item in by_name[name].service.depends_on if item in by_name)
    return ordered


def root_causes(results: Sequence[Result]) -> list[Cause]:
    """Return the services that are down by themselves, those that block most first."""
    affected: dict[str, list[str]] = defaultdict(list)
    for result in results:
        for cause in result.causes:
            affected[cause].append(result.service.name)
    down = [result for result in results if result.state == "down"]
    made = [
        Cause(item.service.name, item.reason or "", item.detail, tuple(affected[item.service.name])) for item in down
    ]
    return sorted(made, key=lambda cause: -len(cause.affected))


def shared_causes(results: Sequence[Result]) -> list[SharedCause]:
    """Return what failing services share though nobody declared it: resolver, certificate, endpoint, host."""
    found: list[SharedCause] = []
    lookups = [result for result in results if (result.own_reason or result.reason) in _LOOKUP]
    if len({result.service.host for result in lookups}) > 1:
        names = _names(lookups)
        found.append(
            SharedCause(
                "resolver",
                "name resolution",
                names,
                f"{len(names)} services fail at the look-up of their names: suspect the resolver",
            )
        )
    absent = [result for result in results if (result.own_reason or result.reason) == "dns_nxdomain"]
    resolved = any(
        item.address not in (None, item.service.host) and item.service.host != "localhost" for item in results
    )
    if len({result.service.host for result in absent}) > 1 and not resolved:
        message = "no name exists here: is this machine in the right network (VPN, containers), its search domain set?"
        found.append(SharedCause("resolver", "name resolution", _names(absent), message))
    by_certificate: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.fingerprint and (result.own_reason or result.reason or "").startswith("tls_"):
            by_certificate[result.fingerprint].append(result)
    for fingerprint, group in by_certificate.items():
        if len(group) > 1:
            names = _names(group)
            found.append(
                SharedCause(
                    "certificate",
                    fingerprint[:16],
                    names,
                    f"{len(names)} services present the same failing certificate: mend it once",
                )
            )
    found.extend(_by_clock(results))
    found.extend(_by_place(results))
    found.extend(_by_component(results))
    return found


def _by_component(results: Sequence[Result]) -> list[SharedCause]:
    """Return services that report a failing part which is itself a failing service that they do not depend on."""
    down = {result.service.name.lower(): result for result in results if result.failing}
    found = []
    for result in results:
        for part, level in result.components.items():
            culprit = down.get(part.rpartition(".")[2].partition(":")[0].lower()) if level == "down" else None
            if culprit is None or culprit is result or culprit.service.name in result.service.depends_on:
                continue
            name, cause = result.service.name, culprit.service.name
            message = f"{name} reports {part} as down, and {cause} is: add `depends_on: [{cause}]` to {name}"
            found.append(SharedCause("component", cause, tuple(sorted((name, cause))), message))
    return found


def _by_clock(results: Sequence[Result]) -> list[SharedCause]:
    """Return this machine's clock where every Date differs from it, or several certificates lie in its future."""
    dated = [result for result in results if (result.own_reason or result.reason) in _DATES]
    told = [result for result in results if result.clock_ahead is not None]
    ahead = sorted(result.clock_ahead or 0.0 for result in told)
    wrong = bool(ahead) and (ahead[0] > WRONG_CLOCK or ahead[-1] < -WRONG_CLOCK)
    if wrong and (dated or len({result.address for result in told}) > 1):
        middle = ahead[len(ahead) // 2]
        way = "ahead of" if middle > 0 else "behind"
        of = f"{abs(middle) / 3600:.1f} hours {way} the Date that {', '.join(_names(told)[:3])} sent"
        return [
            SharedCause("clock", "this machine", _names(dated or told), f"this machine's clock is {of}: set it first")
        ]
    future = [result for result in dated if (result.own_reason or result.reason) == "tls_not_yet_valid"]
    if len({result.fingerprint for result in future}) > 1:
        message = f"{len(future)} certificates are not valid yet: suspect this machine's clock"
        return [SharedCause("clock", "this machine", _names(future), message)]
    return []


def _by_place(results: Sequence[Result]) -> list[SharedCause]:
    """Return endpoints and hosts on which everything that was asked fails to connect."""
    endpoints: dict[tuple[str, int], list[Result]] = defaultdict(list)
    hosts: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.address and result.service.port:
            endpoints[result.address, result.service.port].append(result)
            hosts[result.address].append(result)
    found: list[SharedCause] = []
    for address, group in hosts.items():
        ports = {result.service.port for result in group}
        if len(ports) > 1 and all(_not_reached(result) for result in group):
            names = _names(group)
            message = f"nothing that was asked on {address} accepts connections ({len(ports)} ports): is it running?"
            found.append(SharedCause("host", address, names, message))
    covered = {name for cause in found for name in cause.services}
    for (address, port), group in endpoints.items():
        names = _names(group)
        if len(group) > 1 and all(_not_reached(result) for result in group) and not covered.issuperset(names):
            message = f"{len(names)} services share {address}:{port}, which accepts no connection"
            found.append(SharedCause("endpoint", f"{address}:{port}", names, message))
    return found


def _not_reached(result: Result) -> bool:
    return (result.own_reason or result.reason) in NOT_REACHED


def _names(results: Sequence[Result]) -> tuple[str, ...]:
    return tuple(sorted(result.service.name for result in results))
