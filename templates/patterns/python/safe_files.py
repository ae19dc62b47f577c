"""Files of strangers: uploads under names of ours, paths that cannot leave their folder.

Guarantees: `safe_path` returns only paths inside the folder, whatever `..`, absolute names, symbolic links or similar
    prefixes (`/srv/uploads-private` beside `/srv/uploads`) are tried; `store_upload` writes at most `limit` bytes, of
    an allowed type by their first bytes, under a random name, whole or not at all, never executable; `extract_zip`
    refuses bombs, links and paths that leave.
Needs: the standard library.
Fails: `Refused` with a reason for your log; nothing stays on disk. Types are told by signatures: serve uploads from
    another domain with `Content-Disposition: attachment` and `X-Content-Type-Options: nosniff` all the same.
Prove: pytest test_safe_files.py
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Collection
    from pathlib import Path

SIGNATURES: Final = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "pdf": (b"%PDF-",),
    "zip": (b"PK\x03\x04",),
}
LONGEST_SIGNATURE = 16
UNUSABLE: Final = (zipfile.BadZipFile, zlib.error, EOFError, FileExistsError, NotADirectoryError, RuntimeError)


class Refused(Exception):  # noqa: N818 - an outcome
    """The file or name is not acceptable."""


def safe_path(folder: Path, name: str) -> Path:
    """Return the real path of `name` inside `folder`; it need not exist yet.

    Raises:
        Refused: it lies elsewhere, or is the folder itself.
    """
    if "\0" in name or "\\" in name:
        raise Refused("the name has a character that no file of ours has")
    base = folder.resolve(strict=True)
    try:
        path = (base / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a lone surrogate
        raise Refused("the path cannot be resolved") from error
    if path == base or not path.is_relative_to(base):
        raise Refused("the path leaves its folder")
    return path


async def store_upload(folder: Path, chunks: AsyncIterable[bytes], *, allowed: Collection[str], limit: int) -> Path:
    """Write the upload to a random name in `folder` and return its path; `limit` is in bytes.

    Raises:
        Refused: it is empty, too large, or not of an allowed type.
    """
    temporary = folder / f".{secrets.token_hex(16)}.part"
    head, size = b"", 0
    try:
        # O_EXCL and O_NOFOLLOW: the file is new and no link. 0600: no one else reads it, no one runs it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise Refused(f"more than {limit} bytes")
                head = (head + chunk)[:LONGEST_SIGNATURE] if len(head) < LONGEST_SIGNATURE else head
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        kind = next((kind for kind in allowed if head.startswith(SIGNATURES[kind])), None)
        if kind is None:
            raise Refused("not a file of an allowed type")
        path = folder / f"{secrets.token_urlsafe(16)}.{kind}"
        temporary.rename(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    return path


def extract_zip(archive: Path, folder: Path, *, limit: int, files: int = 1000, ratio: int = 100) -> list[Path]:
    """Extract into the empty `folder`: at most `files` files, `limit` bytes, and `ratio` times the archive's size.

    Raises:
        Refused: the archive is broken, too much, or has a link or a path that leaves.
        OSError: the disk is full, or likewise. The folder is emptied again in both cases.
    """
    left = min(limit, archive.stat().st_size * ratio)
    written: list[Path] = []
    try:
        with zipfile.ZipFile(archive) as source:
            entries = source.infolist()
            if len(entries) > files:
                raise Refused(f"more than {files} files")
            for entry in entries:
                if entry.is_dir():
                    continue
                if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                    raise Refused("a symbolic link")
                path = safe_path(folder, entry.filename)
                path.parent.mkdir(parents=True, exist_ok=True)
                with source.open(entry) as reader, path.open("xb") as writer:
                    written.append(path)
                    # Sizes in the directory are claims; what comes out is counted.
                    while chunk := reader.read(65536):
                        left -= len(chunk)
                        if left < 0:
                            raise Refused("more than the archive may hold")
                        writer.write(chunk)
    except BaseException as error:
        _remove(folder, written)
        if isinstance(error, UNUSABLE) or (isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG):
            raise Refused(f"not a usable archive: {error}") from error
        raise
    return written


def _remove(folder: Path, paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):  # no directory, or one that is not empty: it was there before
            path.rmdir()
