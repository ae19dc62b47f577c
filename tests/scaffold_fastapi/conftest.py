"""Rendered projects, and the environment that their lock gives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from senior_backend.console.environment import build
from senior_backend.console.files import write_atomically
from senior_backend.scaffold.model import Service
from senior_backend.scaffold.stacks import fastapi as stack
from tests.scaffold_fastapi import models


def write(folder: Path, service: Service) -> Path:
    """Write a whole new project and return its folder."""
    first = stack.migration(None, service, number=1, down_revision=None)
    assert first.file is not None
    for file in [*stack.render(service), first.file]:
        write_atomically(folder / file.path, file.content, 0o600 if file.secret else None)
    return folder


class Project:
    """A generated project on disk."""

    def __init__(self, folder: Path, service: Service, python: str) -> None:
        self.folder, self.service, self.python = folder, service, python

    def run(
        self, *arguments: str, check: bool = True, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run its interpreter in its folder."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {"NO_COLOR": "1", "PYTHONPATH": str(self.folder), **(variables or {})}
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with the packages of generated projects."""
    lock = next(file for file in stack.render(models.ONE) if file.path == "requirements-dev.txt")
    path = tmp_path_factory.mktemp("lock") / "requirements-dev.txt"
    path.write_text(lock.content)
    return str(build(path, "fastapi"))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, python: str) -> Project:
    """Three resources with references, an owner, a link and actions."""
    return Project(write(tmp_path_factory.mktemp("shop"), models.SHOP), models.SHOP, python)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, python: str) -> Project:
    """One resource without accounts; errors in the envelope, If-Match required."""
    return Project(write(tmp_path_factory.mktemp("plain"), models.PLAIN), models.PLAIN, python)
