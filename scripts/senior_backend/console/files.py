"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from senior_backend.console.errors import UnavailableError


def write_atomically(path: Path, content: str | bytes, mode: int | None = None) -> None:
    """Write `content` to `path` through a temporary file in the same folder and a rename.

    A symbolic link at `path` is replaced, not followed. Text is written as UTF-8 with the newlines it has.
    An existing file keeps its permissions unless `mode` is given.

    Raises:
        UnavailableError: the folder or file cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode is None:
            mode = path.stat().st_mode & 0o7777 if path.is_file() else 0o666 & ~_umask()
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise UnavailableError(
            f"cannot write {path}: {error.strerror or error}",
            code="not-writable",
            where=str(path),
            hint="Check that the folder exists, is writable and has free space, or name another place.",
        ) from error


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
