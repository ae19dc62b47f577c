"""Alembic: revisions are Python, their SQL is what `alembic upgrade head --sql` prints."""

from __future__ import annotations

import ast
import configparser
import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, UnavailableError, UndecidedError
from senior_backend.migrate.adapters import Unit, _projects
from senior_backend.migrate.adapters import _shared as shared
from senior_backend.migrate.writer import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.fields import Field
    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Operation, Part

NAME = "alembic"
APPLY = "alembic upgrade head"
MAY_EXTEND = False
_REVISION = re.compile(r"""^revision(?:\s*:[^=\n]+)?\s*=\s*["'](?P<id>[^"']+)["']""", re.MULTILINE)
_DOWN = re.compile(r"^down_revision(?:\s*:[^=\n]+)?\s*=\s*(?P<value>.+)$", re.MULTILINE)
_RUNNING = re.compile(r"^-- Running upgrade (?P<old>[^\n]*?) -> (?P<new>[^\s,]+)[^\n]*$", re.MULTILINE)
_VERSION_TABLE = re.compile(
    r"^(?:INSERT INTO|UPDATE|CREATE TABLE|DELETE FROM|DROP TABLE) alembic_version\b.*?;\s*$", re.MULTILINE | re.DOTALL
)
# `alembic upgrade head --sql` that also says for which database it prints; what env.py decides is not in its output.
_PRINT_SQL = """
from alembic.config import main
from alembic.runtime.migration import MigrationContext
made = MigrationContext.__init__
def announce(self, dialect, *arguments, **options):
    made(self, dialect, *arguments, **options)
    print("-- Dialect", dialect.name)
MigrationContext.__init__ = announce
main(argv=["upgrade", "head", "--sql"], prog="alembic")
"""
# Where a revision asks a live database, that one alone has no SQL.
_PRINT_EACH = _PRINT_SQL.replace(
    'main(argv=["upgrade", "head", "--sql"], prog="alembic")\n',
    """for old, new in RANGES:
    try:
        main(argv=["upgrade", f"{old}:{new}", "--sql"], prog="alembic")
    except (Exception, SystemExit) as error:
        print(f"\\n-- db_migrate cannot print {new}\\n{type(error).__name__}: {' '.join(str(error).split())}")
""",
)
# The way back of all revisions, from the newest on; where one cannot be printed, those before it are not either.
_PRINT_BACK = """
print("\\n-- db_migrate goes back")
try:
    main(argv=["downgrade", HEAD + ":base", "--sql"], prog="alembic")
except (Exception, SystemExit) as error:
    print(f"\\n-- db_migrate cannot go back\\n{type(error).__name__}: {' '.join(str(error).split())}")
"""
_GOES_BACK = "\n-- db_migrate goes back\n"
_STOPPED = re.compile(r"^-- db_migrate cannot go back\n(?P<reason>[^\n]*)", re.MULTILINE)
_RUNNING_BACK = re.compile(r"^-- Running downgrade (?P<old>[^\s,]+)[^\n]*$", re.MULTILINE)
_FAILED = re.compile(r"^-- db_migrate cannot print (?P<new>\S+)$", re.MULTILINE)
_DIALECT = re.compile(r"^-- Dialect (postgresql|mysql|mariadb|sqlite)$", re.MULTILINE)
_SETTING = re.compile(r"^SET [^;]*;", re.MULTILINE)
_ON_POSTGRESQL = 'op.get_context().dialect.name == "postgresql"'
_TYPES = {
    "string": "sa.Text()", "text": "sa.Text()", "integer": "sa.Integer()", "bigint": "sa.BigInteger()",
    "smallint": "sa.SmallInteger()", "float": "sa.Double()", "decimal": "sa.Numeric()", "boolean": "sa.Boolean()",
    "date": "sa.Date()", "time": "sa.Time()", "datetime": "sa.DateTime(timezone=True)", "uuid": "sa.Uuid()",
    "json": "sa.JSON()", "binary": "sa.LargeBinary()", "references": "sa.BigInteger()",
}  # fmt: skip
_BIND = re.compile(r"(?<![:\w\\]):(?=[A-Za-z_]\w*)(?!:)")


def detect(project: Path) -> Path | None:
    """Return the project where `alembic.ini` (or pyproject.toml) configures Alembic."""
    if (project / "alembic.ini").is_file():
        return project
    return project if "[tool.alembic]" in shared.head(project / "pyproject.toml", 65536) else None


def engine(root: Path) -> Engine | None:
    """Return the engine of the configured URL, else of what env.py, settings and requirements name."""
    names = (
        "alembic.ini",
        ".env",
        ".env.example",
        "pyproject.toml",
        "requirements.txt",
        "docker-compose.yml",
        "compose.yaml",
    )
    url = re.search(r"^sqlalchemy\.url\s*=\s*(\S+)", shared.head(root / "alembic.ini", 65536), re.MULTILINE)
    for word, found in (("postgres", "postgresql"), ("mariadb", "mariadb"), ("mysql", "mysql"), ("sqlite", "sqlite")):
        if url and url[1].startswith(word):
            return found  # type: ignore[return-value]
    return shared.engine_in([_location(root) / "env.py", *(root / name for name in names[1:])])


def read(root: Path) -> Iterable[Unit]:
    """Yield the SQL of each revision, without Alembic's own bookkeeping and transaction.

    Raises:
        UnavailableError: Alembic does not run in the project.
    """
    files = _revisions(root)
    if not files:
        return
    text, _, printed_back = _printed(root, files).partition(_GOES_BACK)
    back, why_not = _ways_back(printed_back)
    failed = {mark["new"]: text[mark.end() :].split("\n", 2)[1] for mark in _FAILED.finditer(text)}
    marks = sorted((*_RUNNING.finditer(text), *_FAILED.finditer(text)), key=lambda mark: mark.start())
    dialect = _DIALECT.search(text)
    printed_for: Engine | None = dialect[1] if dialect else engine(root)  # type: ignore[assignment]
    # What env.py sets on the connection, such as lock_timeout, holds for every revision.
    settings = "".join(f"{one}\n" for one in _SETTING.findall(text[: marks[0].start()] if marks else ""))
    seen: set[str] = set()
    for index, mark in enumerate(marks):
        if mark["new"] in seen:
            continue
        seen.add(mark["new"])
        end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
        body = text[mark.end() : end]
        path = files.get(mark["new"], (root / "alembic.ini", ()))[0]
        if mark["new"] in failed:
            reason = f"alembic upgrade --sql fails: {failed[mark['new']]}"
            yield Unit(path, "", engine=printed_for, start=None, unreadable=reason)
            continue
        alone = "autocommit_block" in shared.head(path, 65536)
        undone = back.get(mark["new"])
        rollback = Unit(path, settings + undone, not alone, printed_for, None) if undone else None
        unknown = why_not if undone is None else None
        yield Unit(path, settings + _plain(body), not alone, printed_for, None, rollback, unknown_rollback=unknown)


def _plain(printed: str) -> str:
    """Return what Alembic prints for a revision without its bookkeeping and transaction."""
    return re.sub(r"^(?:BEGIN|COMMIT);\s*$", "", _VERSION_TABLE.sub("", printed), flags=re.MULTILINE)


def _ways_back(printed: str) -> tuple[dict[str, str], str]:
    """Return the SQL of the way back of each revision, empty where it does nothing; and why others have none."""
    stopped = _STOPPED.search(printed)
    marks = list(_RUNNING_BACK.finditer(printed))
    starts = [*(mark.start() for mark in marks), stopped.start() if stopped else len(printed)]
    found = {
        mark["old"]: _plain(printed[mark.end() : end]).strip() for mark, end in zip(marks, starts[1:], strict=True)
    }
    if stopped is None:
        return found, "alembic downgrade --sql does not print it"
    where = ""
    if marks:
        where = f" at {marks[-1]['old']}"
        del found[marks[-1]["old"]]  # what was printed of it may not be all
    return found, f"alembic downgrade --sql stops{where}: {stopped['reason']}"


def _printed(root: Path, files: dict[str, tuple[Path, tuple[str, ...]]]) -> str:
    """Return what Alembic prints for all revisions at once, else for each by itself.

    Raises:
        UnavailableError: it prints none.
    """
    below = {parent for _, parents in files.values() for parent in parents}
    heads = [revision for revision in files if revision not in below]
    back = _PRINT_BACK.replace("HEAD", repr(heads[0])) if len(heads) == 1 else ""
    try:
        return _projects.run(root, "alembic", ["-c", _PRINT_SQL + back], shown="alembic upgrade head --sql")
    except UnavailableError:
        names = {path: revision for revision, (path, _) in files.items()}
        ranges = [(parents[0] if parents else "base", names[path]) for path, parents in _ordered(files)]
        text = _projects.run(root, "alembic", ["-c", _PRINT_EACH.replace("RANGES", repr(ranges)) + back])
        if len(_FAILED.findall(text)) == len(ranges):
            raise
        return text


def tables(root: Path) -> dict[str, dict[str, str]]:
    """Return the tables and columns that the revisions' `op` calls make, read without running them.

    For projects whose environment prints no SQL: types are left empty, and loops are not followed.
    """
    found: dict[str, dict[str, str]] = {}
    for path, _ in _ordered(_revisions(root)):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        upgrade = next((node for node in tree.body if getattr(node, "name", "") == "upgrade"), None)
        for node in ast.walk(upgrade) if upgrade is not None else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                _learn(found, node.func.attr, node.args)
    return found


def _learn(found: dict[str, dict[str, str]], verb: str, arguments: Sequence[ast.expr]) -> None:
    texts = [node.value for node in arguments if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    columns = [
        node.args[0].value
        for node in arguments
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "Column" and node.args
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    ]
    if not texts:
        return
    if verb == "create_table":
        found[texts[0]] = dict.fromkeys(columns, "")
    elif verb == "add_column":
        found.setdefault(texts[0], {}).update(dict.fromkeys(columns, ""))
    elif verb == "drop_table":
        found.pop(texts[0], None)
    elif verb == "rename_table" and len(texts) > 1:
        found[texts[1]] = found.pop(texts[0], {})
    elif verb == "drop_column" and len(texts) > 1:
        found.get(texts[0], {}).pop(texts[1], None)


def _ordered(files: dict[str, tuple[Path, tuple[str, ...]]]) -> list[tuple[Path, tuple[str, ...]]]:
    """Return the revisions, parents before children."""
    done: dict[str, tuple[Path, tuple[str, ...]]] = {}
    while len(done) < len(files):
        ready = [
            revision
            for revision, (_, parents) in files.items()
            if revision not in done and all(parent in done or parent not in files for parent in parents)
        ]
        if not ready:
            break  # a cycle: Alembic itself refuses it
        done.update((revision, files[revision]) for revision in ready)
    return list(done.values())


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return a revision for each part, each on top of the one before it.

    Raises:
        UndecidedError: the project has several heads.
    """
    shared.needs_statements(parts, NAME)
    files = _revisions(root)
    below = {parent for _, parents in files.values() for parent in parents}
    heads = [revision for revision in files if revision not in below]
    if len(heads) > 1:
        raise UndecidedError(
            f"the project has {len(heads)} heads: {', '.join(sorted(heads))}",
            code="several-heads",
            where=str(_versions(root)),
            hint="Merge them first: alembic merge heads",
        )
    parent = heads[0] if heads else None
    style = _style(root, engine)
    planned = []
    for index, part in enumerate(parts):
        revision = hashlib.sha256(f"{parent}{part.slug}{now.isoformat()}{index}".encode()).hexdigest()[:12]
        revision = _next_number(files, index) or revision
        name = _file_name(root, revision, part.slug, now)
        planned.append((_versions(root) / name, _revision(part, revision, parent, now, style)))
        parent = revision
    return planned


def _next_number(files: dict[str, tuple[Path, tuple[str, ...]]], index: int) -> str | None:
    """Return the next number where the project numbers its revisions (0001, 0002, …)."""
    if not files or not all(re.fullmatch(r"\d{3,6}", revision) for revision in files):
        return None
    last = max(files)
    return str(int(last) + 1 + index).zfill(len(last))


def _revision(part: Part, revision: str, parent: str | None, now: datetime, style: _Style) -> str:
    title = part.slug.replace("_", " ")
    notes = shared.comments(part, "")
    docstring = f'"""{title[:1].upper() + title[1:]}.\n\n' + (f"{notes}\n" if notes else "")
    docstring += f'Revision ID: {revision}\nRevises: {parent or ""}\nCreate Date: {now:%Y-%m-%d %H:%M:%S}\n"""\n'
    if part.operations and style.neutral:
        up = "".join(_operation(one, style) for one in part.operations)
        down = "".join(_way_back(one, style) for one in reversed(part.operations))
    else:
        up, down = _executed(part.up, part, style), _executed(part.down, part, style)
    if not part.down:
        reason = part.irreversible or "there is no way back"
        down = f"    raise RuntimeError({reason!r})\n"
    imports = "import sqlalchemy as sa\nfrom alembic import op\n" if "sa." in up + down else "from alembic import op\n"
    if "postgresql." in up + down:
        imports += "from sqlalchemy.dialects import postgresql\n"
    return (
        f"{docstring}\n{imports}\nrevision = {_quoted(revision)}\n"
        f"down_revision = {_quoted(parent) if parent else None}\nbranch_labels = None\ndepends_on = None\n\n\n"
        f'def upgrade() -> None:\n    """Apply."""\n{up}\n\ndef downgrade() -> None:\n    """Take back."""\n{down}'
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _names(operation: Operation) -> tuple[str, str]:
    """Return table and columns as SQLAlchemy's usual names have them: ix_table_column."""
    columns = operation.columns or tuple(field.name for field in operation.fields)
    return operation.table, "_".join(columns)


def _index_call(table: str, columns: Sequence[str], *, unique: bool) -> str:
    name = f"{'uq' if unique else 'ix'}_{table}_{'_'.join(columns)}"[:63]
    listed = ", ".join(_quoted(column) for column in columns)
    return f"{_quoted(name)}, {_quoted(table)}, [{listed}]" + (", unique=True" if unique else "")


def _operation(one: Operation, style: _Style) -> str:
    table, joined = _names(one)
    if one.kind == "add-column":
        return f"    op.add_column({_quoted(table)}, {_column(one.fields[0], style)})\n"
    if one.kind == "create-index":
        return _outside(
            f"op.create_index({_index_call(table, one.columns, unique=one.unique)}, postgresql_concurrently=True)"
        )
    if one.kind == "drop-index":
        name = _quoted(f"{'uq' if one.unique else 'ix'}_{table}_{joined}"[:63])
        return _outside(f"op.drop_index({name}, table_name={_quoted(table)}, postgresql_concurrently=True)")
    if one.kind == "foreign-key":
        return _foreign_key(one)
    if one.kind == "validate":
        statement = f"ALTER TABLE {quoted(table, 'postgresql')} VALIDATE CONSTRAINT fk_{table}_{joined}"
        return f"    if {_ON_POSTGRESQL}:\n        op.execute({_quoted(statement)})\n"
    return _table(one, style)


def _way_back(one: Operation, style: _Style) -> str:
    table, joined = _names(one)
    if one.kind == "add-column":
        return f"    op.drop_column({_quoted(table)}, {_quoted(one.fields[0].name)})\n"
    if one.kind == "create-index":
        return _operation(replace(one, kind="drop-index"), style)
    if one.kind == "drop-index":
        return _operation(replace(one, kind="create-index"), style)
    if one.kind == "foreign-key":
        name = _quoted(f"fk_{table}_{joined}")
        return (
            f"    with op.batch_alter_table({_quoted(table)}) as batch:\n"
            f'        batch.drop_constraint({name}, type_="foreignkey")\n'
        )
    if one.kind == "validate":
        return ""
    return f"    op.drop_table({_quoted(table)})\n"


def _outside(call: str) -> str:
    return (
        "    # PostgreSQL builds and drops an index CONCURRENTLY only outside a transaction.\n"
        f"    with op.get_context().autocommit_block():\n        {call}\n"
    )


def _foreign_key(one: Operation) -> str:
    table, joined = _names(one)
    field = one.fields[0]
    name, refers = f"fk_{table}_{joined}", field.refers or ""
    statement = (
        f"ALTER TABLE {quoted(table, 'postgresql')} ADD CONSTRAINT {name} FOREIGN KEY "
        f"({quoted(field.name, 'postgresql')}) REFERENCES {quoted(refers, 'postgresql')} (id) NOT VALID"
    )
    return (
        f"    if {_ON_POSTGRESQL}:\n        # NOT VALID reads no row under the lock; the next revision validates.\n"
        f"        op.execute(\n            {_quoted(statement)}\n        )\n    else:\n"
        f"        with op.batch_alter_table({_quoted(table)}) as batch:\n"
        f'            batch.create_foreign_key({_quoted(name)}, {_quoted(refers)}, [{_quoted(field.name)}], ["id"])\n'
    )


def _table(one: Operation, style: _Style) -> str:
    lines = [] if one.key else [f'sa.Column("id", {style.key}, nullable=False)']
    lines += [_column(field, style) for field in one.fields]
    keys = one.key or ("id",)
    lines.append(f"sa.PrimaryKeyConstraint({', '.join(_quoted(key) for key in keys)})")
    for field in one.fields:
        if field.refers:
            action = ', ondelete="CASCADE"' if one.cascade else ""
            name = _quoted(f"fk_{one.table}_{field.name}")
            target = _quoted(f"{field.refers}.id")
            lines.append(f"sa.ForeignKeyConstraint([{_quoted(field.name)}], [{target}], name={name}{action})")
        if field.index == "unique":
            lines.append(f"sa.UniqueConstraint({_quoted(field.name)}, name={_quoted(f'uq_{one.table}_{field.name}')})")
    body = "".join(f"        {_wrapped(line)},\n" for line in [_quoted(one.table), *lines])
    indexed = [
        field.name
        for field in one.fields
        if field.index == "index" or (field.refers and field.index is None and field.name not in one.key[:1])
    ]
    indexes = "".join(f"    op.create_index({_index_call(one.table, [name], unique=False)})\n" for name in indexed)
    return f"    op.create_table(\n{body}    )\n{indexes}"


def _column(field: Field, style: _Style) -> str:
    kind = style.key if field.refers else _TYPES[field.type]
    if field.type == "string" and field.modifiers:
        kind = f"sa.String({field.modifiers})"
    elif field.type == "decimal" and field.modifiers:
        kind = f"sa.Numeric({field.modifiers.replace(',', ', ')})"
    elif field.type == "datetime":
        kind = style.time
    default = ""
    if field.default is not None:
        if field.type == "datetime":
            default = ", server_default=sa.func.now()"
        elif field.type == "boolean":
            default = f", server_default=sa.{field.sql_default('postgresql')}()"
        else:
            default = f", server_default={_quoted(field.default)}"
    return f"sa.Column({_quoted(field.name)}, {kind}{default}, nullable={not field.required})"


def _wrapped(call: str) -> str:
    """Return a call as one line, or as one argument a line where that would be too long."""
    if len(call) <= 100:
        return call
    arguments: list[str] = [""]
    depth = 0
    name, _, inside = call[:-1].partition("(")
    for sign in inside:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += sign
    return f"{name}(\n" + "".join(f"            {one.strip()},\n" for one in arguments) + "        )"


def _executed(statements: Sequence[str], part: Part, style: _Style) -> str:
    indent, lines = "    ", ""
    if not part.transaction:
        lines, indent = "    # PostgreSQL builds an index CONCURRENTLY only outside a transaction.\n", "        "
        lines += "    with op.get_context().autocommit_block():\n"
    for one in statements:
        # op.execute takes `:name` for a parameter; a backslash before the colon says that it is none.
        text = _BIND.sub(r"\\:", one)
        if one.startswith("SET LOCAL") and style.neutral:
            lines += f"{indent}if {_ON_POSTGRESQL}:\n{indent}    op.execute({_quoted(text)})\n"
        elif "\n" in text:
            inner = text.replace("\\", "\\\\").replace('"""', r"\"\"\"")
            inner = "".join(f"{indent}    {line}\n" for line in inner.splitlines())
            lines += f'{indent}op.execute(\n{indent}    """\n{inner}{indent}    """\n{indent})\n'
        else:
            lines += f"{indent}op.execute({_quoted(text)})\n"
    return lines


@dataclass(frozen=True, slots=True)
class _Style:
    """How the project spells keys and times; `neutral` says that a revision may run on more than one engine."""

    key: str
    time: str
    neutral: bool


def _style(root: Path, engine: Engine) -> _Style:
    text = "".join(shared.head(path, 65536) for path in sorted(_versions(root).glob("*.py")))
    return _Style(
        _spelled(text, "id") or "sa.BigInteger()",
        _spelled(text, "created_at") or "sa.DateTime(timezone=True)",
        engine in ("postgresql", "sqlite"),
    )


def _spelled(text: str, column: str) -> str | None:
    """Return the type that the project's revisions give a column of that name."""
    found = re.search(rf"""sa\.Column\(\s*["']{column}["'],\s*""", text)
    if not found:
        return None
    depth, position = 0, found.end()
    while position < len(text) and (depth or text[position] not in ",)"):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        position += 1
    kind = text[found.end() : position].strip()
    return kind if re.match(r"(sa|postgresql)\.\w+", kind) else None


def _location(root: Path) -> Path:
    ini = configparser.ConfigParser(interpolation=None)
    try:
        ini.read(root / "alembic.ini", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"alembic.ini cannot be read: {error}", code="bad-project", where=str(root / "alembic.ini"),
            hint="Correct it; `alembic current` shows whether Alembic can read it.",
        ) from error  # fmt: skip
    text = ini.get("alembic", "script_location", fallback="")
    if not text:
        match = re.search(
            r'^script_location\s*=\s*"([^"]+)"', shared.head(root / "pyproject.toml", 65536), re.MULTILINE
        )
        text = match[1] if match else "alembic"
    return root / text.replace("%(here)s/", "").replace("%(here)s", ".").split(":")[-1]


def _versions(root: Path) -> Path:
    return _location(root) / "versions"


def _revisions(root: Path) -> dict[str, tuple[Path, tuple[str, ...]]]:
    found: dict[str, tuple[Path, tuple[str, ...]]] = {}
    for path in sorted(_versions(root).glob("*.py")):
        text = shared.head(path, 65536)
        revision = _REVISION.search(text)
        down = _DOWN.search(text)
        if revision:
            parents = tuple(re.findall(r"""["']([^"']+)["']""", down["value"])) if down else ()
            found[revision["id"]] = (path, parents)
    return found


def _file_name(root: Path, revision: str, slug: str, now: datetime) -> str:
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(root / "alembic.ini", encoding="utf-8")
    template = ini.get("alembic", "file_template", fallback="%%(rev)s_%%(slug)s").replace("%%", "%")
    values = {"rev": revision, "slug": slug[:40].rstrip("_"), "year": f"{now:%Y}", "month": now.month, "day": now.day}
    values |= {"hour": now.hour, "minute": now.minute, "second": now.second, "epoch": int(now.timestamp())}
    try:
        return f"{template % values}.py"
    except (KeyError, ValueError, TypeError):
        return f"{revision}_{slug[:40]}.py"
