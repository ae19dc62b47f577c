"""One request of a caller whose token was verified."""

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from fastapi import Request

from app.config import Settings
from app.db import Database


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the subject of the token, and its roles; `id` is the subject where it is a UUID."""

    subject: str
    roles: frozenset[str]
    id: UUID | None


@dataclass(frozen=True, slots=True)
class Call:
    """A request and who made it; `sees_all` lifts the limit to one's own account."""

    request: Request
    caller: Caller
    sees_all: bool = False

    @property
    def db(self) -> Database:
        """The database of the service."""
        return cast("Database", self.request.app.state.db)

    @property
    def settings(self) -> Settings:
        """The settings of the service."""
        return cast("Settings", self.request.app.state.settings)

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None."""
        return self.request.headers.get(name)
