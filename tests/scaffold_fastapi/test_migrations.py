"""Revisions from a difference of models, applied and reverted on both databases, with rows in the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from senior_backend.console.files import write_atomically
from senior_backend.scaffold.model import Field, ManyToMany, Resource, Service
from senior_backend.scaffold.stacks import fastapi as stack
from tests.scaffold_fastapi.conftest import Project, write

ITEM = Resource(
    name="item",
    plural="items",
    fields=(
        Field(name="title", type="str", length=50),
        Field(name="code", type="str", length=10),
        Field(name="state", type="enum", values=("open", "it's \"done\""), default="open"),
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
    Field(name="label", type="str", length=20, default="it's \"x\" %s :y \\"),
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
_SQL = """
import asyncio, json, sys
from app import db, config
from sqlalchemy import text
async def main():
    database = db.connect(config.DatabaseSettings().database_url, pool_size=1, timeout=10)
    await database.open()
    print(json.dumps([[str(value) for value in row] for row in await database.write(text(sys.argv[1]), {})]))
    await database.close()
asyncio.run(main())
"""


def with_item(*fields: Field, **changes: object) -> Service:
    """Return the base with other fields of item."""
    return replace(BASE, resources=(replace(ITEM, fields=fields, **changes), SHELF))  # type: ignore[arg-type]


def added(*fields: Field) -> Service:
    """Return the base with more fields of item."""
    return with_item(*ITEM.fields, *fields)


def altered(name: str, **changes: object) -> Service:
    """Return the base with one field of item changed."""
    return with_item(*(replace(one, **changes) if one.name == name else one for one in ITEM.fields))  # type: ignore[arg-type]


CHANGES = {
    "columns with and without defaults": added(*ADDED),
    "a reference": added(Field(name="shelf", type="ref", target="shelf", optional=True)),
    "an index": with_item(*ITEM.fields, indexes=(("code", "title"),)),
    "a unique field": altered("code", unique=True),
    "an enum value more": altered("state", values=("open", "it's \"done\"", "lost")),
    "an optional field becomes required": altered("hint", optional=False, default="none"),
    "a required field becomes optional": altered("code", optional=True),
    "longer text": altered("title", length=80),
    "a field is removed": with_item(*(one for one in ITEM.fields if one.name != "legacy")),
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
    down = f"{number - 1:04d}" if number > 1 else None
    change = stack.migration(previous, current, number=number, down_revision=down)
    assert change.file is not None, change.findings
    for file in [*stack.render(current), change.file]:
        write_atomically(project.folder / file.path, file.content)
    return tuple(finding.code for finding in change.findings)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_up_and_down(name: str, database: str, tmp_path: Path, python: str) -> None:
    project, current = Project(write(tmp_path / "project", BASE), BASE, python), CHANGES[name]
    project.run("-m", "alembic", "upgrade", "head", DATABASE_URL=database)
    project.run("-c", _SQL, INSERT, DATABASE_URL=database)
    upgrade_to(project, BASE, current, 2)
    assert stack.heads(project.folder) == ["0002"]
    for commands in (["upgrade", "head"], ["check"], ["downgrade", "0001"], ["upgrade", "head"], ["check"]):
        project.run("-m", "alembic", *commands, DATABASE_URL=database)
        rows = project.run("-c", _SQL, "SELECT title FROM items", DATABASE_URL=database).stdout
        assert rows.strip() == '[["t"]]', commands
