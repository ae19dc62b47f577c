import asyncio
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import config
from app.columns import Exact, new_id
from app.db_sqlite import time_text
from app.errors import ApiError
from app.etags import expected_versions, not_modified
from app.pagination import Walk
from app.ratelimit import Limiter


def test_identifiers_are_ordered_and_of_version_7() -> None:
    made = [new_id() for _ in range(100)]
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {uuid.RFC_4122}
    assert [one.int >> 80 for one in made] == sorted(one.int >> 80 for one in made)


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None),
        ("*", None),
        ('"3"', {3}),
        ('"3", "4"', {3, 4}),
        ('W/"3"', set()),
        ('W/"3", "4"', {4}),
        ("3", set()),
        ('"x"', set()),
        ('"12345678901"', set()),
    ],
)
def test_if_match(header: str | None, versions: set[int] | None) -> None:
    assert expected_versions(header) == versions


def test_if_none_match_compares_weakly() -> None:
    assert not_modified('W/"3"', 3)
    assert not_modified('"2", "3"', 3)
    assert not_modified("*", 3)
    assert not not_modified('"2"', 3)
    assert not not_modified(None, 3)


def test_times_keep_their_order_as_text() -> None:
    times = [datetime(1, 1, 1, tzinfo=UTC), datetime(999, 12, 31, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, UTC)]
    texts = [time_text(time) for time in times]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {27}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (sa.String(), "text"),
        (sa.Integer(), 7),
        (sa.DateTime(), datetime(2026, 1, 1, tzinfo=UTC)),
        (Exact(10, 2), Decimal("1.50")),
        (sa.Uuid(), uuid.UUID(int=5)),
    ],
)
def test_cursors_keep_values(kind: sa.types.TypeEngine[object], value: object) -> None:
    row, walk = uuid.uuid4(), Walk(b"s" * 32, "/x", "name", {})
    shown = value if isinstance(value, str | int) else value.isoformat() if isinstance(value, datetime) else str(value)
    cursor = walk.encode(shown, str(row))
    assert walk.decode(cursor, kind) == (value, row)
    for other in (
        Walk(b"s" * 32, "/x", "name", {"a": 1}),
        Walk(b"s" * 32, "/y", "name", {}),
        Walk(b"s" * 32, "/x", "-name", {}),
        Walk(b"t" * 32, "/x", "name", {}),
    ):
        with pytest.raises(ApiError):
            other.decode(cursor, kind)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (sa.Integer(), "1.5"),
        (sa.Integer(), str(2**63)),
        (sa.DateTime(), "2026-01-01T00:00:00"),
        (sa.Date(), "yesterday"),
        (Exact(10, 2), "one"),
        (sa.Uuid(), "5"),
        (sa.String(), "\0"),
    ],
)
def test_forged_cursors_are_read_as_the_type_of_their_column(kind: sa.types.TypeEngine[object], value: str) -> None:
    walk = Walk(b"known", "/x", "name", {})
    with pytest.raises(ApiError):
        walk.decode(walk.encode(value, str(uuid.uuid4())), kind)


def test_rate_limit_lets_the_limit_through_and_recovers() -> None:
    async def count() -> list[bool]:
        limiter = Limiter(None)
        return [await limiter.wait("key", 5) == 0 for _ in range(7)]

    assert asyncio.run(count()) == [True] * 5 + [False] * 2


@pytest.mark.parametrize(("limit", "within", "after"), [(5, 5, 1), (1_000, 1_001, 2)])
def test_a_low_limit_holds_in_any_minute_and_a_high_one_on_average(
    limit: int, within: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1_000.0
    monkeypatch.setattr("app.ratelimit.time.monotonic", lambda: clock)
    limiter = Limiter(None)

    async def allowed(calls: int) -> int:
        return sum([await limiter.wait("key", limit) == 0 for _ in range(calls)])

    first = asyncio.run(allowed(1))
    clock += 59.7
    assert first + asyncio.run(allowed(2 * limit)) == within
    clock += 0.4
    assert asyncio.run(allowed(2)) == after


@pytest.mark.parametrize("limit", [5, 1_000])
def test_keys_are_forgotten_when_there_are_too_many_those_that_no_longer_count_first(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1_000.0
    monkeypatch.setattr("app.ratelimit.time.monotonic", lambda: clock)
    monkeypatch.setattr("app.ratelimit.MAX_KEYS", 3)
    limiter = Limiter(None)

    async def spend(key: str) -> int:
        return sum([await limiter.wait(key, limit) == 0 for _ in range(limit + 1)])

    assert asyncio.run(spend("old")) == asyncio.run(spend("older")) == limit
    clock += 61
    assert asyncio.run(spend("known")) == limit
    assert asyncio.run(spend("new")) == limit
    assert asyncio.run(spend("known")) == 0
    assert asyncio.run(spend("newer")) == limit
    assert asyncio.run(spend("newest")) == limit
    assert asyncio.run(spend("known")) == limit


@pytest.mark.parametrize("secret", ["", "short", "a" * 64])
def test_weak_secrets_stop_the_start(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", secret)
    with pytest.raises(SystemExit) as stopped:
        config.load()
    assert not secret or secret not in str(stopped.value).replace("JWT_SECRET", "")
