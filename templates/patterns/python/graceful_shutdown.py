"""Graceful shutdown for an ASGI server: not ready first, then no new connections, then the work in flight, then pools.

Guarantees: after SIGTERM `/readyz` fails at once while requests are still served for `lead` seconds, so that load
    balancers stop sending before the socket closes; requests in flight get up to `drain` seconds; `on_stop` runs after
    the last of them. A second signal ends the waiting. An application that cannot start ends the process with 3.
Needs: uvicorn >= 0.36. In Kubernetes terminationGracePeriodSeconds > lead + drain + time of on_stop.
Fails: requests that outlive `drain` are cancelled (the client gets a 500 or a closed connection); the process still
    ends with 0.
Prove: pytest test_graceful_shutdown.py

`lead` covers the time in which endpoints learn that the pod is going: 5 to 15 seconds in Kubernetes, 0 on a laptop.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType


class Readiness:
    """What `/readyz` asks: `if not readiness.ready: answer 503`."""

    ready = True


class Server(uvicorn.Server):
    """A uvicorn server that waits `lead` seconds between the signal and closing its socket."""

    def __init__(self, config: uvicorn.Config, readiness: Readiness, lead: float) -> None:
        super().__init__(config)
        self._readiness, self._lead = readiness, lead
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start, and remember the loop that signals have to reach."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown at the first signal, hurry at the second."""
        first, self._readiness.ready = self._readiness.ready, False
        if first and self._loop is not None and self._lead > 0:
            self._loop.call_soon_threadsafe(self._loop.call_later, self._lead, self._close)
        else:
            super().handle_exit(sig, frame)

    def _close(self) -> None:
        self.should_exit = True


def serve(
    app: Any,
    readiness: Readiness,
    *,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    lead: float = 10.0,
    drain: float = 20.0,
    **config: Any,
) -> None:
    """Serve `app` until SIGTERM or SIGINT, then stop as the module says; `lead` and `drain` are seconds.

    `on_stop` is for what the application's own lifespan does not close.

    Raises:
        SystemExit: 3, the application did not start; uvicorn has logged why.
    """
    settings = uvicorn.Config(app, timeout_graceful_shutdown=round(drain), **config)
    server = Server(settings, readiness, lead)

    async def run() -> None:
        try:
            await server.serve()
        finally:
            if on_stop is not None:
                await on_stop()

    # uvicorn raises the signal again after its shutdown; by then the work is done and the process shall end with 0.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        runner.run(run())
    if not server.started:
        raise SystemExit(3)
