"""Django: migrations are Python, their SQL is what `manage.py sqlmigrate` prints."""

from __future__ import annotations

import ast
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

NAME = "django"
APPLY = "python manage.py migrate"
MAY_EXTEND = False
# One process for all: each start of Django costs more than printing a migration. What needs a live schema fails alone.
_PRINT_SQL = """
import io
from django.core.management import call_command
for app, name in NAMES:
    sql = io.StringIO()
    try:
        call_command("sqlmigrate", app, name, no_color=True, stdout=sql)
        print(f"-- db_migrate printed {app}.{name}\\n{sql.getvalue()}")
    except Exception as error:
        print(f"-- db_migrate cannot print {app}.{name}\\n{type(error).__name__}: {' '.join(str(error).split())}")
        continue
    sql = io.StringIO()
    try:
        call_command("sqlmigrate", app, name, backwards=True, no_color=True, stdout=sql)
        print(f"-- db_migrate undid {app}.{name}\\n{sql.getvalue()}")
    except Exception as error:
        print(f"-- db_migrate cannot undo {app}.{name}\\n{type(error).__name__}: {' '.join(str(error).split())}")
"""
_PRINTED = re.compile(
    r"^-- db_migrate (printed|cannot print|undid|cannot undo) (\w+)\.(\w+)\n"
    r"(.*?)(?=^-- db_migrate (?:printed|cannot|undid)|\Z)",
    re.MULTILINE | re.DOTALL,
)


_ONE_WAY = re.compile(r"IrreversibleError\b")


def detect(project: Path) -> Path | None:
    """Return the project with a `manage.py` of Django."""
    return project if "django" in shared.head(project / "manage.py").lower() else None


def engine(root: Path) -> Engine | None:
    """Return the engine that the settings name."""
    return shared.engine_in([*sorted(root.glob("*/settings.py")), *sorted(root.glob("*/settings/*.py")), root / ".env"])


def read(root: Path) -> Iterable[Unit]:
    """Yield the SQL of the project's own apps in the order in which Django applies it.

    Raises:
        UnavailableError: Django does not run in the project.
    """
    own = {folder.name: folder for folder in _apps(root)}
    if not own:
        return
    plan = _projects.run(root, "django", ["manage.py", "showmigrations", "--plan", "--no-color"])
    names = [pair for pair in re.findall(r"^\[[ X]\]\s+(\w+)\.(\w+)", plan, re.MULTILINE) if pair[0] in own]
    script = _PRINT_SQL.replace("NAMES", repr(names))
    printed = _projects.run(root, "django", ["manage.py", "shell", "-c", script], shown="manage.py sqlmigrate")
    blocks = {(app, name, mark): text for mark, app, name, text in re.findall(_PRINTED, printed)}
    for app, name in names:
        path = own[app] / "migrations" / f"{name}.py"
        failed, text = blocks.get((app, name, "cannot print")), blocks.get((app, name, "printed"), "")
        if failed is not None:
            yield Unit(path, "", engine=engine(root), start=None, unreadable=f"sqlmigrate fails: {failed.strip()}")
            continue
        atomic, found = "atomic = False" not in shared.head(path, 65536), engine(root)
        undone, refused = blocks.get((app, name, "undid")), blocks.get((app, name, "cannot undo"), "").strip()
        rollback = Unit(path, _plain(undone), atomic, found, None) if undone else None
        unknown = None if not refused or _ONE_WAY.match(refused) else f"sqlmigrate --backwards fails: {refused}"
        yield Unit(path, _plain(text), atomic, found, None, rollback, unknown_rollback=unknown)


def _plain(printed: str) -> str:
    """Return what sqlmigrate prints without the transaction around it."""
    return re.sub(r"^(?:BEGIN|COMMIT|START TRANSACTION);\s*$", "", printed, flags=re.MULTILINE)


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return a migration with RunSQL for each part, on top of the app's last one.

    Raises:
        UndecidedError: the project has several apps with migrations, or the app has several leaves.
    """
    del engine, now
    shared.needs_statements(parts, NAME)
    apps = _apps(root)
    if not apps:
        raise InputError(
            "no app of the project has migrations yet",
            code="bad-project",
            where=str(root),
            hint="Make its first: python manage.py makemigrations APP",
        )
    if len(apps) > 1:
        names = ", ".join(app.name for app in apps)
        raise UndecidedError(
            f"the project has {len(apps)} apps with migrations: {names}",
            code="several-apps",
            where=str(root),
            hint=f"Name the folder to write to: --migrations-dir {apps[0].relative_to(root)}/migrations",
        )
    return in_app(apps[0], parts)


def in_app(app: Path, parts: Sequence[Part]) -> list[tuple[Path, str]]:
    """Return the migrations of one app for `parts`.

    Raises:
        UndecidedError: the app has several leaves.
    """
    folder = app / "migrations"
    names = sorted(path.stem for path in folder.glob("[0-9]*.py"))
    parent = _leaf(app, folder, names)
    number = max((int(name.split("_")[0]) for name in names), default=0)
    files = []
    for part in parts:
        number += 1
        name = f"{number:04}_{part.slug}"
        files.append((folder / f"{name}.py", _text(app.name, part, parent)))
        parent = name
    return files


def _leaf(app: Path, folder: Path, names: Sequence[str]) -> str | None:
    below: set[str] = set()
    for name in names:
        for owner, other in _dependencies(folder / f"{name}.py"):
            if owner == app.name:
                below.add(other)
    leaves = [name for name in names if name not in below]
    if len(leaves) > 1:
        raise UndecidedError(
            f"app {app.name} has several last migrations: {', '.join(leaves)}",
            code="several-heads",
            where=str(folder),
            hint="Merge them first: python manage.py makemigrations --merge",
        )
    return leaves[0] if leaves else None


def _dependencies(path: Path) -> list[tuple[str, str]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    found: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        named = isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "dependencies" for target in node.targets
        )
        if named and isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            for item in node.value.elts:
                values = [part.value for part in getattr(item, "elts", []) if isinstance(part, ast.Constant)]
                if len(values) == 2:
                    found.append((str(values[0]), str(values[1])))
    return found


def _apps(root: Path) -> list[Path]:
    return sorted(
        folder.parent
        for pattern in ("*/migrations", "*/*/migrations")
        for folder in root.glob(pattern)
        if (folder / "__init__.py").is_file() and "site-packages" not in folder.parts and ".venv" not in folder.parts
    )


def _text(app: str, part: Part, parent: str | None) -> str:
    needs = f"[({app!r}, {parent!r})]".replace("'", '"') if parent else "[]"
    atomic = "" if part.transaction else "    atomic = False\n"
    operations = ""
    backs = list(reversed(part.down)) if len(part.down) == len(part.up) else None
    whole = ";\n".join(part.down)
    for index, one in enumerate(part.up):
        if part.irreversible:
            reverse = ""
        elif backs is not None:
            reverse = f"            reverse_sql={_string(backs[index])},\n"
        else:
            # Reversing runs from the last operation to the first: the whole way back belongs to the last.
            text = whole if index == len(part.up) - 1 else ""
            reverse = f"            reverse_sql={_string(text) if text else 'migrations.RunSQL.noop'},\n"
        operations += f"        migrations.RunSQL(\n            sql={_string(one)},\n{reverse}        ),\n"
    note = "# The models do not know of this: state_operations say what `makemigrations` shall see.\n"
    return (
        f"{shared.comments(part, '# ')}{note}from django.db import migrations\n\n\n"
        f"class Migration(migrations.Migration):\n"
        f"{atomic}    dependencies = {needs}\n\n    operations = [\n{operations}    ]\n"
    )


def _string(text: str) -> str:
    # RunSQL without parameters leaves percent signs alone.
    if "\n" in text:
        return '"""\n' + text.replace("\\", "\\\\").replace('"""', r"\"\"\"") + '\n"""'
    return f'"{text}"' if '"' not in text and "\\" not in text else repr(text)
