"""Runs a Python project's own migration tool, with the project's own interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 120


def interpreter(project: Path, module: str) -> str:
    """Return the Python of the project: its virtual environment's, else the active one's, else this one."""
    folder = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    places = [
        project / ".venv",
        project / "venv",
        *([Path(os.environ["VIRTUAL_ENV"])] if "VIRTUAL_ENV" in os.environ else []),
    ]
    for place in places:
        if (place / folder).is_file():
            return str(place / folder)
    from importlib.util import find_spec

    if find_spec(module) is not None:
        return sys.executable
    return shutil.which("python3") or shutil.which("python") or sys.executable


def run(project: Path, module: str, arguments: Sequence[str], *, shown: str | None = None) -> str:
    """Return what a command of the project prints on standard output; `shown` names it in an error.

    Raises:
        UnavailableError: it cannot run; the message is its last line.
    """
    command = [interpreter(project, module), *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command, cwd=project, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment
        )
        failed, message = done.returncode != 0, done.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, message = True, str(error)
    if failed:
        last = message.splitlines()[-1] if message else "no output"
        raise UnavailableError(
            f"`{shown or ' '.join(command)}` failed: {last}",
            code="project-tool-failed",
            where=str(project),
            hint=f"Make {module} run in this project first (its virtual environment, its settings), then call again.",
        )
    return done.stdout
