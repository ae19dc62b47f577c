"""Where libpg_query comes from: the package's own, else the system's, else a word that it is missing."""

from __future__ import annotations

import ctypes.util
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from senior_backend.migrate import postgres_tree


def without_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Hide the library of the package, which seems to be in `folder`; return where it really is."""
    package = find_spec("postgast")
    assert package is not None
    assert package.origin is not None
    spec = ModuleSpec("postgast", None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr(postgres_tree, "find_spec", lambda _: spec)
    own = Path(package.origin).parent.glob("*pg_query.*")
    return str(next(path for path in own if path.suffix in (".so", ".dylib", ".dll")))


def test_the_system_s_library_is_taken_where_the_package_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = without_its_own(tmp_path, monkeypatch)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: path if name == "pg_query" else None)
    library = postgres_tree._loaded()
    result = library.pg_query_parse(b"SELECT 1")
    assert b"SelectStmt" in result.parse_tree
    library.pg_query_free_parse_result(result)


def test_a_library_that_is_nowhere_is_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_its_own(tmp_path, monkeypatch)
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="libpg_query"):
        postgres_tree._loaded()
