"""Rails: `db/migrate/<time>_<name>.rb`; SQL is what `execute` is given."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "rails"
APPLY = "bin/rails db:migrate"
MAY_EXTEND = False
_HEREDOC = re.compile(
    r"execute[\s(]*<<[~-]?(?P<q>['\"`]?)(?P<tag>\w+)(?P=q)[^\n]*\n(?P<body>.*?)^\s*(?P=tag)\s*$",
    re.DOTALL | re.MULTILINE,
)
_QUOTED = re.compile(r"""execute[\s(]+(?P<quote>["'])(?P<body>(?:\\.|(?!(?P=quote)).)*)(?P=quote)""", re.DOTALL)
_DOWN = re.compile(r"^\s*def (?:self\.)?down\b", re.MULTILINE)

_RUBY = "what undoes a migration of Rails is Ruby, of which only the SQL of the way up is read"


def detect(project: Path) -> Path | None:
    """Return `db/migrate` where it has Ruby files or the project is one of Rails."""
    folder = project / "db" / "migrate"
    rails = (project / "bin" / "rails").is_file() or (project / "config" / "application.rb").is_file()
    return folder if rails or any(folder.glob("*.rb")) else None


def engine(root: Path) -> Engine | None:
    """Return the adapter of `config/database.yml`, else the gem."""
    project = root.parent.parent
    return shared.engine_in([project / "config" / "database.yml", project / "Gemfile"])


def read(root: Path) -> Iterable[Unit]:
    """Yield the SQL in the `up` part of each file; what Ruby methods do is for `strong_migrations` to judge."""
    for path, text in shared.texts(sorted(root.glob("*.rb"))):
        down = _DOWN.search(text)
        part = text[: down.start()] if down else text
        alone = "disable_ddl_transaction!" in text
        for match in sorted([*_HEREDOC.finditer(part), *_QUOTED.finditer(part)], key=lambda one: one.start()):
            yield Unit(path, match["body"], not alone, engine(root), match.start("body"), unknown_rollback=_RUBY)


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return a class for each part."""
    del engine
    shared.needs_statements(parts, NAME)
    existing = [match[1] for path in root.glob("*.rb") if (match := re.match(r"(\d+)_", path.name))]
    numbers = shared.next_versions(existing, len(parts), now)
    return [
        (root / f"{number}_{part.slug}.rb", _class(part, _release(root)))
        for number, part in zip(numbers, parts, strict=True)
    ]


def _class(part: Part, release: str) -> str:
    name = "".join(word.title() for word in part.slug.split("_"))
    lines = [f"class {name} < ActiveRecord::Migration[{release}]"]
    if not part.transaction:
        lines.append("  disable_ddl_transaction!\n")
    lines += ["  def up", *_executes(part.up), "  end", "", "  def down"]
    lines += _executes(part.down) or [f"    raise ActiveRecord::IrreversibleMigration, {part.irreversible or ''!r}"]
    return shared.comments(part, "# ") + "\n".join([*lines, "  end", "end"]) + "\n"


def _executes(statements: Sequence[str]) -> list[str]:
    # A quoted heredoc tag leaves backslashes and #{} alone.
    return [f"    execute <<~'SQL'\n{textwrap.indent(one, '      ')}\n    SQL" for one in statements]


def _release(root: Path) -> str:
    project = root.parent.parent
    lock = re.search(
        r"^\s+(?:rails|activerecord) \((\d+\.\d+)", shared.head(project / "Gemfile.lock", 200_000), re.MULTILINE
    )
    if lock:
        return lock[1]
    used = [re.search(r"Migration\[(\d+\.\d+)\]", shared.head(path)) for path in sorted(root.glob("*.rb"))]
    return next((match[1] for match in reversed(used) if match), "7.1")
