"""The wire formats that resources share. Every rule that is enforced can be read in the JSON Schema."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StrictBool,
    StrictFloat,
    StrictInt,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from app.pagination import MAX_LENGTH
from app.resource import camel_case

# No control characters: PostgreSQL refuses NUL, and logs and exports suffer from the others.
LINE = r"^[^\u0000-\u001f\u007f]*$"
LINES = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$"
EMAIL = r"^[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}$"
URL = r"^https?://[^\u0000-\u0020\u007f\"<>\\^`{|}]+$"
SAFE_INTEGER = 2**53 - 1
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_CONTROL = re.compile(r"[\u0000-\u001f\u007f]")
_LINE, _LINES = re.compile(LINE[1:-1]), re.compile(LINES[1:-1])
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")
JSON_DEPTH, JSON_ITEMS, JSON_KEY, JSON_TEXT = 3, 100, 100, 10_000

T = TypeVar("T")
Day, Moment = date, datetime


def absent() -> Any:
    """Return the default of a field that may be left out and may not be null."""
    return Field(default_factory=lambda: None)


class Body(BaseModel):
    """What a client sends: nothing but the fields it names."""

    model_config = ConfigDict(extra="forbid", alias_generator=camel_case, protected_namespaces=())


class Item(BaseModel):
    """What every resource shows."""

    model_config = ConfigDict(alias_generator=camel_case, protected_namespaces=(), extra="forbid")

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime


class Meta(BaseModel):
    """About the answer."""

    model_config = ConfigDict(alias_generator=camel_case)

    request_id: str
    timestamp: datetime


class Pagination(BaseModel):
    """Where the page stands; `total` is only there when it was asked for."""

    model_config = ConfigDict(alias_generator=camel_case)

    limit: int
    next_cursor: str | None
    has_more: bool
    total: int = absent()


class Data(BaseModel, Generic[T]):
    """A success."""

    data: T
    meta: Meta


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    data: list[T]
    meta: Meta
    pagination: Pagination


def _as_bool(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _as_int(value: object) -> object:
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _time_text(value: object) -> object:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("must be a date-time of RFC 3339")
    if not isinstance(value, str | datetime):
        raise ValueError("must be text")  # noqa: TRY004 - pydantic reports a ValueError
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # an offset that leaves the years 1 to 9999
        return value.replace(tzinfo=UTC)


def _date_text(value: object) -> object:
    if not (isinstance(value, str) and _DATE.fullmatch(value)) and not isinstance(value, date):
        raise ValueError("must be a date like 2026-01-31")
    return value


def _uuid_text(value: object) -> object:
    if isinstance(value, str) and len(value) != 36:  # noqa: PLR2004 - pydantic takes other notations too
        raise ValueError("must be a UUID like 01890a5d-ac96-774b-bcce-b302099a8057")
    return value


class _NoControl:
    """Marks text whose own pattern might let control characters through."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Refuse them behind the pattern."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say so in the document."""
        return {**handler(schema), "allOf": [{"pattern": LINE}]}

    @staticmethod
    def _check(value: str) -> str:
        if _CONTROL.search(value):
            raise ValueError("must not hold control characters")
        return value


NO_CONTROL = _NoControl()
Line = Annotated[str, Field(pattern=LINE)]
Lines = Annotated[str, Field(pattern=LINES)]
Email = Annotated[str, Field(min_length=6, max_length=254, pattern=EMAIL), AfterValidator(str.lower)]
Url = Annotated[str, Field(max_length=2048, pattern=URL)]
WHOLE = BeforeValidator(_whole)
"""Stands last in the type of an integer: JSON Schema takes 2.0 for one."""
Int = Annotated[StrictInt, Field(ge=INT_MIN, le=INT_MAX), WHOLE]
BigInt = Annotated[StrictInt, Field(ge=-SAFE_INTEGER, le=SAFE_INTEGER), WHOLE]
Float = Annotated[StrictFloat, Field(ge=-1e300, le=1e300, allow_inf_nan=False)]
Time = Annotated[AwareDatetime, BeforeValidator(_time_text), AfterValidator(_utc)]
Date = Annotated[date, BeforeValidator(_date_text)]
Id = Annotated[UUID, BeforeValidator(_uuid_text)]
QueryBool = Annotated[StrictBool, BeforeValidator(_as_bool)]
FROM_TEXT = BeforeValidator(_as_int)
"""Stands last in the type of an integer that travels in a query string."""


@dataclass(frozen=True)
class Decimals:
    """Marks a decimal that travels as text, so that no client rounds it: `Annotated[Decimal, Decimals(10, 2)]`."""

    precision: int
    scale: int
    minimum: Decimal | None = None
    maximum: Decimal | None = None

    @property
    def pattern(self) -> str:
        """What the text looks like."""
        whole = self.precision - self.scale
        sign = "" if self.minimum is not None and self.minimum >= 0 else "-?"
        digits = f"(0|[1-9][0-9]{{0,{whole - 1}}})" if whole else "0"
        return f"^{sign}{digits}(\\.[0-9]{{1,{self.scale}}})?$" if self.scale else f"^{sign}{digits}$"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Parse the text before pydantic sees it."""
        return core_schema.no_info_before_validator_function(self._parse, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the text."""
        return {"type": "string", "pattern": self.pattern}

    def _parse(self, value: object) -> Decimal:
        if not isinstance(value, Decimal) and not (isinstance(value, str) and re.fullmatch(self.pattern, value)):
            raise ValueError(f"must be a decimal as text, like {Decimal(1).scaleb(-self.scale)}")
        number = Decimal(value)
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"must be at least {self.minimum}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"must be at most {self.maximum}")
        return number


def _json_schema(depth: int) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "number", "minimum": -SAFE_INTEGER, "maximum": SAFE_INTEGER},
        {"type": "string", "maxLength": JSON_TEXT, "pattern": LINES},
    ]
    if depth:
        inner = _json_schema(depth - 1)
        names = {"pattern": LINE, "maxLength": JSON_KEY}
        kinds += [
            {"type": "array", "items": inner, "maxItems": JSON_ITEMS},
            {"type": "object", "additionalProperties": inner, "propertyNames": names, "maxProperties": JSON_ITEMS},
        ]
    return {"anyOf": kinds}


def _check_json(value: Any, depth: int = JSON_DEPTH) -> Any:
    if isinstance(value, str):
        _check_text(value, _LINES, JSON_TEXT)
    elif isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= SAFE_INTEGER):
        raise ValueError("numbers must be within 2^53")
    elif isinstance(value, list | dict):
        if not depth:
            raise ValueError(f"may be {JSON_DEPTH} levels deep")
        if len(value) > JSON_ITEMS:
            raise ValueError(f"may hold {JSON_ITEMS} values at each level")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_json(inner, depth - 1)
        for name in value if isinstance(value, dict) else ():
            _check_text(name, _LINE, JSON_KEY)
    return value


def _check_text(text: str, allowed: re.Pattern[str], longest: int) -> None:
    if len(text) > longest or not allowed.fullmatch(text):
        raise ValueError(f"text may have {longest} characters and no control characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text must be valid Unicode") from error


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("must not be null")
    return value


Json = Annotated[
    Any,
    AfterValidator(_check_json),
    AfterValidator(_not_null),
    WithJsonSchema({"anyOf": _json_schema(JSON_DEPTH)["anyOf"][1:]}),
]
JsonOrNull = Annotated[Any, AfterValidator(_check_json), WithJsonSchema(_json_schema(JSON_DEPTH))]


class PageQuery(BaseModel):
    """The query string of a list."""

    model_config = ConfigDict(extra="forbid", alias_generator=camel_case, protected_namespaces=())

    limit: Annotated[StrictInt, Field(ge=1, le=100), FROM_TEXT] = 20
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)] | None = None
    total: QueryBool = False
    sort: str = "-createdAt"
