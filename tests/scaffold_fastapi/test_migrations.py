"""Revisions from a difference of models, applied and reverted on both databases, with rows in the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from senior_backend.console.errors import InputError
from senior_backend.console.files import write_atomically
from senior_backend.scaffold.model import Field, ManyToMany, Resource, Service
from senior_backend.scaffold.stacks import fastapi as stack
from senior_backend.scaffold.stacks.contract import MigrationChange
from tests.scaffold_fastapi.conftest import Project, write

ITEM = Resource(
    name="item",
    plural="items",
    fields=(
        Field(name="title", type="str", length=50),
        Field(name="code", type="str", length=10),
        Field(name="state", type="enum", values=("open", 'it\'s "done"'), default="open"),
        Field(name="legacy", type="int"),
        Field(name="hint", type="str", length=20, optional=True),
    ),
)
SHELF = Resource(name="shelf", plural="shelves", fields=(Field(name="name", type="str", length=20),))
BASE = Service(name="stock", resources=(ITEM, SHELF))
ADDED = (
    Field(name="maybe", type="text", optional=True),
    Field(name="flag", type="bool", default=True),
    Field(name="count", type="int", default=7, index=True),
    Field(name="label", type="str", length=20, default='it\'s "x" %s :y \\'),
    Field(name="amount", type="decimal", precision=8, scale=2, default="1.50"),
    Field(name="since", type="date", default="2026-01-01"),
    Field(name="moment", type="datetime", default="2026-01-01T10:00:00+00:00"),
    Field(name="cost", type="money", default={"amount": 5, "currency": "EUR"}),
    Field(name="extra", type="json", default={"a": [1, "two"]}),
    Field(name="level", type="enum", values=("low", "high"), default="low"),
)
INSERT = (
    "INSERT INTO items (id, title, code, state, legacy, hint, version, created_at, updated_at) VALUES "
    "('01890a5d-ac96-774b-bcce-b302099a8057', 't', 'c', 'open', 1, 'h', 1, "
    "'2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z')"
)
SELECT = "SELECT title FROM items"
# Pairs of an Alembic command and a statement, each printed with its rows, in one process.
_RUN = """
import asyncio, json, sys
from alembic import command
from alembic.config import Config
from app import db, config
from sqlalchemy import text
async def rows(statement):
    database = db.connect(config.DatabaseSettings().database_url, pool_size=1, timeout=10)
    await database.open()
    print(json.dumps([[str(value) for value in row] for row in await database.write(text(statement), {})]))
    await database.close()
settings = Config("alembic.ini")
for step, statement in zip(sys.argv[1::2], sys.argv[2::2]):
    name, *arguments = step.split()
    getattr(command, name)(settings, *arguments)
    asyncio.run(rows(statement))
"""


def with_item(*fields: Field, indexes: tuple[tuple[str, ...], ...] = ()) -> Service:
    """Return the base with other fields of item."""
    return replace(BASE, resources=(replace(ITEM, fields=fields, indexes=indexes), SHELF))


def altered(**changes: dict[str, Any]) -> tuple[Field, ...]:
    """Return the fields of item, some of them changed."""
    return tuple(replace(one, **changes.get(one.name, {})) for one in ITEM.fields)


def added(*fields: Field) -> Service:
    """Return the base with more fields of item."""
    return with_item(*ITEM.fields, *fields)


STATES = ITEM.fields[2].values
CHANGES = {
    "what SQLite does in place": with_item(*ITEM.fields, *ADDED, indexes=(("code", "title"),)),
    "what SQLite rebuilds the table for": with_item(
        *altered(
            title={"length": 80},
            code={"unique": True, "optional": True},
            state={"values": (*STATES, "lost")},
            hint={"optional": False},
        )[:3],
        *altered(hint={"optional": False})[4:],
        Field(name="shelf", type="ref", target="shelf", optional=True),
        Field(name="parent", type="ref", target="item", optional=True),
    ),
    "a resource and a link": replace(
        BASE,
        resources=(
            replace(ITEM, links=(ManyToMany(name="tags", target="tag", table="item_tags"),)),
            SHELF,
            Resource(name="tag", plural="tags", fields=(Field(name="name", type="str", unique=True),)),
        ),
    ),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return f"sqlite:///{tmp_path}/test.db"


def upgrade_to(project: Project, previous: Service | None, current: Service, number: int) -> tuple[str, ...]:
    """Write the files of `current` and its revision; return the codes of the findings."""
    (head,) = stack.heads(project.folder)
    change = stack.migration(previous, current, number=number, down_revision=head)
    assert change.file is not None, change.findings
    for file in [*stack.render(current), change.file]:
        write_atomically(project.folder / file.path, file.content)
    return tuple(finding.code for finding in change.findings)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_up_and_down(name: str, database: str, tmp_path: Path, python: str) -> None:
    project = Project(write(tmp_path / "project", BASE), BASE, python)
    project.run("-c", _RUN, "upgrade 0001", INSERT, variables={"DATABASE_URL": database})
    upgrade_to(project, BASE, CHANGES[name], 2)
    assert [head[:5] for head in stack.heads(project.folder)] == ["0002_"]
    steps = ("upgrade head", "check", "downgrade 0001", "upgrade head", "check")
    done = project.run(
        "-c", _RUN, *(part for step in steps for part in (step, SELECT)), variables={"DATABASE_URL": database}
    )
    assert done.stdout.count('[["t"]]') == len(steps)


def test_a_rebuild_keeps_columns_that_the_model_gave_up(tmp_path: Path, python: str) -> None:
    project = Project(write(tmp_path / "project", BASE), BASE, python)
    without = with_item(*(one for one in ITEM.fields if one.name != "legacy"))
    last = with_item(*(replace(one, unique=one.name == "code") for one in without.resources[0].fields))
    upgrade_to(project, BASE, without, 2)
    upgrade_to(project, without, last, 3)
    legacy = "SELECT legacy FROM items"
    steps = ("upgrade 0001", INSERT, "upgrade head", legacy, "downgrade 0002", legacy)
    done = project.run("-c", _RUN, *steps, variables={"DATABASE_URL": f"sqlite:///{tmp_path}/test.db"})
    assert done.stdout.count('[["1"]]') == 2


def test_concurrent_writes_go_on_while_it_runs(tmp_path: Path) -> None:
    change = stack.migration(BASE, CHANGES["what SQLite rebuilds the table for"], number=2, down_revision="0001")
    assert change.file is not None
    body = change.file.content.partition("def _upgrade_items")[2].partition("def _downgrade_items")[0]
    assert body.count("postgresql_not_valid=True") == 4
    before, _, alone = body.partition("autocommit_block()")
    assert "_validate" not in before
    assert alone.count("_validate(") == 4
    assert "postgresql_concurrently=True" in alone
    assert "create_index" not in before


def findings(current: Service) -> dict[str, str]:
    """Return the severity of each finding of the way from the base to `current`."""
    change = stack.migration(BASE, current, number=2, down_revision="0001")
    found: dict[str, str] = {finding.code: finding.severity for finding in change.findings}
    assert change.file is None or "error" not in found.values()
    assert all(finding.where and finding.fix for finding in change.findings)
    return found


def test_what_would_break_running_releases_is_refused_or_told() -> None:
    assert findings(with_item(*ITEM.fields, Field(name="must", type="int"))) == {"required-without-default": "error"}
    assert findings(with_item(*altered(code={"type": "int"}))) == {"type-change": "error"}
    assert findings(with_item(*altered(title={"length": 20}))) == {"type-change": "error"}
    assert findings(with_item(*altered(state={"values": STATES[:1]}))) == {"enum-value-removed": "warning"}
    assert findings(with_item(*altered(code={"unique": True}))) == {"unique-on-existing-rows": "warning"}
    assert findings(with_item(*altered(hint={"optional": False}))) == {"required-on-existing-rows": "warning"}
    assert findings(with_item(*ITEM.fields[:4])) == {"column-left-in-place": "warning"}
    assert findings(replace(BASE, resources=(ITEM,))) == {"table-left-in-place": "warning"}


def test_no_change_gives_no_revision() -> None:
    assert stack.migration(BASE, BASE, number=2, down_revision="0001") == MigrationChange(None)


def test_removing_keeps_the_data_and_relaxes_the_column() -> None:
    change = stack.migration(BASE, with_item(*(ITEM.fields[:3])), number=2, down_revision="0001")
    assert change.file is not None
    upgrade = change.file.content.partition("def _downgrade_items")[0]
    assert "drop_column" not in upgrade
    assert 'op.alter_column("items", "legacy", nullable=True)' in upgrade


def test_branches_that_write_the_same_number_stay_apart(tmp_path: Path) -> None:
    folder = tmp_path / "migrations/versions"
    folder.mkdir(parents=True)
    for field in ADDED[:2]:
        change = stack.migration(BASE, added(field), number=2, down_revision="0001")
        assert change.file is not None
        (tmp_path / change.file.path).write_text(change.file.content)
        again = stack.migration(BASE, added(field), number=2, down_revision="0001")
        assert again == change
    assert len(stack.heads(tmp_path)) == 2


def test_two_heads_are_both_told(tmp_path: Path) -> None:
    folder = tmp_path / "migrations/versions"
    folder.mkdir(parents=True)
    for name, down in (("0001", "None"), ("0002", '"0001"'), ("mine", '"0001"')):
        (folder / f"{name}.py").write_text(f'revision = "{name}"\ndown_revision: str | None = {down}\n')
    assert stack.heads(tmp_path) == ["0002", "mine"]
    (folder / "bad.py").write_text("revision = (")
    with pytest.raises(InputError, match=r"bad\.py"):
        stack.heads(tmp_path)
