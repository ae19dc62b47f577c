#!/usr/bin/env python3
"""Build the lean distributable, a folder and a zip without tests, benchmarks and evals: python3 release/build.py.

The zip is the same, byte for byte, for the same files: names sorted, one time stamp.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "senior-backend"
SHIPPED = (
    "SKILL.md",
    "LICENSE",
    "references",
    "requirements/scaffold.txt",
    "requirements/migrate.txt",
    "requirements/rehearse.txt",
    "requirements/load.txt",
    "requirements/health.txt",
    "scripts",
    "templates",
)
LEFT_OUT = ("templates/patterns/conftest.py",)
STAMP = (1980, 1, 1, 0, 0, 0)


def shipped_files(root: Path) -> list[Path]:
    """Return the files of the distributable, relative to `root`: tracked ones, or all where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *SHIPPED],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        names = [Path(name) for name in listed.stdout.splitlines()]
    else:
        names = []
        for entry in SHIPPED:
            path = root / entry
            names += [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        names = [name.relative_to(root) for name in names]
    return sorted(
        name
        for name in names
        if "__pycache__" not in name.parts and name.as_posix() not in LEFT_OUT and (root / name).is_file()
    )


def build(root: Path, out: Path) -> tuple[Path, Path]:
    """Write `out/senior-backend/` and `out/senior-backend.zip` and return both."""
    folder, archive = out / NAME, out / f"{NAME}.zip"
    if folder.exists():
        shutil.rmtree(folder)
    files = shipped_files(root)
    for name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, target)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name in files:
            entry = zipfile.ZipInfo(f"{NAME}/{name.as_posix()}", STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = ((root / name).stat().st_mode & 0o777) << 16
            file.writestr(entry, (root / name).read_bytes())
    return folder, archive


def main(argv: list[str] | None = None) -> int:
    """Build into `--out` and print both sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="default: dist/")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    folder, archive = build(ROOT, options.out)
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    sys.stdout.write(f"{folder}: {len(files)} files, {size / 1024:.0f} KiB\n")
    sys.stdout.write(f"{archive}: {archive.stat().st_size / 1024:.0f} KiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
