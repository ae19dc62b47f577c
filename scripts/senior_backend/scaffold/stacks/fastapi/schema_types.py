"""The Pydantic types of fields: what a client may send, what it sees, and what it may filter by."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from senior_backend.scaffold.model import MISSING, pascal_case
from senior_backend.scaffold.stacks.fastapi import literals
from senior_backend.scaffold.stacks.fastapi.literals import python
from senior_backend.scaffold.stacks.fastapi.tables import STRING_LENGTH, URL_LENGTH, default_value, digits

if TYPE_CHECKING:
    from senior_backend.scaffold.model import Field, Resource

TEXT_LENGTH = 65_536
PASSWORD_LENGTH = (12, 128)


@dataclass(frozen=True)
class Attribute:
    """An attribute of a Pydantic model."""

    attribute: str
    type: str
    default: str = ""


@dataclass(frozen=True)
class MoneyModel:
    """The model of a money field."""

    cls: str
    amount: str
    currency: str


@dataclass
class Imports:
    """The names that a generated module uses, by module."""

    names: dict[str, set[str]] = field(default_factory=dict)

    def add(self, module: str, *names: str) -> None:
        """Note that `names` of `module` are used."""
        self.names.setdefault(module, set()).update(names)

    def lines(self) -> str:
        """Return the import block: standard library, third parties, the service's own."""
        groups: list[list[str]] = [[], [], []]
        for module in sorted(self.names):
            group = 2 if module.split(".")[0] == "app" else 1 if module in _THIRD_PARTY else 0
            groups[group].append(literals.import_line(module, self.names[module]))
        return "\n\n".join("\n".join(group) for group in groups if group)


_THIRD_PARTY = frozenset({"fastapi", "pydantic"})


class SchemaTypes:
    """The Pydantic types of a resource's fields, and what they import."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.imports = Imports()

    def input(self, one: Field) -> str:
        """Return the type that a client may send."""
        kind = self._input(one)
        if one.optional and one.type != "json":
            return f"{kind} | None"
        return kind

    def output(self, one: Field) -> str:
        """Return the type that the service shows."""
        kind = self._output(one)
        return f"{kind} | None" if one.optional and one.type != "json" else kind

    def query(self, one: Field) -> str:
        """Return the type of a filter."""
        if one.type in ("int", "bigint"):
            self._shared("FROM_TEXT")
            self.imports.add("pydantic", "StrictInt")
            low, high = ("INT_MIN", "INT_MAX") if one.type == "int" else ("-SAFE_INTEGER", "SAFE_INTEGER")
            self._shared(low.lstrip("-"), high)
            return self._annotated("StrictInt", f"ge={low}, le={high}", "FROM_TEXT")
        if one.type == "bool":
            self._shared("QueryBool")
            return "QueryBool"
        if one.type in ("str", "url"):
            self._shared("Line")
            return self._annotated(
                "Line", f"max_length={one.length or (URL_LENGTH if one.type == 'url' else STRING_LENGTH)}"
            )
        if one.type == "email":
            self._shared("Email")
            return "Email"
        return self._input(one)

    def money(self, one: Field) -> MoneyModel:
        """Return the model of a money field."""
        self._shared("Body")
        amount = self._integer(one, "BigInt")
        if one.currencies:
            self.imports.add("typing", "Literal")
            currency = f"Literal[{literals.arguments(one.currencies)}]"
        else:
            self._shared("Line")
            currency = self._annotated("Line", 'min_length=3, max_length=3, pattern="^[A-Z]{3}$"')
        return MoneyModel(self._money_class(one), amount, currency)

    def default(self, one: Field) -> str:
        """Return what stands behind the type where the field may be left out."""
        value = default_value(one)
        if value is MISSING:
            return " = None" if one.optional else ""
        if isinstance(value, Decimal):
            self.imports.add("decimal", "Decimal")
        elif isinstance(value, datetime):
            self._shared("Moment")
        elif isinstance(value, date):
            self._shared("Day")
        elif isinstance(value, UUID):
            self.imports.add("uuid", "UUID")
        if one.type == "money":
            return (
                f" = {self._money_class(one)}(amount={python(value['amount'])}, currency={python(value['currency'])})"
            )
        if isinstance(value, list | dict):
            self.imports.add("pydantic", "Field")
            return f" = Field(default_factory={f'lambda: {python(value)}' if value else type(value).__name__})"
        return f" = {python(value)}"

    def absent(self) -> str:
        """Return the default of a field that a partial update may leave out."""
        self._shared("absent")
        return " = absent()"

    def _input(self, one: Field) -> str:
        if one.type in ("str", "text"):
            return self._text(one)
        if one.type == "password":
            self.imports.add("typing", "Annotated")
            self.imports.add("pydantic", "Field")
            low, high = int(one.minimum or PASSWORD_LENGTH[0]), int(one.maximum or PASSWORD_LENGTH[1])
            return f"Annotated[str, Field(min_length={low}, max_length={high})]"
        if one.type in ("email", "date", "datetime", "uuid", "ref"):
            name = {"email": "Email", "date": "Date", "datetime": "Time"}.get(one.type, "Id")
            self._shared(name)
            return name
        if one.type == "url":
            self._shared("Url")
            bounds = _bounds(one, "min_length", "max_length", int)
            return self._annotated("Url", bounds) if bounds else "Url"
        if one.type in ("int", "bigint"):
            return self._integer(one, "Int" if one.type == "int" else "BigInt")
        if one.type == "float":
            self._shared("Float")
            bounds = _bounds(one, "ge", "le", float)
            return self._annotated("Float", bounds) if bounds else "Float"
        if one.type == "json":
            name = "JsonOrNull" if one.optional else "Json"
            self._shared(name)
            return name
        return self._output(one)

    def _output(self, one: Field) -> str:
        if one.type == "decimal":
            self.imports.add("typing", "Annotated")
            self.imports.add("decimal", "Decimal")
            self._shared("Decimals")
            precision, scale = digits(one)
            bounds = "".join(
                f", {name}={python(Decimal(str(value)))}"
                for name, value in (("minimum", one.minimum), ("maximum", one.maximum))
                if value is not None
            )
            return f"Annotated[Decimal, Decimals({precision}, {scale}{bounds})]"
        if one.type == "enum":
            self.imports.add("typing", "Literal")
            return f"Literal[{literals.arguments(one.values)}]"
        if one.type == "bool":
            self.imports.add("pydantic", "StrictBool")
            return "StrictBool"
        if one.type == "money":
            return self._money_class(one)
        if one.type == "json":
            self.imports.add("typing", "Any")
            return "Any"
        simple = {"int": "int", "bigint": "int", "float": "float", "date": "Date", "datetime": "Time"}
        if one.type in ("uuid", "ref"):
            self._shared("Id")
            return "Id"
        name = simple.get(one.type, "str")
        if name in ("Date", "Time"):
            self._shared(name)
        return name

    def _integer(self, one: Field, name: str) -> str:
        if one.minimum is None and one.maximum is None:
            self._shared(name)
            return name
        low, high = ("INT_MIN", "INT_MAX") if name == "Int" else ("-SAFE_INTEGER", "SAFE_INTEGER")
        first = low if one.minimum is None else python(int(one.minimum))
        last = high if one.maximum is None else python(int(one.maximum))
        self._shared(
            "WHOLE", *({low.lstrip("-")} if one.minimum is None else ()), *({high} if one.maximum is None else ())
        )
        self.imports.add("pydantic", "StrictInt")
        return self._annotated("StrictInt", f"ge={first}, le={last}", "WHOLE")

    def _text(self, one: Field) -> str:
        base = "Lines" if one.type == "text" else "Line"
        longest = int(one.maximum or one.length or (TEXT_LENGTH if one.type == "text" else STRING_LENGTH))
        shortest = int(one.minimum) if one.minimum is not None else 0 if one.optional or one.default == "" else 1
        parts = [f"min_length={shortest}"] if shortest else []
        parts.append(f"max_length={longest}")
        if one.pattern is None:
            self._shared(base)
            return self._annotated(base, ", ".join(parts))
        self._shared("NO_CONTROL")
        parts.append(f"pattern={python(one.pattern)}")
        return self._annotated("str", ", ".join(parts), "NO_CONTROL")

    def _annotated(self, kind: str, bounds: str, *more: str) -> str:
        self.imports.add("typing", "Annotated")
        self.imports.add("pydantic", "Field")
        return f"Annotated[{', '.join([kind, f'Field({bounds})', *more])}]"

    def _money_class(self, one: Field) -> str:
        return f"{self._resource.class_name}{pascal_case(one.name)}Amount"

    def _shared(self, *names: str) -> None:
        self.imports.add("app.schemas", *names)


def _bounds(one: Field, low: str, high: str, kind: type[int] | type[float]) -> str:
    parts = [(low, one.minimum), (high, one.maximum)]
    return ", ".join(f"{name}={python(kind(value))}" for name, value in parts if value is not None)
