"""A private environment for a tool's packages, so that nothing is ever installed into the user's own.

It lives in the user's cache folder, is built once for each locked requirements file and Python, by uv where
that is on PATH and by venv and pip elsewhere, and every package is checked against its locked hash.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from senior_backend.console.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Most runs find their packages: what an environment is built with is imported where it is built.

SKILL_ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = SKILL_ROOT / "requirements"
CACHE_VARIABLE = "SENIOR_BACKEND_CACHE"
ENTERED_VARIABLE = "SENIOR_BACKEND_ENVIRONMENT"
INSTALL_TIMEOUT = 900.0
LOCK_TIMEOUT = 900.0


def cache_folder() -> Path:
    """Return the folder for what can be rebuilt: `SENIOR_BACKEND_CACHE`, else the platform's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "senior-backend"


def missing(modules: Sequence[str]) -> list[str]:
    """Return those top-level modules that this interpreter cannot import."""
    from importlib.util import find_spec

    return [module for module in modules if find_spec(module) is None]


def ensure(group: str, modules: Sequence[str]) -> None:
    """Return when all `modules` can be imported; else start this program again in the private environment of `group`.

    Call it before any work: the program runs again from its first line.

    Raises:
        UnavailableError: the environment cannot be built, or lacks a module.
    """
    absent = missing(modules)
    if not absent:
        return
    requirements = REQUIREMENTS / f"{group}.txt"
    if os.environ.get(ENTERED_VARIABLE) == group:
        raise UnavailableError(
            f"the private environment has no module {', '.join(absent)}",
            code="environment-broken",
            where=sys.prefix,
            hint=f"Delete {Path(sys.prefix)} and run the command again.",
        )
    python = build(requirements, group)
    _restart(python, group)


def build(requirements: Path, name: str, *, say: bool = True) -> Path:
    """Return the interpreter of an environment that holds `requirements`; build it where it is not there yet.

    Raises:
        UnavailableError: no folder can be written, or a package cannot be had.
    """
    import hashlib
    import shutil

    content = requirements.read_bytes()
    key = hashlib.sha256(content + sys.version.encode() + sys.executable.encode()).hexdigest()[:16]
    folder = _writable_cache() / "environments" / f"{name}-{key}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    complete = folder / ".complete"
    if complete.exists():
        return python
    with _locked(folder.with_name(folder.name + ".lock")):
        if complete.exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        if say:
            sys.stderr.write(f"senior-backend: preparing its packages once, in {folder}\n")
            sys.stderr.flush()
        try:
            _install(folder, python, requirements)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        complete.touch()
    return python


def _install(folder: Path, python: Path, requirements: Path) -> None:
    import shutil

    uv = shutil.which("uv")
    if uv:
        _call([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)], requirements)
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        # Debian ships Python without ensurepip; a pip of 22.3 or newer can install into an environment without one.
        bare = bool(missing(["ensurepip"]))
        _call([sys.executable, "-m", "venv", *(["--without-pip"] if bare else []), str(folder)], requirements)
        pip = [sys.executable, "-m", "pip", "--python", str(python)] if bare else [str(python), "-m", "pip"]
        install = [*pip, "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    _call([*install, "--require-hashes", "-r", str(requirements)], requirements)


def _call(command: list[str], requirements: Path) -> None:
    import subprocess

    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False, env=environment
        )
        failure = done.stderr.strip() or done.stdout.strip() if done.returncode else ""
        failed = done.returncode != 0
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, failure = True, str(error)
    if failed:
        last = failure.splitlines()[-1] if failure else "no output"
        raise UnavailableError(
            f"its packages cannot be installed: {last}",
            code="packages-missing",
            where=str(requirements),
            hint="Give this machine access to a Python package index, or install the packages yourself: "
            f"python3 -m venv ENV && ENV/bin/pip install -r {requirements}, then run the script with ENV/bin/python. "
            "On Debian and Ubuntu, `apt install python3-venv` may be missing. `uv run SCRIPT` works too.",
        )


def _restart(python: Path, group: str) -> NoReturn:
    arguments = [str(python), *sys.orig_argv[1:]]
    environment = {**os.environ, ENTERED_VARIABLE: group}
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        import subprocess

        raise SystemExit(subprocess.call(arguments, env=environment))
    os.execve(python, arguments, environment)  # noqa: S606 - our own interpreter, no shell


def _writable_cache() -> Path:
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    import tempfile

    # A home that cannot be written (containers, CI): a folder of this user alone under the temporary one.
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    fallback = Path(tempfile.gettempdir()) / f"senior-backend-{owner}"
    fallback.mkdir(mode=0o700, exist_ok=True)
    status = fallback.lstat()
    if fallback.is_symlink() or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
        raise UnavailableError(
            f"{fallback} belongs to somebody else",
            code="cache-not-writable",
            where=str(fallback),
            hint=f"Set {CACHE_VARIABLE} to a folder that you can write.",
        )
    return fallback


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_TIMEOUT
    with path.open("a") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise UnavailableError(
                    "another process has been preparing the same packages for too long",
                    code="environment-locked",
                    where=str(path),
                    hint="End that process, or delete the lock file, and run the command again.",
                )
            time.sleep(0.2)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
