"""Name look-ups in threads of our own: one for each distinct name, so that stalling names hold up nobody else.

The default executor of asyncio has as few as six threads; a hundred names that stall for half a second then make every
healthy name time out. Threads are daemons: a look-up cannot be cancelled, and must not keep the process alive.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

from senior_backend.health.steps import Failure

MAX_THREADS = 256


class Workers:
    """Daemon threads made on demand, up to `limit`; results are handed to `deliver` from the thread."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._lock = threading.Lock()

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task` in a thread as soon as one is free."""
        with self._lock:
            self._tasks.put(task)
            if self._tasks.qsize() > self._idle and self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            task = self._tasks.get()
            with self._lock:
                self._idle -= 1
            task()


class Lookup:
    """One name's look-up: pending, started, then with `addresses` or `failure`."""

    __slots__ = ("addresses", "failure", "started", "waiting")

    def __init__(self) -> None:
        self.started = False
        self.addresses: tuple[tuple[int, str], ...] = ()
        self.failure: Failure | None = None
        self.waiting: list[Any] | None = []


Getaddrinfo = Callable[[str], list[tuple[Any, ...]]]


def system_getaddrinfo(host: str) -> list[tuple[Any, ...]]:
    """Ask the operating system, as every client of the service does."""
    # Bytes spare the import of the IDNA tables, which costs ten milliseconds in the middle of the measurements.
    name: str | bytes = host.encode() if host.isascii() else host
    return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)


class Resolver:
    """Resolves names through the operating system's resolver, each name once in a run.

    `completed` is called from a thread with the finished look-up.
    """

    def __init__(self, completed: Callable[[Lookup], None], getaddrinfo: Getaddrinfo = system_getaddrinfo) -> None:
        self._completed = completed
        self._getaddrinfo = getaddrinfo
        self._lookups: dict[str, Lookup] = {}
        self._workers = Workers(MAX_THREADS, "dns")

    def find(self, host: str) -> Lookup:
        """Return the look-up of `host`, begun now if it is the first; it has ended when `waiting` is None."""
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = Lookup()
            literal = _literal(host)
            if literal is not None:
                lookup.addresses, lookup.waiting = (literal,), None
            else:
                self._workers.submit(lambda: self._resolve(host, lookup))
        return lookup

    def addresses(self, host: str) -> tuple[str, ...]:
        """Return the addresses that a name was found to have, none for a literal."""
        found = self._lookups.get(host)
        return tuple(address for _, address in found.addresses) if found and _literal(host) is None else ()

    def forget(self) -> None:
        """Ask again for names that failed, for `--wait` and `--watch`."""
        self._lookups = {host: found for host, found in self._lookups.items() if found.addresses and _literal(host)}

    def any_name_resolved(self) -> bool:
        """Whether the resolver gave an address for some name besides literals and localhost."""
        return any(
            found.addresses and host != "localhost" and _literal(host) is None for host, found in self._lookups.items()
        )

    def _resolve(self, host: str, lookup: Lookup) -> None:
        lookup.started = True
        try:
            found = self._getaddrinfo(host)
            lookup.addresses = tuple(dict.fromkeys((int(entry[0]), str(entry[4][0])) for entry in found))
            if not lookup.addresses:
                lookup.failure = Failure("dns_nxdomain", host)
        except socket.gaierror as error:
            absent = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5))
            lookup.failure = Failure("dns_nxdomain" if absent else "dns_failure", f"{host}: {error.strerror}")
        except (OSError, UnicodeError) as error:
            lookup.failure = Failure("dns_failure", f"{host}: {error}")
        self._completed(lookup)


def _literal(host: str) -> tuple[int, str] | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return int(family), host
    return None
