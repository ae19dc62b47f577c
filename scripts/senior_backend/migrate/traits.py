"""What the runner has to know about a statement before it sends it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.console.errors import did_you_mean
from senior_backend.migrate.tokens import Token, tokens

if TYPE_CHECKING:
    from senior_backend.migrate.statements import Engine


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTROL = {"BEGIN", "START", "COMMIT", "ROLLBACK", "END", "ABORT", "PREPARE TRANSACTION", "XA"}
DATA = {"INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH", "VALUES", "TABLE", "SET", "DO", "MERGE"}
SETTINGS = {"SET", "RESET", "USE", "PRAGMA"}
VERBS: dict[str, frozenset[str]] = {
    "postgresql": _words(
        "ABORT ALTER ANALYZE BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE "
        "DISCARD DO DROP END EXECUTE EXPLAIN FETCH GRANT IMPORT INSERT LISTEN LOAD LOCK MERGE MOVE NOTIFY PREPARE "
        "REASSIGN REFRESH REINDEX RELEASE REPACK RESET REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW START TABLE "
        "TRUNCATE UNLISTEN UPDATE VACUUM VALUES WITH"
    ),
    "mysql": _words(
        "ALTER ANALYZE BEGIN BINLOG CACHE CALL CHANGE CHECK CHECKSUM COMMIT CREATE DEALLOCATE DELETE DESC DESCRIBE DO "
        "DROP END EXECUTE EXPLAIN FLUSH GET GRANT HANDLER IMPORT INSERT INSTALL KILL LOAD LOCK OPTIMIZE PREPARE PURGE "
        "RELEASE RENAME REPAIR REPLACE RESET RESIGNAL REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW SIGNAL START STOP "
        "TABLE TRUNCATE UNINSTALL UNLOCK UPDATE USE VALUES WITH XA"
    ),
    "sqlite": _words(
        "ALTER ANALYZE ATTACH BEGIN COMMIT CREATE DELETE DETACH DROP END EXPLAIN INSERT PRAGMA REINDEX RELEASE REPLACE "
        "ROLLBACK SAVEPOINT SELECT UPDATE VACUUM VALUES WITH"
    ),
}
_DESTROYED_OBJECTS = {"TABLE", "SCHEMA", "DATABASE", "SEQUENCE", "TABLESPACE", "MATERIALIZED"}


@dataclass(frozen=True, slots=True)
class Traits:
    """What kind of statement it is.

    `verb` is its first word or two, `table` the table it names first, `index` the index that it creates, drops or
    rebuilds. `destroys` says which data it would destroy. `alone` means that the server refuses it inside a
    transaction or commits around it, `slow` that it reads or writes without blocking anybody, so that it may take
    its time. `locks` says that it takes a lock others wait for,
    `own_timeout` that its file has set a statement timeout before it.
    """

    verb: str
    table: str | None = None
    index: str | None = None
    destroys: str | None = None
    alone: bool = False
    slow: bool = False
    locks: bool = False
    control: bool = False
    setting: bool = False
    concurrently: bool = False
    own_timeout: bool = False


def unknown_verb(text: str, engine: Engine) -> str | None:
    """Return a complaint where `text` does not start like any statement of the engine, else None."""
    found = tokens(text, engine)
    known = VERBS["mysql" if engine == "mariadb" else engine]
    first = next((token for token in found if token.value != "("), None)
    if first is None:
        return "there is nothing to run"
    if first.kind == "word" and first.value in known:
        return None
    return f"'{first.raw[:30]}' starts no {engine} statement{did_you_mean(first.raw.upper(), known)}"


@functools.lru_cache(maxsize=65536)
def traits(text: str, engine: Engine) -> Traits:
    """Return the traits of one statement."""
    found = tokens(text, engine)
    words = [token.value if token.kind == "word" else "" for token in found]
    verb = words[0] if words else ""
    two = " ".join(words[:2])
    if (verb in CONTROL and two != "BEGIN NOT") or two in CONTROL:
        # SAVEPOINT, RELEASE and ROLLBACK TO stay inside the runner's transaction.
        return Traits(verb, control="TO" not in words[1:4] or verb != "ROLLBACK")
    scan = _Scan(found, words)
    destroys = _destroys(scan, engine)
    if engine == "postgresql":
        return _postgresql(scan, destroys)
    if engine == "sqlite":
        alone = verb in ("VACUUM", "PRAGMA", "ATTACH", "DETACH")
        return Traits(verb, scan.table(), scan.index(), destroys, alone=alone, setting=verb in SETTINGS)
    data = verb in DATA or verb == "CALL"
    return Traits(
        verb,
        scan.table(),
        scan.index(),
        destroys,
        alone=not data and verb not in SETTINGS,
        slow=verb in ("ANALYZE", "OPTIMIZE", "CHECK"),
        locks=not data,
        setting=verb in SETTINGS,
    )


class _Scan:
    """The tokens of a statement, with the look-ups that the rules share."""

    def __init__(self, found: list[Token], words: list[str]) -> None:
        self.tokens = found
        self.words = words
        self.set = frozenset(words)

    def starts(self, *choices: str) -> bool:
        return any(self.words[: len(choice.split())] == choice.split() for choice in choices)

    def name_after(self, position: int) -> str | None:
        """Return the (qualified) name at or behind `position`, past IF [NOT] EXISTS, ONLY and CONCURRENTLY."""
        while position < len(self.words) and self.words[position] in ("IF", "NOT", "EXISTS", "ONLY", "CONCURRENTLY"):
            position += 1
        parts: list[str] = []
        while position < len(self.tokens) and self.tokens[position].kind in ("word", "quoted"):
            parts.append(self.tokens[position].name)
            if position + 2 < len(self.tokens) and self.tokens[position + 1].value == ".":
                position += 2
            else:
                break
        return ".".join(parts) or None

    def table(self) -> str | None:
        words = self.words
        if self.starts("UPDATE", "TRUNCATE", "LOCK"):
            return self.name_after(2 if words[1:2] == ["TABLE"] else 1)
        for word in ("INTO", "FROM", "TABLE"):
            if word in words[:6] and (word != "FROM" or words[0] == "DELETE"):
                return self.name_after(words.index(word) + 1)
        if "ON" in words and words[0] in ("CREATE", "DROP") and not self.starts("CREATE RULE"):
            return self.name_after(words.index("ON") + 1)
        return None

    def index(self) -> str | None:
        if "INDEX" not in self.words[:4]:
            return None
        position = self.words.index("INDEX") + 1
        if self.words[position : position + 1] == ["ON"] or self.words[position : position + 2] == [
            "CONCURRENTLY",
            "ON",
        ]:
            return None
        return self.name_after(position)


def _destroys(scan: _Scan, engine: Engine) -> str | None:
    words, verb = scan.words, scan.words[0] if scan.words else ""
    table = scan.table() or ""
    reason: str | None = None
    if verb == "TRUNCATE":
        reason = f"all rows of {table}"
    elif verb == "DELETE" or (verb == "WITH" and "DELETE" in scan.set):
        reason = f"rows of {table or 'a table'}"
    elif verb == "UPDATE" and "WHERE" not in scan.set:
        reason = f"old values in every row of {table}"
    elif verb == "DROP":
        kind = next((word for word in words[1:] if word not in ("TEMPORARY", "FOREIGN")), "")
        if kind in _DESTROYED_OBJECTS or "CASCADE" in scan.set or words[1:3] == ["OWNED", "BY"]:
            name = scan.name_after(words.index(kind) + 1) if kind in words else ""
            reason = f"{kind.lower()} {name or ''}".strip()
    elif verb == "ALTER" and "TABLE" in words[:4]:
        reason = _dropped_part(scan, table)
    elif scan.starts("CREATE OR REPLACE TABLE"):
        reason = f"the earlier table {scan.name_after(4)}"
    elif verb == "DO" and engine == "postgresql":
        body = " ".join(token.value for token in scan.tokens if token.kind == "text").upper()
        if any(word in body for word in ("DROP ", "DELETE ", "TRUNCATE ")):
            reason = "whatever the DO block drops or deletes"
    return reason


def _dropped_part(scan: _Scan, table: str) -> str | None:
    harmless = {"CONSTRAINT", "INDEX", "KEY", "FOREIGN", "PRIMARY", "CHECK", "DEFAULT", "NOT", "IDENTITY", "EXPRESSION"}
    for position, word in enumerate(scan.words):
        following = scan.words[position + 1] if position + 1 < len(scan.words) else ""
        if word == "TRUNCATE":
            return f"a partition of {table}"
        if word == "DROP" and following not in harmless:
            name = scan.name_after(position + (2 if following in ("COLUMN", "PARTITION") else 1))
            return f"{following.lower() if following in ('COLUMN', 'PARTITION') else 'column'} {table}.{name or '?'}"
    return None


def _commits(scan: _Scan) -> bool:
    """Whether a DO block ends transactions itself, which PostgreSQL allows outside of one only (manual, 43.8)."""
    bodies = (token.value for token in scan.tokens if token.kind == "text")
    return any(word.value in ("COMMIT", "ROLLBACK") for body in bodies for word in tokens(_inside(body), "postgresql"))


def _inside(body: str) -> str:
    """Return the text between dollar quotes or apostrophes."""
    mark = body[: body.index("$", 1) + 1] if body.startswith("$") else "'"
    return body[len(mark) : -len(mark)]


def _postgresql(scan: _Scan, destroys: str | None) -> Traits:
    words = scan.words
    verb = words[0] if words else ""
    concurrently = "CONCURRENTLY" in words and verb in ("CREATE", "DROP", "REINDEX", "ALTER", "REFRESH")
    alone = (concurrently and verb != "REFRESH") or verb in ("VACUUM", "CALL") or (verb == "DO" and _commits(scan))
    alone = (
        alone
        or scan.starts("ALTER SYSTEM")
        or (verb in ("CREATE", "DROP") and words[1:2] in (["DATABASE"], ["TABLESPACE"]))
    )
    alone = alone or scan.starts("REINDEX DATABASE", "REINDEX SYSTEM", "REINDEX SCHEMA") or words == ["CLUSTER"]
    alone = alone or (scan.starts("CREATE SUBSCRIPTION", "DROP SUBSCRIPTION") and not concurrently)
    validates = verb == "ALTER" and "VALIDATE" in scan.set
    slow = concurrently or verb in ("VACUUM", "ANALYZE", "CALL") or validates or (verb == "DO" and alone)
    table = scan.table()
    index = scan.index()
    if scan.starts("REINDEX"):
        index = scan.name_after(words.index("INDEX") + 1) if "INDEX" in words[:6] else None
    if verb == "ALTER" and "INDEX" in words[:2]:
        index = scan.name_after(2)
    locks = not concurrently and not validates and (
        verb in ("ALTER", "DROP", "TRUNCATE", "LOCK", "REINDEX", "CLUSTER", "REFRESH")
        or (verb == "CREATE" and ("INDEX" in words[:3] or "TRIGGER" in words[:4] or "REFERENCES" in scan.set))
        or scan.starts("COMMENT")
    )  # fmt: skip
    setting = verb in ("SET", "RESET") and words[1:2] != ["LOCAL"]
    return Traits(
        verb, table, index, destroys,
        alone=alone, slow=slow, locks=locks, setting=setting, concurrently=concurrently,
    )  # fmt: skip
