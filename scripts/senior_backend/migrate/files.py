"""Migration files: plain SQL in the format of dbmate (https://github.com/amacneil/dbmate), and a folder of them.

A file is `<version>_<name>.sql`, its version digits (new ones: UTC time, `YYYYMMDDHHMMSS`):

    -- migrate:up [transaction:false]
    … statements …
    -- migrate:down [transaction:false]
    … statements …

Directives are comments, so that dbmate and psql ignore them. They stand on lines of their own:

    -- db_migrate: draft
        `up` refuses the file until the line is removed.
    -- db_migrate: irreversible REASON
        In the down section: there is no way back; `down` refuses.
    -- db_migrate: after-deploy
        `up` stops before the file unless it is called with `--after-deploy`: the application must be deployed first.
    -- db_migrate: backfill table=users key=id batch=1000
        Right before an UPDATE of that table: it runs in batches of so many keys, each batch its own transaction with
        its place written down, and resumes where it stopped. `key` is a column (or `a,b`) with a unique index.
        The section must say `transaction:false`. Read `backfill.py`.
    -- db_migrate: ignore RULE reason="…"
        A note to `lint`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from senior_backend.console.errors import InputError, UnavailableError, did_you_mean
from senior_backend.migrate.statements import Engine, Places, Statement, split, where

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from senior_backend.console.report import Finding

Direction = Literal["up", "down"]

DIRECTIVES = ("draft", "irreversible", "after-deploy", "backfill", "ignore")
MAX_BYTES = 64 * 1024 * 1024

_FILE_NAME = re.compile(r"(?P<version>\d+)(?P<name>.*)\.sql", re.DOTALL)
_MARK = re.compile(r"^--[ \t]*migrate:(?P<direction>\w+)(?P<options>[^\n]*)$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^[ \t]*--[ \t]*db_migrate:[ \t]*(?P<name>[\w-]*)(?P<rest>[^\n]*)$", re.MULTILINE)
_ARGUMENT = re.compile(r"""(?P<key>\w+)=(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))""")


@dataclass(frozen=True, slots=True)
class Directive:
    """A `-- db_migrate: …` comment; `start` is the offset of its line in the file."""

    name: str
    arguments: Mapping[str, str]
    rest: str
    start: int
    end: int
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """The part of a file behind one mark; `start` and `end` are character offsets into the file."""

    start: int
    end: int
    line: int
    transaction: bool


@dataclass(frozen=True, slots=True)
class Migration:
    r"""One migration file.

    `transaction` says whether the up section runs in one transaction, `checksum` is that of the up section with its
    line ends as `\n`: what was applied cannot change unseen, and a repaired down section is no edit.
    """

    version: str
    name: str
    path: Path
    text: str
    up_section: Section
    down_section: Section | None
    directives: tuple[Directive, ...]
    checksum: str

    @property
    def up(self) -> str:
        """The text of the up section."""
        return self.text[self.up_section.start : self.up_section.end]

    @property
    def down(self) -> str | None:
        """The text of the down section, None where the file has none."""
        return None if self.down_section is None else self.text[self.down_section.start : self.down_section.end]

    @property
    def transaction(self) -> bool:
        """Whether the up section runs in one transaction."""
        return self.up_section.transaction

    @property
    def draft(self) -> bool:
        """Whether the file is a draft, which `up` refuses."""
        return any(directive.name == "draft" for directive in self.directives)

    @property
    def after_deploy(self) -> bool:
        """Whether the application has to be deployed before this file runs."""
        return any(directive.name == "after-deploy" for directive in self.directives)

    def section(self, direction: Direction) -> Section | None:
        """Return the section of a direction."""
        return self.up_section if direction == "up" else self.down_section

    def in_section(self, direction: Direction) -> tuple[Directive, ...]:
        """Return the directives inside the section of a direction."""
        section = self.section(direction)
        if section is None:
            return ()
        return tuple(found for found in self.directives if section.start <= found.start < section.end)

    def statements(self, direction: Direction, engine: Engine) -> list[Statement]:
        """Return the statements of a direction, with offsets into `text`.

        Raises:
            InputError: something in the section never ends.
        """
        section = self.section(direction)
        if section is None:
            return []
        return split(self.text, engine, file=self.path, start=section.start, end=section.end)


@dataclass(frozen=True, slots=True)
class Folder:
    """The migrations of a folder in the order of their versions; `ignored` are SQL files without a version."""

    path: Path
    migrations: tuple[Migration, ...]
    ignored: tuple[Path, ...] = ()


def read_text(path: Path) -> str:
    """Return the text of an SQL file: UTF-8, a byte-order mark left out, line ends as they are.

    Raises:
        UnavailableError: the file cannot be read.
        InputError: it is no UTF-8 text, or far too large for a migration.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"the file is larger than {MAX_BYTES >> 20} MiB",
                code="file-too-large",
                where=str(path),
                hint="Load data with the server's own loader; keep migrations to schema and short data changes.",
            )
        content = path.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"cannot read {path}: {error.strerror or error}",
            code="not-readable",
            where=str(path),
            hint="Check the path and its permissions.",
        ) from error
    return decode(content, path)


def decode(content: bytes, path: Path | str) -> str:
    """Return `content` as text.

    Raises:
        InputError: it is no UTF-8 text or holds a NUL; `where` names the line and column.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise InputError(
            "the file is UTF-16, not UTF-8" if utf16 else "the file is not UTF-8 text",
            code="binary-file",
            where=f"{path}:{line}:{column}",
            hint="Convert it to UTF-8." if utf16 else "Name an SQL file in UTF-8.",
        ) from error
    nul = text.find("\0")
    if nul >= 0:
        raise InputError(
            "a NUL character: this is not SQL text",
            code="binary-file",
            where=where(path, *Places(text)(nul)),
            hint="Name a text file.",
        )
    return text


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key under which V10 follows V9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def parse(path: Path, text: str) -> Migration:
    """Return the migration that `text` is.

    Raises:
        InputError: the name or a mark is wrong, or statements stand before the up mark.
    """
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise InputError(
            f"{path.name} is no name of a migration",
            code="bad-file-name",
            where=str(path),
            hint="Name it <version>_<name>.sql with a version of digits, such as 20260131120000_add_roles.sql.",
        )
    places = Places(text)
    marks = list(_MARK.finditer(text))
    ups = [mark for mark in marks if mark["direction"] == "up"]
    downs = [mark for mark in marks if mark["direction"] == "down"]
    for mark in marks:
        if mark["direction"] not in ("up", "down"):
            raise _mark_error(path, places, mark.start(), f"unknown mark migrate:{mark['direction']}")
    if not ups:
        raise _mark_error(path, places, 0, "there is no `-- migrate:up` line")
    for extra in (*ups[1:], *downs[1:]):
        raise _mark_error(path, places, extra.start(), f"a second migrate:{extra['direction']} mark")
    if downs and downs[0].start() < ups[0].start():
        raise _mark_error(path, places, downs[0].start(), "migrate:down stands before migrate:up")
    head = text[: ups[0].start()]
    before = re.search(r"^(?!\s*(?:--|$))[^\n]+", head, re.MULTILINE)
    if before:
        raise _mark_error(path, places, before.start(), "text before the `-- migrate:up` line would never run")
    up_end = downs[0].start() if downs else len(text)
    up = Section(_behind(text, ups[0]), up_end, places(ups[0].start())[0], _transaction(path, places, ups[0]))
    down = None
    if downs:
        mark = downs[0]
        down = Section(_behind(text, mark), len(text), places(mark.start())[0], _transaction(path, places, mark))
    return Migration(
        version=name["version"],
        name=name["name"].lstrip("_-"),
        path=path,
        text=text,
        up_section=up,
        down_section=down,
        directives=tuple(directives(text, path, places)),
        checksum=_checksum(text[ups[0].start() : up_end]),
    )


def directives(text: str, file: Path | str | None = None, places: Places | None = None) -> Iterable[Directive]:
    """Yield the `-- db_migrate: …` comments of a text.

    Raises:
        InputError: a directive is unknown.
    """
    places = places or Places(text)
    for match in _DIRECTIVE.finditer(text):
        name = match["name"]
        line, column = places(match.start())
        if name not in DIRECTIVES:
            raise InputError(
                f"unknown directive db_migrate: {name or '(nothing)'}{did_you_mean(name, DIRECTIVES)}",
                code="unknown-directive",
                where=where(file, line, column),
                hint=f"Known are {', '.join(DIRECTIVES)}.",
            )
        rest = match["rest"].strip()
        found = {
            argument["key"]: argument["quoted"] if argument["quoted"] is not None else argument["bare"]
            for argument in _ARGUMENT.finditer(rest)
        }
        yield Directive(name, found, rest, match.start(), match.end(), line)


def load_folder(folder: Path) -> Folder:
    """Return the migrations of `folder`, sorted by version.

    Versions compare as dbmate compares them: as text; `2` comes after `10`, so a folder keeps to one length.

    Raises:
        InputError: the folder is missing or holds no migration, files are malformed, or versions are doubled; the
            error tells all of them.
    """
    paths = _listed(folder)
    migrations: list[Migration] = []
    problems: list[Finding] = []
    for path in paths:
        if not _FILE_NAME.fullmatch(path.name):
            continue
        try:
            migrations.append(parse(path, read_text(path)))
        except InputError as error:
            problems.extend(error.findings)
    problems.extend(_doubled(migrations))
    if problems:
        first = problems[0]
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InputError(
            first.message + more, code=first.code, where=first.where, hint=first.fix, findings=tuple(problems)
        )
    if not migrations:
        raise _no_migrations(folder)
    ignored = tuple(path for path in paths if not _FILE_NAME.fullmatch(path.name))
    return Folder(folder, tuple(sorted(migrations, key=lambda one: one.version)), ignored)


def versions(folder: Path) -> list[str]:
    """Return the sorted versions that the names in `folder` show, without reading a file; none for no folder."""
    if not folder.is_dir():
        return []
    found = (_FILE_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(match["version"] for match in found if match)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".sql" and path.is_file())
    except FileNotFoundError:
        raise _no_migrations(folder) from None
    except OSError as error:
        raise UnavailableError(
            f"cannot list {folder}: {error.strerror or error}",
            code="not-readable",
            where=str(folder),
            hint="Name a folder of migrations with --migrations-dir.",
        ) from error


def _no_migrations(folder: Path) -> InputError:
    return InputError(
        f"there are no migrations in {folder}",
        code="no-migrations",
        where=str(folder),
        hint="Write one with `db_migrate.py new NAME`, or name the folder with --migrations-dir.",
    )


def _doubled(migrations: Sequence[Migration]) -> Iterable[Finding]:
    from senior_backend.console.report import Finding

    seen: dict[str, Migration] = {}
    for migration in migrations:
        first = seen.setdefault(migration.version, migration)
        if first is not migration:
            yield Finding(
                "duplicate-version",
                "error",
                f"version {migration.version} is also that of {first.path.name}",
                str(migration.path),
                "Give the file that is not applied yet a version of its own.",
            )


def _mark_error(path: Path, places: Places, offset: int, message: str) -> InputError:
    return InputError(
        message,
        code="bad-migration-file",
        where=where(path, *places(offset)),
        hint="A migration is `-- migrate:up`, statements, `-- migrate:down`, statements, each mark once and in a line "
        "of its own.",
    )


def _transaction(path: Path, places: Places, mark: re.Match[str]) -> bool:
    wanted = True
    for option in mark["options"].split():
        key, _, value = option.partition(":")
        if key != "transaction" or value not in ("true", "false"):
            raise _mark_error(
                path, places, mark.start(), f"unknown option {option}; known are transaction:true and transaction:false"
            )
        wanted = value == "true"
    return wanted


def _behind(text: str, mark: re.Match[str]) -> int:
    return min(mark.end() + 1, len(text))


@functools.lru_cache(maxsize=4096)
def _checksum(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.replace("\r\n", "\n").rstrip().encode()).hexdigest()
