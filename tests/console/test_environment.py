from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from senior_backend.console import environment
from senior_backend.console.environment import build, cache_folder, ensure
from senior_backend.console.errors import UnavailableError


def test_modules_at_hand_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "build", lambda *_: pytest.fail("must not build"))
    ensure("dev", ["json", "yaml"])


def test_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENIOR_BACKEND_CACHE", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c"


def test_an_unwritable_home_falls_back_to_a_private_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SENIOR_BACKEND_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = environment._writable_cache()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o077 == 0


def test_no_package_index_is_exit_4_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENIOR_BACKEND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.which", lambda _: None)
    requirements = tmp_path / "r.txt"
    requirements.write_text("no-such-package-anywhere==1.0 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UnavailableError) as raised:
        build(requirements, "broken", say=False)
    assert raised.value.code == "packages-missing"
    assert "python3 -m venv" in str(raised.value.hint)
    assert [path.name for path in (tmp_path / "cache" / "environments").iterdir() if path.is_dir()] == []


def test_an_environment_is_built_once_and_used_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENIOR_BACKEND_CACHE", str(tmp_path / "cache"))
    requirements = tmp_path / "empty.txt"
    requirements.write_text("# nothing\n")
    python = build(requirements, "empty", say=False)
    stamp = python.parent.parent.joinpath(".complete").stat().st_mtime_ns
    assert build(requirements, "empty", say=False) == python
    assert python.parent.parent.joinpath(".complete").stat().st_mtime_ns == stamp
    subprocess.run([python, "-c", "pass"], check=True)


def test_a_module_missing_inside_the_environment_does_not_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.ENTERED_VARIABLE, "dev")
    with pytest.raises(UnavailableError, match="no_such_module"):
        ensure("dev", ["no_such_module"])


@pytest.mark.skipif(sys.platform == "win32", reason="execve replaces the process on POSIX only")
def test_the_program_starts_again_with_the_same_arguments(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(environment.SKILL_ROOT / 'scripts')!r})\n"
        "from pathlib import Path\n"
        "from senior_backend.console import environment\n"
        "environment.REQUIREMENTS = Path(__file__).parent\n"
        "try:\n"
        "    environment.ensure('none', ['no_such_module'])\n"
        "except environment.UnavailableError as error:\n"
        "    print(error.code, sys.argv[1:], sys.prefix != sys.base_prefix)\n"
    )
    (tmp_path / "none.txt").write_text("# nothing\n")
    done = subprocess.run(
        [sys.executable, program, "--a", "b c"],
        capture_output=True,
        text=True,
        check=True,
        env={"SENIOR_BACKEND_CACHE": str(tmp_path / "cache"), "PATH": ""},
    )
    assert done.stdout == "environment-broken ['--a', 'b c'] True\n"
    assert done.stderr.count("preparing its packages once") == 1
