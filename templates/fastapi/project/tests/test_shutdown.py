import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Service, start


def test_shutdown_finishes_what_is_in_flight(variables: dict[str, str], service: Service, tmp_path: Path) -> None:
    if service.process.poll() is not None:
        pytest.fail("the service died during the tests")
    running = start(variables, tmp_path / "log")
    answers: list[int] = []

    def slow() -> None:
        def body() -> Iterator[bytes]:
            yield b"{"
            arrived.set()
            finish.wait(10)
            yield b"}"

        headers = {"Content-Type": "application/json", "Authorization": "Bearer nope"}
        answers.append(httpx.post(f"{running.url}/nope", content=body(), headers=headers, timeout=30).status_code)

    arrived, finish = threading.Event(), threading.Event()
    thread = threading.Thread(target=slow)
    thread.start()
    assert arrived.wait(10)
    running.process.terminate()
    finish.set()
    thread.join(30)
    assert running.process.wait(30) in (0, -15)
    assert answers == [404]
    assert '"stopped"' in running.log.read_text()


def test_shutdown_is_announced_before_the_socket_closes(variables: dict[str, str], tmp_path: Path) -> None:
    running = start({**variables, "SHUTDOWN_LEAD_SECONDS": "1"}, tmp_path / "log")
    running.process.terminate()
    with running.client() as client:
        deadline = time.monotonic() + 0.8
        while client.get("/readyz").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
    assert running.process.wait(30) == 0
