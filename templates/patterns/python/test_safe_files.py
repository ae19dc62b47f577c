"""Proof of safe_files.py: paths that try to leave, uploads that lie about themselves, archives that explode."""

from __future__ import annotations

import asyncio
import stat
import zipfile
from typing import TYPE_CHECKING

import pytest

from safe_files import Refused, extract_zip, safe_path, store_upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    (tmp_path / "uploads-private").mkdir()
    (tmp_path / "uploads-private" / "secret").write_text("s")
    (folder / "link").symlink_to(tmp_path / "uploads-private")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "../uploads-private/secret",
        "..",
        ".",
        "",
        "a/../../uploads-private/secret",
        "/etc/passwd",
        "link/secret",
        "link/../secret/../../uploads-private/secret",
        "a\0b",
        "..\\secret",
    ],
)
def test_paths_that_leave_are_refused(uploads: Path, name: str) -> None:
    with pytest.raises(Refused):
        safe_path(uploads, name)


@pytest.mark.parametrize("name", ["a.png", "a/b.png", "a/../b.png", "..a", "ä.png"])
def test_paths_inside_are_allowed(uploads: Path, name: str) -> None:
    assert safe_path(uploads, name).is_relative_to(uploads.resolve())


async def pieces(data: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_an_upload_gets_a_name_and_rights_of_ours(uploads: Path) -> None:
    path = asyncio.run(store_upload(uploads, pieces(PNG), allowed=["png", "jpeg"], limit=1000))
    assert path.read_bytes() == PNG
    assert path.suffix == ".png"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("data", "limit"), [(b"", 1000), (PNG, 50), (b"<svg onload=alert(1)>", 1000), (b"MZ" + PNG, 1000), (PNG[:7], 1000)]
)
def test_wrong_uploads_leave_nothing(uploads: Path, data: bytes, limit: int) -> None:
    before = set(uploads.iterdir())
    with pytest.raises(Refused):
        asyncio.run(store_upload(uploads, pieces(data), allowed=["png"], limit=limit))
    assert set(uploads.iterdir()) == before


def test_an_upload_that_breaks_off_leaves_nothing(uploads: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield PNG
        raise ConnectionResetError

    before = set(uploads.iterdir())
    with pytest.raises(ConnectionResetError):
        asyncio.run(store_upload(uploads, broken(), allowed=["png"], limit=1000))
    assert set(uploads.iterdir()) == before


def archive(path: Path, entries: dict[str, bytes], *, link: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(entry, "/etc/passwd")
    return path


def test_a_good_archive_is_extracted(tmp_path: Path, uploads: Path) -> None:
    source = archive(tmp_path / "a.zip", {"a.txt": b"a", "d/b.txt": b"b"})
    assert [path.read_bytes() for path in extract_zip(source, uploads, limit=100)] == [b"a", b"b"]


def test_bad_archives_leave_no_file(tmp_path: Path, uploads: Path) -> None:
    garbage = tmp_path / "g.zip"
    garbage.write_bytes(b"PK\x03\x04 nonsense")
    for number, source in enumerate(
        [
            archive(tmp_path / "slip.zip", {"ok.txt": b"a", "../evil.txt": b"b"}),
            archive(tmp_path / "bomb.zip", {"zeros": b"\0" * 10_000_000}),
            archive(tmp_path / "many.zip", {f"{n}": b"" for n in range(1001)}),
            archive(tmp_path / "link.zip", {"ok.txt": b"a"}, link="passwd"),
            garbage,
        ]
    ):
        folder = uploads / str(number)
        folder.mkdir()
        with pytest.raises(Refused):
            extract_zip(source, folder, limit=1_000_000)
        assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "evil.txt").exists()


def test_odd_names_are_refused(uploads: Path) -> None:
    (uploads / "loop").symlink_to("loop")
    for name in ("\ud800", "loop/x"):
        with pytest.raises(Refused):
            safe_path(uploads, name)


def test_unusable_archives_leave_nothing_and_what_was_there_before_stays(tmp_path: Path, uploads: Path) -> None:
    broken = archive(tmp_path / "broken.zip", {"d/ok.txt": b"a", "data": bytes(range(256)) * 40})
    content = bytearray(broken.read_bytes())
    start = content.find(b"data", 60) + 4
    content[start : start + 20] = b"\xff" * 20
    broken.write_bytes(content)
    for number, source in enumerate(
        [
            archive(tmp_path / "long.zip", {"d/ok.txt": b"a", "n" * 300: b"b"}),
            archive(tmp_path / "file.zip", {"a": b"a", "a/b/c": b"b"}),
            archive(tmp_path / "slip2.zip", {"d/ok.txt": b"a", "../evil.txt": b"b"}),
            broken,
        ]
    ):
        folder = uploads / str(number)
        folder.mkdir()
        with pytest.raises(Refused):
            extract_zip(source, folder, limit=1_000_000)
        assert list(folder.rglob("*")) == []
    kept = uploads / "a.txt"
    kept.write_text("mine")
    with pytest.raises(Refused):
        extract_zip(archive(tmp_path / "again.zip", {"b.txt": b"b", "a.txt": b"theirs"}), uploads, limit=100)
    assert kept.read_text() == "mine"
    assert not (uploads / "b.txt").exists()
