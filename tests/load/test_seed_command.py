"""The documented command against a service that `api_scaffold.py` has made, started as its README says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from senior_backend.console.environment import build
from tests.documents import ROOT
from tests.load.demo import Outcome, call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = ("--endpoint", "/api/users", "--rps", "100")
PASSWORD = "seed command 1234"
TRIES = 5


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seed") / "svc"
    scaffold = [sys.executable, str(ROOT / "scripts" / "api_scaffold.py"), "--name", "user", "--crud"]
    subprocess.run([*scaffold, "--out", str(folder)], check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    python = str(build(project / "requirements-dev.txt", "fastapi"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # The project's own settings hold: a database that some other test or user names is not this one's.
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "BASE_URL")}
    environment = {**kept, "ADMIN_PASSWORD": PASSWORD, "PORT": str(port)}
    for command in (["alembic", "upgrade", "head"], ["app.cli", "create-admin", "admin@example.com"]):
        subprocess.run([python, "-m", *command], cwd=project, env=environment, check=True, timeout=60)
    running = subprocess.Popen(
        [python, "-m", "app"], cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(timeout=60)


def measured(*arguments: str, cwd: Path, url: str) -> Outcome:
    return call(*arguments, "--json", cwd=cwd, environment={"BASE_URL": url, "LOAD_PASSWORD": PASSWORD})


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.light
def test_the_seed_command_works_in_the_projects_folder(project: Path, url: str) -> None:
    """Where neighbours take the processor, the generator is late (3) or the service is slow (1): then once more."""
    for _ in range(TRIES):
        document = measured(*SEED, "--duration", "3s", "--warmup", "1s", cwd=project, url=url).document
        if document["exit_code"] == 0:
            break
    codes = [finding["code"] for finding in document["findings"]]
    assert document["exit_code"] == 0, document["summary"]
    assert "endpoint-resolved" in codes
    assert "signed-in" in codes
    assert set(document["data"]["statuses"]) == {"200"}
    assert [row["name"] for row in document["data"]["endpoints"]] == ["GET /api/v1/users"]
    assert document["data"]["requests"]["failed"] == 0


@pytest.mark.slow
def test_elsewhere_it_says_what_is_missing_and_measures_nothing(project: Path, url: str, tmp_path: Path) -> None:
    refused = measured(*SEED, cwd=tmp_path, url=url)
    assert refused.code == 4
    findings = refused.document["findings"]
    assert [finding["code"] for finding in findings] == ["not-allowed", "endpoint-resolved"]
    assert "--scenario FILE" in findings[0]["fix"]
    scenario = ("--scenario", str(project / "load-scenario.yaml"), "--duration", "1s", "--warmup", "0")
    document = measured(*SEED, *scenario, cwd=tmp_path, url=url).document
    assert set(document["data"]["statuses"]) == {"200"}
    mistaken = measured("--endpoint", "/api/usrs", cwd=tmp_path, url=url)
    assert mistaken.code == 2
    assert "--endpoint /api/v1/users" in mistaken.document["findings"][0]["fix"]
