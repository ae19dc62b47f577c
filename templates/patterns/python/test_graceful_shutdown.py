"""Proof of graceful_shutdown.py: a real server process gets SIGTERM with requests in flight."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import graceful_shutdown

MODULES = str(Path(graceful_shutdown.__file__).parent)
PROGRAM = """
import asyncio, contextlib, sys
from graceful_shutdown import Readiness, serve
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

readiness = Readiness()

async def ready(request):
    return PlainTextResponse("ok" if readiness.ready else "stopping", 200 if readiness.ready else 503)

async def slow(request):
    await asyncio.sleep(float(request.query_params["s"]))
    return PlainTextResponse("done")

async def on_stop():
    print("pools closed", flush=True)

@contextlib.asynccontextmanager
async def lifespan(app):
    if "broken" in sys.argv:
        raise RuntimeError("no database")
    yield

app = Starlette(routes=[Route("/readyz", ready), Route("/slow", slow)], lifespan=lifespan)
port, lead, drain = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
serve(app, readiness, on_stop=on_stop, lead=lead, drain=drain, port=port, log_level="warning")
"""


class Running:
    def __init__(self, lead: float, drain: float) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), str(lead), str(drain)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": MODULES},
        )
        for _ in range(200):
            try:
                httpx.get(f"{self.url}/readyz")
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.slow
def test_requests_in_flight_and_during_the_lead_are_answered_then_pools_close() -> None:
    async def run(server: Running) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
            in_flight = asyncio.create_task(client.get("/slow?s=2.5"))
            await asyncio.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/slow?s=0")).text == "done"
            await asyncio.sleep(1.2)
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{server.url}/readyz")
            assert (await in_flight).text == "done"

    with Running(lead=1.0, drain=10) as server:
        asyncio.run(run(server))
        output, _ = server.process.communicate(timeout=10)
        assert (output, server.process.returncode) == ("pools closed\n", 0)


def test_an_application_that_cannot_start_fails() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "0", "1", "1", "broken"],
        env={**os.environ, "PYTHONPATH": MODULES},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "pools closed\n"), done.stderr


@pytest.mark.slow
def test_a_request_that_never_ends_is_cut_off_after_the_drain() -> None:
    async def run(server: Running) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            hanging = asyncio.create_task(client.get("/slow?s=30"))
            await asyncio.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(httpx.TransportError):  # cut off before an answer could be written
                assert (await asyncio.wait_for(hanging, 10)).status_code == 500

    with Running(lead=0, drain=1) as server:
        asyncio.run(run(server))
        output, _ = server.process.communicate(timeout=10)
        assert (output, server.process.returncode) == ("pools closed\n", 0)
