"""Writes all changes of a run or none: a failure puts everything back, a killed run is undone by the next one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.errors import UnavailableError, UndecidedError
from senior_backend.scaffold.state import FOLDER, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

JOURNAL: Final = f"{FOLDER}/journal.json"


@dataclass(frozen=True, slots=True)
class Change:
    """One file to write (`new`) or to delete (`new` is None); `old` is what must be there now (None: nothing)."""

    path: str
    old: bytes | None
    new: bytes | None
    mode: int | None = None


def apply(root: Path, changes: Sequence[Change]) -> None:
    """Write `changes` below `root`, all or none.

    Raises:
        UnavailableError: something cannot be written; everything is as it was before.
        UndecidedError: a file changed since the plan was made, or another run is writing; nothing was written.
    """
    if not changes:
        return
    made: list[Path] = []
    done: list[Change] = []
    try:
        _make_folder(root, made)
        _make_folder(root / FOLDER, made)
        with journal(root, changes):
            try:
                for change in changes:
                    if read(root / change.path) != change.old:
                        raise UndecidedError(
                            f"{change.path} was changed while this run was at work",
                            code="changed-meanwhile",
                            where=str(root / change.path),
                            hint="Run the command again.",
                        )
                    done.append(change)
                    _carry_out(root, change, made)
                (root / JOURNAL).unlink()  # from here on the run has happened
            except BaseException:
                _undo(root, done)
                with contextlib.suppress(OSError):
                    (root / JOURNAL).unlink()
                raise
        _prune(root, changes)
    except OSError as error:
        _remove_folders(made)
        place = error.filename or root
        raise UnavailableError(
            f"cannot write {place}: {error.strerror or error}; everything is as it was before",
            code="not-writable",
            where=str(place),
            hint="Check permissions and free space, or name another place with --out.",
        ) from error
    except BaseException:
        _remove_folders(made)
        raise


def read(path: Path) -> bytes | None:
    """Return the content of a file, or None where there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def interrupted(root: Path) -> bool:
    """Whether a run that was killed left its journal in `root`."""
    return (root / JOURNAL).is_file()


def journal_paths(root: Path) -> list[str]:
    """Return the paths that an interrupted run wrote; whoever made the project may have made them up."""
    return [entry["path"] for entry in _entries(read(root / JOURNAL) or b"")]


def _entries(data: bytes) -> list[dict[str, Any]]:
    """Return the entries of a journal; one that was killed while it was written has none, and nothing else was."""
    try:
        entries = json.loads(data)["changes"]
        return [
            {"path": str(entry["path"]), "old": entry["old"], "new": entry["new"]}
            for entry in entries
            if entry["old"] is None or base64.b64decode(entry["old"], validate=True) is not None
        ]
    except (ValueError, KeyError, TypeError):
        return []


def repair(root: Path) -> int:
    """Undo what a killed run has written, and return how many files that were; what was edited since stays.

    Raises:
        UndecidedError: the other run is still at work.
        UnavailableError: a file cannot be written.
    """
    path = root / JOURNAL
    try:
        with path.open("rb") as file:
            _lock(file.fileno(), path)
            entries = _entries(file.read())
            undone = 0
            for entry in reversed(entries):
                place = root / entry["path"]
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    _temporary(place).unlink()
                current = read(place)
                old = None if entry["old"] is None else base64.b64decode(entry["old"])
                if current != old and (None if current is None else digest(current)) == entry["new"]:
                    _restore(place, old)
                    undone += 1
            path.unlink()
    except OSError as error:
        raise UnavailableError(
            f"an interrupted run cannot be undone: {error.strerror or error}",
            code="not-writable",
            where=str(error.filename or path),
            hint="Check permissions and free space.",
        ) from error
    _remove_folders([root / FOLDER])
    return undone


@contextlib.contextmanager
def journal(root: Path, changes: Sequence[Change]) -> Iterator[None]:
    """Hold the lock of a project with a journal of `changes` in it, which the caller removes when it is done.

    Raises:
        UndecidedError: another run has one.
    """
    path = root / JOURNAL
    data = {
        "changes": [
            {
                "path": change.path,
                "old": None if change.old is None else base64.b64encode(change.old).decode(),
                "new": None if change.new is None else digest(change.new),
            }
            for change in changes
        ]
    }
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise _busy(path) from None
    with os.fdopen(descriptor, "wb") as file:
        _lock(file.fileno(), path)
        try:
            file.write(json.dumps(data).encode())
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise
        yield


def _lock(descriptor: int, path: Path) -> None:
    if os.name == "nt":
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _busy(path) from None


def _busy(path: Path) -> UndecidedError:
    return UndecidedError(
        "another run is writing to this project",
        code="busy",
        where=str(path),
        hint="Wait for it, then run the command again.",
    )


def _carry_out(root: Path, change: Change, made: list[Path]) -> None:
    place = root / change.path
    if change.new is None:
        place.unlink()
        return
    _make_folder(place.parent, made)
    if change.old is None:
        _write(place, change.new, create=change.mode or 0o666)
    else:
        _write(place, change.new, exact=change.mode or place.stat().st_mode & 0o7777)


def _write(place: Path, content: bytes, *, create: int = 0o666, exact: int | None = None) -> None:
    """Write through a temporary file: a new one with the mode `create` less the umask, else with the mode `exact`.

    Only what replaces something of the user's is worth waiting for the disk.
    """
    temporary = _temporary(place)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), create)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if exact is not None:
                file.flush()
                os.fsync(file.fileno())
        if exact is not None:
            temporary.chmod(exact)
        temporary.replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _temporary(place: Path) -> Path:
    """A name that the next run finds again when this one is killed; the journal's lock keeps it ours."""
    return place.with_name(f".{place.name}.scaffold")


def _undo(root: Path, done: list[Change]) -> None:
    for change in reversed(done):
        with contextlib.suppress(OSError):
            place = root / change.path
            if read(place) != change.old:
                _restore(place, change.old)


def _restore(place: Path, old: bytes | None) -> None:
    if old is None:
        place.unlink(missing_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    _write(place, old, exact=place.stat().st_mode & 0o7777 if place.exists() else 0o644)


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir()
        made.append(path)


def _remove_folders(made: Sequence[Path]) -> None:
    for folder in reversed(made):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _prune(root: Path, changes: Sequence[Change]) -> None:
    """Remove the folders that deletions left empty but for the interpreter's cache."""
    for change in changes:
        if change.new is None:
            folder = (root / change.path).parent
            with contextlib.suppress(OSError):
                while folder != root:
                    if [entry.name for entry in folder.iterdir()] == ["__pycache__"]:
                        shutil.rmtree(folder / "__pycache__")
                    folder.rmdir()
                    folder = folder.parent
