from __future__ import annotations

import io
from pathlib import Path

import pytest

from senior_backend.console.errors import UnavailableError
from senior_backend.console.files import write_atomically
from senior_backend.console.output import table
from senior_backend.console.progress import LOG_INTERVAL, Progress


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UnavailableError, match="No space left"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_permissions_of_an_existing_file_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.sh"
    file.write_text("old")
    file.chmod(0o750)
    write_atomically(file, "new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o750)


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("untouched")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomically(link, "new")
    assert (target.read_text(), link.is_symlink()) == ("untouched", False)


def test_progress_prints_lines_at_intervals_when_not_on_a_terminal() -> None:
    stream, now = io.StringIO(), [0.0]
    with Progress("copying", 200, stream=stream, clock=lambda: now[0]) as progress:
        for done in range(0, 200, 10):
            now[0] += LOG_INTERVAL / 4
            progress.update(done, "2 rows/s")
    assert stream.getvalue().splitlines()[0] == "copying: 15%  2 rows/s"
    assert len(stream.getvalue().splitlines()) == 5


def test_table_aligns_columns() -> None:
    assert table([["a", "bb"], ["ccc", "d"]], ["h", "i"]) == "h    i\na    bb\nccc  d"
