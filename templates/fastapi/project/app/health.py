"""Probes and metrics. Liveness asks nothing of other systems; readiness asks the database, with a limit of time."""

import asyncio
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app import errors
from app.db import Database, DatabaseUnavailableError

TIMEOUT_SECONDS = 2.0
_ping: sa.Select[Any] = sa.select(sa.literal_column("1"))
log = structlog.get_logger()
router = APIRouter(include_in_schema=False)


@router.get("/livez")
async def live() -> Response:
    """Answer while the process runs."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/readyz")
async def ready(request: Request) -> Response:
    """Answer 200 when requests can be served, 503 when the database is away or the service is stopping."""
    if not request.app.state.readiness.ready:
        return errors.answer(request, 503, "The service is stopping", headers={"Retry-After": "1"})
    db: Database = request.app.state.db
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await db.rows(_ping, {})
    except (DatabaseUnavailableError, TimeoutError) as error:
        log.warning("not ready", reason=str(error))
        return errors.answer(request, 503, "The database does not answer", headers={"Retry-After": "1"})
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/metrics")
async def metrics() -> Response:
    """Answer with the metrics of this process."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
