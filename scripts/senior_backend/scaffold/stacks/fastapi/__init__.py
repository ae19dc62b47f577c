"""FastAPI, SQLAlchemy Core, Pydantic, Alembic and uvicorn."""

from __future__ import annotations

from senior_backend.scaffold.stacks.fastapi.migrations import heads, migration
from senior_backend.scaffold.stacks.fastapi.project import environment, next_commands, render
from senior_backend.scaffold.stacks.fastapi.routes import routes
from senior_backend.scaffold.stacks.fastapi.verification import verify

__all__ = ["environment", "heads", "migration", "next_commands", "render", "routes", "verify"]
