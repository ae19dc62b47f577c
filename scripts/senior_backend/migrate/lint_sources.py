"""From paths to migrations: which files are checked, which only replayed before them, and for which engine."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, UndecidedError
from senior_backend.migrate import files
from senior_backend.migrate.hazards.rule import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from senior_backend.migrate.statements import Engine

STANDARD_INPUT = "-"
_NATIVE = re.compile(r"^--[ \t]*migrate:up\b", re.MULTILINE)
_VERSIONED = re.compile(r"[VUR]?\d[\d._-]*\D.*\.sql$", re.IGNORECASE)
_BREAK = "--> statement-breakpoint"
_DOWN = re.compile(r"(?:\.down\.sql|_down\.sql|\.undo\.sql)$|^down\.sql$|^U\d.*__.*\.sql$", re.IGNORECASE)

_SIGNS: dict[Engine, str] = {
    "postgresql": r"\bconcurrently\b|\$\$|\bjsonb\b|\b(?:big|small)?serial\b|\btimestamptz\b|\bplpgsql\b|::"
    r"|\bnot\s+valid\b|\bvalidate\s+constraint\b|\balter\s+column\s+\S+\s+(?:set|drop|type)\b"
    r"|\bcreate\s+(?:extension|domain)\b|\bcreate\s+type\b|\bbytea\b|\buuid\b|\block_timeout\b|\bwith\s+time\s+zone\b|\brow\s+level\s+security\b"
    r"|\bpg_catalog\b|\busing\s+(?:gin|gist|brin|index)\b|\bowned\s+by\b|\bcharacter\s+varying\b"
    r"|\bmaterialized\b|\bgenerated\s+(?:by\s+default|always)\s+as\s+identity\b",
    "mysql": r"`|\bauto_increment\b|\bengine\s*=|\bcharset\b|\bcharacter\s+set\b|\bmodify\s+(?:column\s+)?\w"
    r"|\bunsigned\b|\balgorithm\s*=|\btinyint\b|\bmediumtext\b|\blongtext\b|\bdelimiter\b|\bforeign_key_checks\b"
    r"|\bchange\s+column\b|\benum\s*\(",
    "sqlite": r"\bautoincrement\b|\bpragma\b|\bwithout\s+rowid\b|\bstrict\s*;"
    r"|\binteger\s+primary\s+key\b(?!\s+generated)|\bsqlite_\w+",
}
_COMMENT = r"--[^\n]*|/\*[\s\S]*?\*/"
"""What is said about the SQL, not SQL: tools write names there in marks of their own, such as Prisma's backticks."""


def units_of(paths: Sequence[str], skip: Iterable[str] = ()) -> tuple[list[Unit], Engine | None]:
    """Return the migrations at `paths` (files, folders, `-`) in their order, earlier ones of the same folder included.

    `skip` holds versions that the live database has already. The engine is that which a project's own migration tool
    is configured for, where there is one.

    Raises:
        InputError: a path does not exist or holds no SQL, or a file is not text.
        UnavailableError: a file cannot be read, or a project's tool not be run.
    """
    from senior_backend.migrate import lint_projects

    applied = set(skip)
    chosen: list[Unit] = []
    engine: Engine | None = None
    for path in paths:
        if path == STANDARD_INPUT:
            text = files.decode(sys.stdin.buffer.read(), "<stdin>")
            chosen.append(_unit("<stdin>", text))
            continue
        found = _way_up(Path(path))
        if found.exists() and not (found.is_file() or found.is_dir()):
            chosen.append(_unit(path, files.read_text(found)))  # a pipe can be read once only
            continue
        project = None if native(found) else lint_projects.units_at(found)
        if project is not None:
            chosen.extend(unit for unit in project[0] if not applied or unit.lint)
            engine = engine or project[1]
        elif found.is_dir():
            chosen.extend(_folder(found, applied))
        elif found.is_file():
            chosen.extend(_file_with_its_past(found, {Path(other).resolve() for other in paths}, replay=not applied))
        else:
            raise InputError(
                f"{path} does not exist",
                code="no-such-path",
                where=path,
                hint="Name an SQL file, a folder of them, or - for standard input.",
            )
    return _each_once(chosen), engine


def native(path: Path) -> bool:
    """Whether a path is, or holds, migrations in the format of this tool."""
    files_there = [path] if path.is_file() else sorted(path.glob("*.sql"))[:20] if path.is_dir() else []
    return not path.exists() or any(b"-- migrate:up" in file.read_bytes()[:65536] for file in files_there)


def for_engine(units: Sequence[Unit], engine: Engine) -> list[Unit]:
    """Return the migrations without those whose names say that they are for another engine, such as `1_a.mysql.sql`.

    Where that leaves none, all are returned: somebody has named them.
    """
    family = {"mysql", "mariadb"} if engine in ("mysql", "mariadb") else {engine}
    named = ((unit, set(map(_NAMED_ENGINES.get, Path(unit.path).name.lower().split("."))) - {None}) for unit in units)
    fitting = [unit for unit, engines in named if not engines or engines & family]
    return fitting or list(units)


_NAMED_ENGINES: dict[str, Engine] = {
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "pgsql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
}


def _each_once(units: list[Unit]) -> list[Unit]:
    """Return the units without doubles; one that is to be checked wins over the same one only replayed."""
    kept: dict[tuple[str, str], Unit] = {}
    for unit in units:
        key = (unit.path, unit.text if unit.path == "<stdin>" else "")
        if key not in kept or (unit.lint and not kept[key].lint):
            kept[key] = unit
    return list(kept.values())


def _folder(folder: Path, applied: set[str]) -> Iterator[Unit]:
    paths = sorted(path for path in folder.rglob("*.sql") if path.is_file() and not _hidden(path, folder))
    if not native(folder):  # whose versions are texts
        paths.sort(key=lambda path: [files.natural(part) for part in path.relative_to(folder).parts])
    if not paths:
        raise InputError(
            f"there is no SQL file in {folder}",
            code="no-migrations",
            where=str(folder),
            hint="Name a folder with .sql files.",
        )
    for path in paths:
        if _DOWN.search(path.name):
            continue
        version = re.match(r"\d+", path.name)
        if version and version[0] in applied:
            continue
        yield _with_its_way_back(path)


_WAYS_BACK = (("up.sql", "down.sql"), (".sql", ".undo.sql"))


def _way_up(path: Path) -> Path:
    """Return the file that a down file undoes, which is checked with it; any other path as it is."""
    for end, back in _WAYS_BACK:
        if path.name.endswith(back) and _DOWN.search(path.name):
            up = path.with_name(path.name.removesuffix(back) + end)
            return up if up.is_file() else path
    return path


def _with_its_way_back(path: Path) -> Unit:
    """Return a migration together with the file beside it that undoes it, where there is one."""
    unit = _unit(str(path), files.read_text(path))
    for end, back in _WAYS_BACK:
        beside = path.with_name(path.name.removesuffix(end) + back)
        if path.name.endswith(end) and _DOWN.search(beside.name) and beside != path and beside.is_file():
            return replace(unit, rollback=_unit(str(beside), files.read_text(beside)))
    return unit


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") or part == "node_modules" for part in path.relative_to(folder).parts)


def _file_with_its_past(path: Path, named: set[Path], *, replay: bool) -> Iterator[Unit]:
    """Yield a file, behind those of its folder that sort before it where their names show an order."""
    if replay:
        for earlier in _earlier(path):
            if earlier.resolve() not in named:
                yield replace(_unit(str(earlier), files.read_text(earlier)), lint=False)
    yield _with_its_way_back(path)


def _earlier(path: Path) -> list[Path]:
    parent = path.resolve().parent
    if _VERSIONED.match(path.name):
        before = (
            other
            for other in path.parent.glob("*.sql")
            if files.natural(other.name) < files.natural(path.name)
            and _VERSIONED.match(other.name)
            and other.name[:1].isdigit() == path.name[:1].isdigit()
            and not _DOWN.search(other.name)
        )
        return sorted(before, key=lambda other: files.natural(other.name))
    if path.name in ("migration.sql", "up.sql") and parent.name[:1].isdigit():
        folder = path.parent.parent if path.parent != Path() else Path("..")
        return sorted(
            other for other in folder.glob(f"[0-9]*/{path.name}") if other.resolve().parent.name < parent.name
        )
    return []


def _unit(path: str, text: str) -> Unit:
    if _NATIVE.search(text):
        name = Path(path).name if path != "<stdin>" else ""
        if not re.fullmatch(r"\d+.*\.sql", name, re.DOTALL):
            name = "0_stdin.sql"
        try:
            migration = files.parse(Path(path).with_name(name) if path != "<stdin>" else Path(name), text)
        except InputError as error:
            raise InputError(error.message, code=error.code, where=error.where, hint=error.hint) from error
        up, down = (
            None
            if section is None
            else Unit(path, _section(text, section.start, section.end), section.transaction, timeouts=True)
            for section in (migration.up_section, migration.down_section)
        )
        assert up is not None
        return replace(up, rollback=down)
    # Drizzle's mark ends a statement, also one without a semicolon.
    return Unit(path, text.replace(_BREAK, ";".ljust(len(_BREAK))))


def _section(text: str, start: int, end: int) -> str:
    """Return a text of which only one section is left, at its offsets."""
    return _blank(text[:start]) + text[start:end]


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def engine_from_text(units: Sequence[Unit]) -> Engine:
    """Return the engine for which the migrations are written, told from words that only one engine knows.

    Raises:
        UndecidedError: there is no such word, or words of several engines.
    """
    text = re.sub(_COMMENT, " ", "\n".join(unit.text[:100_000] for unit in units[:50]))
    scores = sorted(
        ((len(re.findall(signs, text, re.IGNORECASE)), engine) for engine, signs in _SIGNS.items()), reverse=True
    )
    if scores[0][0] > 2 * scores[1][0]:
        return scores[0][1]
    raise UndecidedError(
        "the SQL does not tell for which engine it is written",
        code="engine-unknown",
        hint="Add --engine postgresql, --engine mysql, --engine mariadb or --engine sqlite.",
    )
