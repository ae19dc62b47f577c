"""Valid values for fields, different for each number where the rules leave room."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import hypothesis
from hypothesis import strategies

_matching: dict[tuple[str, int, int], list[str]] = {}


def text(number: int, low: int, high: int) -> str:
    """Return text whose length is within the bounds."""
    return f"n{number}".ljust(low, "x")[-high:] if high else ""


def matching(pattern: str, low: int, high: int) -> str:
    """Return text that matches `pattern`, another one each time while there are any."""
    values = _matching.setdefault((pattern, low, high), [])
    if not values:
        values += _collect(pattern, low, high)
    return values.pop()


def _collect(pattern: str, low: int, high: int) -> list[str]:
    fitting = strategies.from_regex(pattern).filter(lambda value: low <= len(value) <= high and value.isprintable())
    found: set[str] = set()

    @hypothesis.settings(
        max_examples=300,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(fitting)
    def collect(value: str) -> None:
        found.add(value)

    collect()
    return sorted(found)


def secret(low: int, high: int) -> str:
    """Return a password."""
    return "Correct horse".ljust(low, "!")[:high]


def whole(number: int, low: float, high: float) -> int:
    """Return an integer within the bounds."""
    return int(low) + number % (int(high) - int(low) + 1)


def real(number: int, low: float, high: float) -> float:
    """Return a number within the bounds."""
    return min(low + number / 8, high)


def exact(number: int, scale: int, low: str, high: str) -> str:
    """Return a decimal as text, within the bounds."""
    value = min(Decimal(low) + Decimal(number % 50).scaleb(-scale), Decimal(high))
    return format(value.quantize(Decimal(1).scaleb(-scale)), "f")


def day(number: int) -> str:
    """Return a date."""
    return (date(2026, 1, 1) + timedelta(days=number)).isoformat()


def moment(number: int) -> str:
    """Return a date-time."""
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
