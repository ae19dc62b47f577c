#!/usr/bin/env python3
"""Run the whole test suite on a machine that has only Python: python3 tests/run.py [--checks] [pytest arguments].

The packages it needs go into a private environment in the user's cache folder. Tests that measure time run
afterwards: first those that take a small part of a core, two at a time, then the others, alone. `--checks` runs lint,
format and types as well, as CI does. With SENIOR_BACKEND_REQUIRE_SERVICES=1 a test whose server does not answer fails
instead of being skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from senior_backend.console.environment import REQUIREMENTS, build  # noqa: E402
from senior_backend.console.errors import ToolError  # noqa: E402

CHECKS = (
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
)


def main(arguments: list[str]) -> int:
    """Run the checks that are asked for and the passes of pytest; return the first exit code that is not 0."""
    try:
        python = str(build(REQUIREMENTS / "dev.txt", "dev"))
    except ToolError as error:
        sys.stderr.write(f"{error.message}\n{error.hint or ''}\n")
        return int(error.exit_code)
    if "--checks" in arguments:
        arguments = [argument for argument in arguments if argument != "--checks"]
        for check in CHECKS:
            code = _call([python, "-m", *check])
            if code:
                return code
    if arguments:
        return _call([python, "-m", "pytest", *arguments])
    # One process more than cores: the tests often wait for servers and for programs that they start.
    processes = str((os.cpu_count() or 1) + 1)
    passes = (
        ("-n", processes, "--dist", "loadgroup", "-m", "not timing"),
        ("-n", "2", "--dist", "worksteal", "-m", "timing and light"),
        ("-m", "timing and not light"),
    )
    for one in passes:
        code = _call([python, "-m", "pytest", *one])
        if code:
            return code
    return 0


def _call(command: list[str]) -> int:
    sys.stdout.write(f"$ {' '.join(['python', *command[1:]])}\n")
    sys.stdout.flush()
    # The tests start hundreds of interpreters: each would compile the same modules again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
