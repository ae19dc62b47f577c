"""What a database says about its tables, and what that becomes: shared by all readers of databases."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.report import Finding
from senior_backend.scaffold import naming, stack_loader
from senior_backend.scaffold.drafts import FieldDraft, LinkDraft, Located, ResourceDraft
from senior_backend.scaffold.field_text import Text
from senior_backend.scaffold.fields import SETTINGS
from senior_backend.scaffold.values import DECIMAL_LIMIT, STR_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

IGNORED: Final = frozenset(
    {
        "alembic_version",
        "django_migrations",
        "schema_migrations",
        "ar_internal_metadata",
        "flyway_schema_history",
        "databasechangelog",
        "databasechangeloglock",
        "_prisma_migrations",
        "knex_migrations",
        "knex_migrations_lock",
        "goose_db_version",
        "spatial_ref_sys",
    }
)
"""Tables in which migration tools and extensions keep their own books."""
CLIPPED_SCALE: Final = 6
_PASSWORDS: Final = frozenset({"password", "password_hash", "hashed_password", "password_digest", "encrypted_password"})
_QUOTED: Final = re.compile(r"'((?:[^']|'')*)'")
_IN_LIST: Final = re.compile(
    r"""^\W*(?P<column>\w+)\W*(?:::\s*[\w ]+\)?\s*)?(?:in\s*\(|=\s*any\s*\(+\s*array\[)(?P<list>.*)$""",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column; `type` is a field type or None where none fits, `native` what the database calls it.

    `default` is the literal's text, `computed` an expression instead of one; `lossy` says what is lost by `type`.
    """

    name: str
    type: str | None
    native: str
    nullable: bool = True
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    values: tuple[str, ...] = ()
    minimum: int | None = None
    default: str | None = None
    computed: str | None = None
    lossy: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key; `on_delete` is restrict, cascade or set_null."""

    columns: tuple[str, ...]
    table: str
    target: tuple[str, ...]
    on_delete: str = "restrict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as the catalog describes it; `checks` are the texts of its check constraints."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    checks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Notes:
    findings: list[Finding] = field(default_factory=list)

    def lossy(self, where: str, message: str, fix: str | None = None) -> None:
        self.findings.append(Finding("lossy", "warning", message, where, fix or "Review it in the specification."))


def to_drafts(tables: Sequence[Table]) -> tuple[list[ResourceDraft], list[Finding]]:
    """Return a draft of a resource for each table, and everything that the drafts do not say."""
    notes = _Notes()
    kept = [table for table in tables if table.name.lower() not in IGNORED]
    names = resource_names([table.name for table in kept], notes)
    kept = [table for table in kept if table.name in names]
    joins = {table.name: table for table in kept if _is_join(table, names)}
    drafts = []
    for table in kept:
        if table.name in joins:
            continue
        links = _links(table, joins, names)
        drafts.append(_resource(table, names, links, notes))
    return drafts, notes.findings


def resource_names(originals: Sequence[str], notes: _Notes) -> dict[str, str]:
    """Return the singular, unique, allowed resource name of each table or schema."""
    names: dict[str, str] = {}
    for original in originals:
        plain = re.sub(r"[^a-z0-9_]+", "_", naming.snake_case(original)).strip("_")
        name = allowed_name(naming.singular(re.sub(r"__+", "_", plain)))
        if name in names.values():
            name = f"{name}_2"
        if naming.invalid_name(name, "resource") or name in names.values():
            notes.lossy(original, f"'{original}' cannot be the name of a resource; it is left out")
            continue
        if name != plain and naming.plural(name) != plain:
            notes.lossy(original, f"'{original}' becomes the resource '{name}'")
        names[original] = name
    return names


def allowed_name(name: str) -> str:
    """Return `name`, or another where the service itself uses it: `account` -> `account_record`."""
    taken = naming.RESERVED_RESOURCES | stack_loader.reserved(stack_loader.DEFAULT)
    return f"{name}_record" if name in taken or naming.is_python_keyword(name) else name


def _is_join(table: Table, names: dict[str, str]) -> bool:
    singles = [key for key in table.foreign_keys if len(key.columns) == 1 and key.table in names]
    covered = {key.columns[0] for key in singles}
    rest = {column.name for column in table.columns} - covered - {"id", "created_at"}
    targets = {key.table for key in singles}
    keyed = set(table.key) == covered or any(set(unique) == covered for unique in table.uniques)
    return len(singles) == 2 and len(covered) == 2 and len(targets) == 2 and not rest and keyed


def _links(table: Table, joins: dict[str, Table], names: dict[str, str]) -> list[LinkDraft]:
    links = []
    for join in joins.values():
        first, second = (key for key in join.foreign_keys if len(key.columns) == 1)
        if first.table == table.name:
            where = Located(names[second.table], join.name)
            links.append(LinkDraft(target=where, name=Located(naming.plural(where.value), join.name)))
    return links


def _resource(table: Table, names: dict[str, str], links: list[LinkDraft], notes: _Notes) -> ResourceDraft:
    name = names[table.name]
    if table.key != ("id",):
        key = ", ".join(table.key) or "none"
        notes.lossy(table.name, f"the primary key ({key}) becomes `id`, a UUID", "Existing rows need new keys.")
    for unique in (table.key, *table.uniques):
        if len(unique) > 1:
            notes.lossy(
                table.name,
                f"unique ({', '.join(unique)}) becomes a plain index: two rows may have the same values",
                "Add the constraint in table.py and in a migration of your own.",
            )
    fields: list[FieldDraft] = []
    renamed: dict[str, str] = {}
    for column in table.columns:
        draft = _field(table, column, names, {item.name.value for item in fields}, notes)
        if draft is not None:
            fields.append(draft)
            renamed[column.name] = draft.name.value
    fields = _with_enums(table, fields, renamed, notes)
    indexes = _indexes(table, fields, renamed, notes)
    kinds = {item.name.value: item for item in fields}
    logs_in = (
        name in ("user", "account", "member", "customer")
        and "email" in kinds
        and "unique" in kinds["email"].settings
        and "optional" not in kinds["email"].settings
        and kinds["email"].type.value == "email"
        and "password" in kinds
        and "optional" not in kinds["password"].settings
    )
    return ResourceDraft(
        name=Located(name, table.name),
        plural=None,
        fields=tuple(fields),
        indexes=indexes,
        links=tuple(links),
        identity=Located(True, table.name) if logs_in else None,
    )


def _field(table: Table, column: Column, names: dict[str, str], taken: set[str], notes: _Notes) -> FieldDraft | None:
    where = f"{table.name}.{column.name}"
    plain = field_name(column.name)
    if plain in naming.RESERVED_FIELDS:
        _note_server_owned(column, plain, where, notes)
        return None
    key = next((key for key in table.foreign_keys if key.columns == (column.name,)), None)
    if (column.name,) == table.key and key is None:
        return None
    if key is not None and key.table in names:
        return _reference(table, column, key, names, notes)
    if key is not None:
        notes.lossy(where, f"it refers to '{key.table}', which is left out; it becomes a plain {column.type} field")
    kind, name = column.type, plain
    if name in _PASSWORDS and kind in ("str", "text"):
        notes.lossy(
            where, "it becomes `password`: written only, hashed with Argon2id", "Hashes of another kind need a reset."
        )
        name, kind, column = "password", "password", replace(column, length=None, default=None)
    if kind is None:
        notes.lossy(where, f"no field type fits {column.native}; it is left out")
        return None
    if kind in ("str", "text") and name == "email":
        kind, column = "email", replace(column, length=None)
    if kind == "text" and _looked_up(table, column.name):
        notes.lossy(where, "it is looked up by value, so it becomes str(255)")
        kind, column = "str", replace(column, length=255)
    if naming.is_python_keyword(name) or name in naming.SHADOWING or name in taken:
        better = naming.better_field_name(name, naming.singular(table.name.lower()))
        notes.lossy(where, f"'{name}' cannot name a field; it becomes '{better}'")
        name = better
    elif name not in (column.name, "password"):
        notes.lossy(where, f"'{column.name}' becomes '{name}'")
    if column.lossy:
        notes.lossy(where, column.lossy)
    return FieldDraft(
        name=Located(name, where), type=Located(kind, where), settings=_settings(table, column, kind, where, notes)
    )


def _looked_up(table: Table, column: str) -> bool:
    return any(column in columns for columns in (*table.uniques, *table.indexes))


def field_name(original: str) -> str:
    """Return a column's or property's name as snake_case letters, digits and underscores."""
    plain = re.sub(r"[^a-z0-9]+", "_", naming.snake_case(original)).strip("_")
    return f"n_{plain}" if plain[:1].isdigit() else plain


def _note_server_owned(column: Column, plain: str, where: str, notes: _Notes) -> None:
    fits = {"id": ("uuid",), "version": ("int", "bigint")}.get(plain, ("datetime",))
    if column.type not in fits:
        notes.lossy(where, f"`{plain}` is the server's own, not {column.native}", "Existing rows need new values.")


def _reference(table: Table, column: Column, key: ForeignKey, names: dict[str, str], notes: _Notes) -> FieldDraft:
    where = f"{table.name}.{column.name}"
    name = re.sub(r"_(id|uuid|fk)$", "", field_name(column.name)) or names[key.table]
    if name in naming.RESERVED_FIELDS:
        name = names[key.table]
    settings: dict[str, Located[Any]] = {"target": Located(names[key.table], where)}
    if column.nullable:
        settings["optional"] = Located(True, where)
    if key.on_delete == "set_null" and not column.nullable:
        notes.lossy(where, "ON DELETE SET NULL of a NOT NULL column becomes restrict")
    elif key.on_delete != "restrict":
        settings["on_delete"] = Located(key.on_delete, where)
    if (column.name,) in table.uniques:
        settings["unique"] = Located(True, where)
    return FieldDraft(name=Located(name, where), type=Located("ref", where), settings=settings)


def _settings(table: Table, column: Column, kind: str, where: str, notes: _Notes) -> dict[str, Located[Any]]:
    precision, scale = column.precision, column.scale
    if precision is not None and precision > DECIMAL_LIMIT:
        precision, scale = DECIMAL_LIMIT, min(scale or 0, CLIPPED_SCALE)
        becomes = f"decimal({precision},{scale})"
        notes.lossy(where, f"{column.native} has more than {DECIMAL_LIMIT} digits; it becomes {becomes}")
    found: dict[str, Any] = {
        "length": column.length if column.length is None else max(1, min(column.length, STR_LIMIT)),
        "precision": precision,
        "scale": scale,
        "values": list(column.values) or None,
        "min": column.minimum,
        "optional": column.nullable or None,
        "unique": ((column.name,) in table.uniques) or None,
        "index": ((column.name,) in table.indexes and (column.name,) not in table.uniques) or None,
        "default": None if column.default is None else Text(column.default),
    }
    for key in ("unique", "index"):
        if found[key] and kind not in SETTINGS[key]:
            notes.lossy(where, f"a {kind} field cannot be {'unique' if key == 'unique' else 'indexed'} here")
            found[key] = None
    if column.computed:
        notes.lossy(where, f"the default {column.computed} is computed by the database; it is left out")
    if column.default is not None and kind not in SETTINGS["default"]:
        found["default"] = None
    return {
        key: Located(value, f"{where} ({key})")
        for key, value in found.items()
        if value is not None and kind in SETTINGS[key]
    }


def _with_enums(table: Table, fields: list[FieldDraft], renamed: dict[str, str], notes: _Notes) -> list[FieldDraft]:
    """Return the fields with those as enums whose check constraint lists their values."""
    for check in table.checks:
        match = _IN_LIST.match(check)
        column = match["column"] if match else ""
        values = [value.replace("''", "'") for value in _QUOTED.findall(match["list"])] if match else []
        index = next((i for i, item in enumerate(fields) if item.name.value == renamed.get(column)), None)
        if index is None or not values or fields[index].type.value not in ("str", "text"):
            notes.lossy(table.name, f"check constraint left out: {check}", "Use min, max, pattern or enum.")
            continue
        item = fields[index]
        settings = {
            key: value for key, value in item.settings.items() if key in ("optional", "index", "unique", "default")
        }
        settings["values"] = Located(values, f"{item.name.where} (values)")
        fields[index] = replace(item, type=Located("enum", item.type.where), settings=settings)
    return fields


def _indexes(
    table: Table, fields: list[FieldDraft], renamed: dict[str, str], notes: _Notes
) -> tuple[Located[tuple[str, ...]], ...]:
    kinds = {item.name.value: item.type.value for item in fields}
    own = {"created_at": "created_at", "updated_at": "updated_at"}
    found: list[Located[tuple[str, ...]]] = []
    for columns in dict.fromkeys([table.key, *table.uniques, *table.indexes]):
        if len(columns) < 2:
            continue
        names = tuple(renamed.get(column, own.get(column, "")) for column in columns)
        if all(names) and not any(kinds.get(name) in ("text", "json", "password") for name in names):
            if names not in {item.value for item in found}:
                found.append(Located(names, table.name))
        else:
            notes.lossy(table.name, f"index ({', '.join(columns)}) is left out")
    return tuple(found)
