# mypy: ignore-errors
"""Users with FastAPI and SQLAlchemy's ORM, put together as the well-known FastAPI templates do.

A session per request from a generator dependency, a bearer dependency that verifies a JWT and, with LOAD_USER=1,
loads its user through the session, `response_model` for every answer, one middleware. It does less than a generated
service: no idempotency, no ETag, no rate limit, no metrics, no structured log.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, DateTime, String, Uuid, event, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECRET = os.environ["JWT_SECRET"]
LOAD_USER = os.environ.get("LOAD_USER") == "1"
engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=10, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
bearer = HTTPBearer()

if engine.dialect.name == "sqlite":

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()


class Base(DeclarativeBase):
    """Declarative base."""


class User(Base):
    """A user."""

    __tablename__ = "peer_users"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(64))
    is_active: Mapped[bool]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class UserOut(BaseModel):
    """A user as the service shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    email: str
    name: str
    role: str
    is_active: bool
    meta: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime


class UsersOut(BaseModel):
    """A page of users."""

    data: list[UserOut]


async def get_session() -> AsyncIterator[AsyncSession]:
    """Give a session for one request."""
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


async def get_caller(session: Session, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    """Return who calls."""
    try:
        claims = jwt.decode(credentials.credentials, SECRET, algorithms=["HS256"], audience="bench", issuer="bench")
    except jwt.PyJWTError as error:
        raise HTTPException(401) from error
    if LOAD_USER and await session.get(User, uuid.UUID(claims["sub"])) is None:
        raise HTTPException(401)
    return str(claims["sub"])


Caller = Annotated[str, Depends(get_caller)]


class Headers:
    """Adds a request id and two security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex.encode()

        async def out(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", request_id))
                message["headers"].append((b"x-content-type-options", b"nosniff"))
                message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        await self.app(scope, receive, out)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the tables, and let go of the connections at the end."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.add_middleware(Headers)


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Answer while the process runs."""
    return {"status": "ok"}


@app.get("/api/v1/users/{user_id}", response_model=UserOut)
async def read_user(user_id: uuid.UUID, session: Session, _caller: Caller) -> User:
    """Read one."""
    user = await session.get(User, user_id)
    if user is None:
        raise HTTPException(404)
    return user


@app.get("/api/v1/users", response_model=UsersOut)
async def list_users(
    session: Session, _caller: Caller, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> dict[str, Any]:
    """List users, newest first."""
    statement = select(User).order_by(User.created_at.desc(), User.id.desc()).limit(limit)
    return {"data": (await session.scalars(statement)).all()}
