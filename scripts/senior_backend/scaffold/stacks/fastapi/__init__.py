"""FastAPI, SQLAlchemy Core, Pydantic, Alembic and uvicorn."""

from __future__ import annotations

from senior_backend.scaffold.stacks.fastapi.migrations import heads, migration
from senior_backend.scaffold.stacks.fastapi.project import environment, next_commands, render
from senior_backend.scaffold.stacks.fastapi.routes import routes
from senior_backend.scaffold.stacks.fastapi.verification import verify

RESERVED_RESOURCES = ("account", "idempotency_key", "refresh_token", "auth", "resource", "service", "table")
"""Names whose table or module the generated code has for itself."""

__all__ = ["RESERVED_RESOURCES", "environment", "heads", "migration", "next_commands", "render", "routes", "verify"]
