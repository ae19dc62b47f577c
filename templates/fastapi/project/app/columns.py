"""Column types, chosen so that what a driver returns is nearly what JSON shows.

PostgreSQL has its own type for each. SQLite keeps identifiers and times as text whose order is their order.
"""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from secrets import randbits
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

metadata = sa.MetaData()

ID = sa.Uuid().with_variant(sa.String(36), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
DATE = sa.Date().with_variant(sa.String(10), "sqlite")


class Exact(sa.TypeDecorator[Decimal]):
    """A decimal that is exact everywhere: NUMERIC, and on SQLite an integer of its smallest unit."""

    impl = sa.Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale)
        self.precision, self.scale = precision, scale

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Return the type that the database has for it."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.BigInteger())
        return dialect.type_descriptor(sa.Numeric(self.precision, self.scale))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Return what the driver is given."""
        if value is None or dialect.name != "sqlite":
            return value
        return int(value.scaleb(self.scale))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the decimal that the database holds."""
        if value is None or dialect.name != "sqlite":
            return value  # type: ignore[no-any-return]
        return Decimal(value).scaleb(-self.scale)


class Document(sa.TypeDecorator[Any]):
    """Any JSON value: JSONB, and text on SQLite. A row gives it as the text it is, ready to be sent."""

    impl = postgresql.JSONB
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Return the type that the database has for it."""
        return dialect.type_descriptor(sa.Text() if dialect.name == "sqlite" else postgresql.JSONB())

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:  # noqa: ARG002
        """Return what turns a value into what the driver is given."""
        return lambda value: None if value is None else orjson.dumps(value).decode()


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def new_id() -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562): unguessable, and later ones sort later."""
    milliseconds = time.time_ns() // 1_000_000
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | randbits(12) << 64 | 0b10 << 62 | randbits(62))
