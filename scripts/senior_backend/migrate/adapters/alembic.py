"""Alembic: revisions are Python, their SQL is what `alembic upgrade head --sql` prints."""

from __future__ import annotations

import configparser
import hashlib
import re
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, UndecidedError
from senior_backend.migrate.adapters import Unit, _projects
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "alembic"
APPLY = "alembic upgrade head"
MAY_EXTEND = False
_REVISION = re.compile(r"""^revision(?:\s*:[^=\n]+)?\s*=\s*["'](?P<id>[^"']+)["']""", re.MULTILINE)
_DOWN = re.compile(r"^down_revision(?:\s*:[^=\n]+)?\s*=\s*(?P<value>.+)$", re.MULTILINE)
_RUNNING = re.compile(r"^-- Running upgrade (?P<old>[^\n]*?) -> (?P<new>\w+)[^\n]*$", re.MULTILINE)
_VERSION_TABLE = re.compile(
    r"^(?:INSERT INTO|UPDATE|CREATE TABLE|DELETE FROM) alembic_version\b.*?;\s*$", re.MULTILINE | re.DOTALL
)
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
    text = _projects.run(root, "alembic", ["-m", "alembic", "upgrade", "head", "--sql"])
    marks = list(_RUNNING.finditer(text))
    for index, mark in enumerate(marks):
        end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
        body = _VERSION_TABLE.sub("", text[mark.end() : end])
        path = files.get(mark["new"], (root / "alembic.ini", ()))[0]
        alone = "autocommit_block" in shared.head(path, 65536)
        yield Unit(path, re.sub(r"^(?:BEGIN|COMMIT);\s*$", "", body, flags=re.MULTILINE), not alone, engine(root), None)


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
    planned = []
    for index, part in enumerate(parts):
        revision = hashlib.sha256(f"{parent}{part.slug}{now.isoformat()}{index}".encode()).hexdigest()[:12]
        revision = _next_number(files, index) or revision
        name = _file_name(root, revision, part.slug, now)
        planned.append((_versions(root) / name, _revision(part, revision, parent, now, engine)))
        parent = revision
    return planned


def _next_number(files: dict[str, tuple[Path, tuple[str, ...]]], index: int) -> str | None:
    """Return the next number where the project numbers its revisions (0001, 0002, …)."""
    if not files or not all(re.fullmatch(r"\d{3,6}", revision) for revision in files):
        return None
    last = max(files)
    return str(int(last) + 1 + index).zfill(len(last))


def _revision(part: Part, revision: str, parent: str | None, now: datetime, engine: Engine) -> str:
    title = part.slug.replace("_", " ")
    notes = shared.comments(part, "")
    docstring = f'"""{title[:1].upper() + title[1:]}.\n\n' + (f"{notes}\n" if notes else "")
    docstring += f'Revision ID: {revision}\nRevises: {parent or ""}\nCreate Date: {now:%Y-%m-%d %H:%M:%S}\n"""\n'
    down = _body(part.down, part, engine)
    if not part.down:
        reason = part.irreversible or "there is no way back"
        down = f"    raise NotImplemented{'Error'}({reason!r})\n"
    return (
        f"{docstring}\nfrom alembic import op\n\nrevision = {_quoted(revision)}\n"
        f"down_revision = {_quoted(parent) if parent else None}\nbranch_labels = None\ndepends_on = None\n\n\n"
        f"def upgrade() -> None:\n{_body(part.up, part, engine)}\n\ndef downgrade() -> None:\n{down}"
    )


def _quoted(text: str) -> str:
    return f'"{text}"'


def _body(statements: Sequence[str], part: Part, engine: Engine) -> str:
    indent = "    "
    lines = ""
    if not part.transaction and engine == "postgresql":
        lines, indent = "    # PostgreSQL builds an index CONCURRENTLY only outside a transaction.\n", "        "
        lines += "    with op.get_context().autocommit_block():\n"
    for one in statements:
        escaped = _BIND.sub(r"\:", one.replace("\\", "\\\\")) if "\\" in one else _BIND.sub(r"\\:", one)
        if "\n" in escaped:
            inner = "\n".join(f"{indent}    {line}" for line in escaped.splitlines())
            lines += f'{indent}op.execute(\n{indent}    """\n{inner}\n{indent}    """\n{indent})\n'
        elif '"' in escaped:
            lines += (
                f"{indent}op.execute({escaped!r})\n"
                if "\\" not in escaped
                else f'{indent}op.execute("""{escaped} """)\n'
            )
        else:
            lines += f'{indent}op.execute("{escaped}")\n'
    return lines


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
