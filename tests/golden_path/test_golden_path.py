"""The documented sequence from nothing to a load-tested service, each step by the real script, read by its JSON."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from senior_backend.console.environment import build
from tests.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SCHEMA = json.loads((ROOT / "scripts" / "senior_backend" / "console" / "envelope.schema.json").read_text())
SPEC = """\
service: shop
resources:
  user:
    identity: true
    fields: {email: {type: email, unique: true}, password: password, name: str(100), role: "enum(admin,user)=user"}
  tag:
    fields: {name: {type: str, length: 50, unique: true}}
  order:
    owner: user
    fields: {total: money, status: "enum(open,paid,cancelled):index=open"}
    links: [tag]
"""
PASSWORD = "golden path 1234"
HASTY = """\
from alembic import op

revision = "9f00000000aa"
down_revision = "{parent}"


def upgrade() -> None:
    op.create_index("ix_orders_updated_at", "orders", ["updated_at"])


def downgrade() -> None:
    op.drop_index("ix_orders_updated_at")
"""


def call(
    tool: str, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None, expected: int | None = 0
) -> dict[str, Any]:
    """Run a script with `--json`, check its exit code and envelope, and return the document."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / f"{tool}.py"), *arguments, "--json"],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == expected or expected is None, (
        f"{tool} {' '.join(arguments)}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    )
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert isinstance(document, dict)
    return document


def commands(document: Mapping[str, Any]) -> str:
    """Return the next commands that a step's document names."""
    return "\n".join(step["command"] for step in document["next"])


def measure(*arguments: str, cwd: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run the load test until its measurement is valid, three times at most: a busy machine makes it say 3."""
    for _ in range(2):
        document = call("load_test", *arguments, cwd=cwd, environment=environment, expected=None)
        if document["exit_code"] != 3:
            return document
    return call("load_test", *arguments, cwd=cwd, environment=environment, expected=None)


@pytest.fixture
def base_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A generated service, verified, with a field and an index added afterwards."""
    (tmp_path / "shop.yaml").write_text(SPEC)
    made = call("api_scaffold", "--spec", "shop.yaml", "--out", "shop", "--verify", cwd=tmp_path)
    assert made["data"]["verify"]["reached"] == "fast"
    folder = tmp_path / "shop"
    resources = folder / "resources.yaml"
    text = resources.read_text()
    assert "total: money" in text
    resources.write_text(text.replace("total: money", 'total: money, note: "text?"', 1))
    call("api_scaffold", "--out", ".", cwd=folder)
    call("api_scaffold", "--out", ".", "--check", cwd=folder)
    # As in a shell in which the project's virtual environment is active.
    active = str(build(folder / "requirements-dev.txt", "fastapi").parent.parent)
    # What production runs is checked and measured; printing SQL offline connects to nothing.
    environment = {"VIRTUAL_ENV": active, "DATABASE_URL": "postgresql://shop@db.example/shop"}
    new = call("db_migrate", "new", "add_index_on_orders_created_at", cwd=folder, environment=environment)
    assert "db_migrate.py lint" in commands(new)
    linted = call("db_migrate", "lint", cwd=folder, environment=environment)
    assert "db_migrate.py rehearse" in commands(linted)
    safe = call("db_migrate", "rewrite", cwd=folder, environment=environment)
    assert safe["summary"].startswith("nothing to rewrite")
    rehearsed = call("db_migrate", "rehearse", "--rows", "2000", cwd=folder, environment=environment)
    assert "CREATE INDEX CONCURRENTLY" in rehearsed["data"]["statements"][-1]["text"]
    assert "alembic upgrade head" in commands(rehearsed)
    # The same index as somebody in a hurry writes it: the tools say no, and write what replaces it.
    (revision,) = (folder / "migrations" / "versions").glob("*_add_index_on_orders_created_at.py")
    hasty = revision.with_name("9f00000000aa_hasty.py")
    hasty.write_text(HASTY.format(parent=revision.name.partition("_")[0]))
    refused = call("db_migrate", "lint", cwd=folder, environment=environment, expected=1)
    assert "db_migrate.py rewrite" in commands(refused)
    rewritten = call("db_migrate", "rewrite", str(hasty), cwd=folder, environment=environment)
    steps = rewritten["data"]["migrations"][-1]["folder"]
    assert f"db_migrate.py rehearse {steps}" in commands(rewritten)
    call("db_migrate", "rehearse", steps, "--rows", "2000", cwd=folder, environment=environment)
    shutil.rmtree(steps)
    hasty.unlink()
    return folder


@pytest.fixture
def service(project: Path, base_url: str) -> Iterator[Path]:
    """The service, migrated, with an admin, running at `base_url`."""
    python = str(build(project / "requirements-dev.txt", "fastapi"))
    environment = {**os.environ, "ADMIN_PASSWORD": PASSWORD, "PORT": base_url.rpartition(":")[2]}
    for command in (["alembic", "upgrade", "head"], ["app.cli", "create-admin", "admin@example.com"]):
        subprocess.run([python, "-m", *command], cwd=project, env=environment, check=True, timeout=60)
    running = subprocess.Popen(
        [python, "-m", "app"], cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield project
    finally:
        running.terminate()
        # uvicorn sends itself the signal again when everything is closed.
        assert running.wait(timeout=60) in (0, -signal.SIGTERM), "the service did not stop in good order"


@pytest.mark.timing
@pytest.mark.slow
def test_from_nothing_to_a_load_tested_service(service: Path, base_url: str) -> None:
    environment = {"BASE_URL": base_url, "LOAD_PASSWORD": PASSWORD}
    waited = call("health_check", "--services", "services.yaml", "--wait", "60s", cwd=service, environment=environment)
    assert waited["exit_code"] == 0
    load = ("--scenario", "load-scenario.yaml", "--slo", "p90<2s,errors<1%")
    tested = measure(*load, "--stages", "5s@20", "--html", "report.html", cwd=service, environment=environment)
    assert "find-max" in " ".join(step["command"] for step in tested["next"]), tested["summary"]
    assert "<svg" in (service / "report.html").read_text()
    assert tested["exit_code"] == 0, tested["summary"]
    found = measure(*load, "--find-max", "--duration", "2s", "--max-rate", "100", cwd=service, environment=environment)
    assert "requests/s" in found["summary"], found["summary"]
