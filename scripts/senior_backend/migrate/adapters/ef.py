"""Entity Framework Core: C# migrations, and the SQL scripts that `dotnet ef migrations script` makes of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "ef"
APPLY = "dotnet ef database update"
MAY_EXTEND = False
_SQL = re.compile(
    r'migrationBuilder\s*\.\s*Sql\s*\(\s*(?:sql\s*:\s*)?(?:"""(?P<raw>.*?)"""|@"(?P<verbatim>(?:[^"]|"")*)"|"(?P<plain>(?:\\.|[^"\\])*)")'
    r"(?P<rest>[^;]*)",
    re.DOTALL,
)
_CONTEXT = re.compile(r"\[DbContext\(typeof\((?P<name>[\w.]+)\)\)\]")
_NAMESPACE = re.compile(r"^\s*namespace\s+(?P<name>[\w.]+)", re.MULTILINE)

_CSHARP = "the Down method of EF Core is C#; `dotnet ef migrations script FROM TO` prints its SQL"


def detect(project: Path) -> Path | None:
    """Return the folder with a model snapshot."""
    for pattern in ("Migrations", "*/Migrations", "src/*/Migrations", "Data/Migrations", "*/Data/Migrations"):
        for folder in sorted(project.glob(pattern)):
            if any(folder.glob("*ModelSnapshot.cs")):
                return folder
    return None


def engine(root: Path) -> Engine | None:
    """Return the engine of the provider package."""
    projects = [path for folder in list(root.parents)[:3] for path in sorted(folder.glob("*.csproj"))]
    return shared.engine_in([*projects, *sorted(root.glob("*ModelSnapshot.cs"))])


def read(root: Path) -> Iterable[Unit]:
    """Yield scripts beside the migrations, else the SQL of each Up method.

    What the other methods of `migrationBuilder` do only `dotnet ef migrations script` can tell; write its output to
    a `.sql` file beside the migrations.
    """
    scripts = sorted(root.glob("*.sql"))
    for path, text in shared.texts(scripts):
        yield Unit(path, text, engine=engine(root))
    if scripts:
        return
    for path, text in shared.texts(sorted(root.glob("*.cs"))):
        if path.name.endswith((".Designer.cs", "ModelSnapshot.cs")):
            continue
        up = text.partition("void Down(")[0]
        for match in _SQL.finditer(up):
            kind = next(name for name in ("raw", "verbatim", "plain") if match[name] is not None)
            alone = re.search(r"suppressTransaction\s*:\s*true", match["rest"]) is not None
            yield Unit(path, match[kind], not alone, engine(root), match.start(kind), unknown_rollback=_CSHARP)


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return a migration class for each part; the attributes that a designer file would have are on the class."""
    del engine
    shared.needs_statements(parts, NAME)
    snapshot = "".join(shared.head(path, 65536) for path in sorted(root.glob("*ModelSnapshot.cs")))
    context, namespace = _CONTEXT.search(snapshot), _NAMESPACE.search(snapshot)
    existing = [match[1] for path in root.glob("*.cs") if (match := re.match(r"(\d{14})_", path.name))]
    files = []
    for number, part in zip(shared.next_versions(existing, len(parts), now), parts, strict=True):
        name = "".join(word.title() for word in part.slug.split("_"))
        suppress = "" if part.transaction else ", suppressTransaction: true"
        space = namespace["name"] if namespace else "Migrations"
        owner = context["name"] if context else "DbContext"
        text = (
            "using Microsoft.EntityFrameworkCore.Infrastructure;\n"
            "using Microsoft.EntityFrameworkCore.Migrations;\n"
            f"{_using(snapshot)}\nnamespace {space};\n\n{shared.comments(part, '// ')}"
            f'[DbContext(typeof({owner}))]\n[Migration("{number}_{name}")]\npublic partial class {name} : Migration\n'
            "{\n    protected override void Up(MigrationBuilder migrationBuilder)\n    {\n"
            f"{_calls(part.up, suppress)}    }}\n\n"
            "    protected override void Down(MigrationBuilder migrationBuilder)\n"
            f"    {{\n{_calls(part.down, suppress) or _no_way_back(part)}    }}\n}}\n"
        )
        files.append((root / f"{number}_{name}.cs", text))
    return files


def _calls(statements: Sequence[str], suppress: str) -> str:
    return "".join(
        f'        migrationBuilder.Sql(@"{one.replace(chr(34), chr(34) * 2)};"{suppress});\n' for one in statements
    )


def _no_way_back(part: Part) -> str:
    return f'        throw new System.NotSupportedException("{part.irreversible or "There is no way back."}");\n'


def _using(snapshot: str) -> str:
    lines = re.findall(r"^using (?!Microsoft|System)[\w.]+;$", snapshot, re.MULTILINE)
    return "".join(f"{line}\n" for line in lines)
