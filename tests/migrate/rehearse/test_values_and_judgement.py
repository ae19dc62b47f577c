"""The pure parts: invented values, order of tables, waits and their causes."""

from __future__ import annotations

import random

import pytest

from senior_backend.console.report import Finding
from senior_backend.migrate.rehearse import batches, conduct, fill, judge, observe, values
from senior_backend.migrate.rehearse.model import (
    Blocked,
    Column,
    Cost,
    Filled,
    ForeignKey,
    QueryRun,
    Rehearsal,
    Script,
    StatementRun,
    Step,
    Table,
    Wait,
)


@pytest.mark.parametrize(
    "column",
    [
        Column("email", "varchar(40)", "text", size=40),
        Column("name", "text", "text"),
        Column("code", "char(4)", "text", size=4),
        Column("id", "bigint", "integer", bits=64),
        Column("price", "numeric(12,2)", "decimal", precision=12, scale=2),
        Column("token", "uuid", "uuid"),
        Column("at", "timestamptz", "timestamp"),
        Column("day", "date", "date"),
        Column("ip", "inet", "network"),
    ],
    ids=lambda column: column.type,
)
def test_unique_values_differ_and_fit(column: Column) -> None:
    source = random.Random(1)
    made = [values.invent(column, ordinal, source, unique=True) for ordinal in range(5000)]
    assert len(set(made)) == 5000
    if column.size:
        assert max(len(str(value)) for value in made) <= column.size


def test_a_type_nobody_knows_is_said() -> None:
    with pytest.raises(ValueError, match="geometry"):
        values.invent(Column("place", "geometry", "unknown"), 0, random.Random(1))


def _table(name: str, *parents: str) -> Table:
    keys = tuple(ForeignKey((f"{parent}_id",), parent, ("id",)) for parent in parents)
    columns = (Column("id", "int", "integer"), *(Column(f"{parent}_id", "int", "integer") for parent in parents))
    return Table(name, name, columns, ("id",), foreign_keys=keys)


def test_parents_come_first_and_cycles_end() -> None:
    assert [one.name for one in fill.in_order([_table("c", "b"), _table("b", "a"), _table("a")])] == ["a", "b", "c"]
    assert {one.name for one in fill.in_order([_table("a", "b"), _table("b", "a")])} == {"a", "b"}


def test_rows_meet_the_constraints_of_the_migrated_schema() -> None:
    before = Table("t", "t", (Column("id", "int", "integer"), Column("x", "int", "integer")), ("id",))
    parent = Table("p", "p", (Column("id", "int", "integer"),), ("id",))
    after = Table(
        "t", "t", (Column("id", "int", "integer"), Column("x", "int", "integer", not_null=True)), ("id",),
        foreign_keys=(ForeignKey(("x",), "p", ("id",)),),
    )  # fmt: skip
    merged = fill.merged([before, parent], [after, parent])[0]
    assert merged.column("x").not_null
    assert merged.foreign_keys == after.foreign_keys


def test_after_a_deployment_the_application_forgets_what_goes() -> None:
    before = [Table("t", "t", (Column("id", "int", "integer"), Column("old", "int", "integer")), ("id",))]
    after = [Table("t", "t", (Column("id", "int", "integer"),), ("id",))]
    assert [one.name for one in conduct.application(before, after, deployed=True)[0].columns] == ["id"]
    assert conduct.application(before, after, deployed=False) == before


def _run(number: int, start: float, end: float, released: float, **cost: object) -> StatementRun:
    step = Step("f.sql", number, 1, f"statement {number}")
    return StatementRun(step, "up", 0, start, end, Cost(**cost), released=released)  # type: ignore[arg-type]


def test_a_wait_belongs_to_the_statement_whose_lock_is_in_the_way() -> None:
    first = _run(1, 0.0, 0.1, 2.0, locks=(("users", "AccessExclusiveLock"),))
    second = _run(2, 0.1, 1.9, 2.0)
    query = QueryRun(0.5, 2.0, 7, "read", "users")
    looks = [Blocked(1.0, 7, 8, "users", "AccessShareLock"), Blocked(1.0, 8, 1, "users", "RowExclusiveLock")]
    (wait,) = observe.waits([query], looks, [first, second], migration=1, long=9)
    assert wait.statement == 0, "through the queue: 7 waits for 8, and 8 for the migration"
    assert observe.waits([query], [Blocked(1.0, 7, 8, "users", "")], [first], migration=1, long=9) == ()


def test_without_a_lock_table_a_wait_is_told_from_the_time_shared_with_a_transaction() -> None:
    statement = _run(1, 0.0, 1.0, 1.0)
    beside, busy = QueryRun(0.1, 1.0, 7, "update", "users"), QueryRun(0.9, 5.0, 7, "update", "users")
    (wait,) = observe.waits([beside], [], [statement], migration=1, long=9, watched=False)
    assert wait.statement == 0
    assert observe.waits([busy], [], [statement], migration=1, long=9, watched=False) == ()


def _judged(*runs: StatementRun, queries: tuple[QueryRun, ...] = (), waits: tuple[Wait, ...] = ()) -> list[Finding]:
    seen = Rehearsal("postgresql", "", 1000, ("f.sql",), runs, queries=queries, waits=waits)
    return judge.findings(seen, max_wait=0.5, production_rows=0)


def test_a_wait_is_told_of_the_statement_that_took_the_time() -> None:
    lock, slow = _run(1, 0.0, 0.1, 3.0, locks=(("users", "AccessExclusiveLock"),)), _run(2, 0.1, 2.9, 3.0)
    query = QueryRun(0.05, 3.0, 7, "read", "users")
    (found,) = _judged(lock, slow, queries=(query,), waits=(Wait(query, 0, "users"),))
    assert found.where == "f.sql:2:1"
    assert "for the lock that line 1 took" in found.message
    alone = QueryRun(0.0, 0.9, 7, "read", "users")
    (found,) = _judged(_run(1, 0.0, 0.9, 0.9), queries=(alone,), waits=(Wait(alone, 0, "users"),))
    assert (found.where, "for this statement" in found.message) == ("f.sql:1:1", True)


def test_a_broken_query_is_told_of_the_statement_that_names_what_is_missing() -> None:
    rename = StatementRun(Step("f.sql", 3, 1, "ALTER TABLE users RENAME COLUMN email TO mail"), "up", 0, 0.0, 0.1)
    index = StatementRun(Step("f.sql", 4, 1, "CREATE INDEX ON orders (user_id)"), "up", 0, 0.1, 0.2)
    query = QueryRun(0.2, 0.3, 7, "read", "users", 'column "email" does not exist')
    (found,) = (one for one in _judged(rename, index, queries=(query,)) if one.code == "running-version-broken")
    assert found.where == "f.sql:3:1"
    other = QueryRun(0.2, 0.3, 7, "read", "users", "permission denied")
    (found,) = (one for one in _judged(rename, index, queries=(other,)) if one.code == "running-version-broken")
    assert found.where == "f.sql:4:1"


def _seen(**cost: object) -> Rehearsal:
    run = _run(1, 0.0, 0.2, 0.2, **cost)
    return Rehearsal("postgresql", "", 1000, ("f.sql",), (run,), filled=(Filled("users", 1000, 0.0),), fixed=(0.0,))


@pytest.mark.parametrize(
    ("lock", "read", "found"),
    [
        ("AccessExclusiveLock", 1000, "reads and writes"),
        ("ShareLock", 1000, "writes"),
        ("ShareUpdateExclusiveLock", 1000, None),
        ("AccessExclusiveLock", 0, None),
    ],
)
def test_only_work_under_a_blocking_lock_is_reported(lock: str, read: int, found: str | None) -> None:
    grown = judge.growths(_seen(locks=(("users", lock),), rows_read=read))
    assert [one.keeps_out for one in grown] == ([found] if found else [])


def test_the_time_under_lock_is_reckoned_up_to_production() -> None:
    rehearsal = _seen(locks=(("users", "AccessExclusiveLock"),), rows_read=1000)
    (small,) = judge.findings(rehearsal, max_wait=0.5, production_rows=2000)
    (large,) = judge.findings(rehearsal, max_wait=0.5, production_rows=1_000_000)
    assert (small.severity, large.severity) == ("warning", "error")
    assert "about 2,500 rows" in large.message


def test_where_stands_at_the_top_level_of_an_update() -> None:
    text = "UPDATE t SET a = (SELECT 1 WHERE true), b = 'where' WHERE c = 1"
    place = batches.condition_at(text)
    assert text[place:] == " c = 1"
    assert batches.condition_at("UPDATE t SET a = 'WHERE'") is None


def test_files_that_wait_for_a_deployment_begin_a_new_phase() -> None:
    one, two, three = (Script(name, True, (), True, ()) for name in "abc")
    assert conduct.phases([(one, False), (two, True), (three, False)]) == [[one], [two, three]]
