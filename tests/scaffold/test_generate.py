from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.scaffold.conftest import Tool, tree

if TYPE_CHECKING:
    pass


def test_one_line_makes_a_project(tool: Tool) -> None:
    result = tool("--name", "user", "--crud")
    assert result.code == 0, result.envelope
    project = tool.folder / "user-service"
    assert result.data["service"] == "user"
    assert result.actions["app/users/model.py"] == "created"
    assert (project / "app/users/model.py").read_text().startswith("# users\n")
    assert (project / ".env").stat().st_mode & 0o777 == 0o600
    assert os.access(project / "run.sh", os.X_OK)
    assert "default-fields" in result.codes
    assert "not verified" in result.envelope["summary"]
    spec = (project / "resources.yaml").read_text()
    assert "email: email:unique" in spec
    assert "identity: true" in spec


def test_a_user_without_a_password_is_told_not_to_log_in(tool: Tool) -> None:
    result = tool("--name", "user", "--crud", "--fields", "email:email:unique name:str(100)")
    assert (result.code, result.codes) == (0, ["no-login", "as-yaml"])
    assert "identity" not in result.data["spec"]
    other = tool("--name", "user", "--crud", "--fields", "email:email:unique password:password", "--out", "x")
    assert "identity: true" in other.data["spec"]


def test_the_same_call_twice_changes_nothing(tool: Tool) -> None:
    tool("--name", "user", "--crud")
    before = tree(tool.folder)
    for arguments in (
        ["--name", "user", "--crud"],
        ["--out", "user-service"],
        ["--spec", "user-service/resources.yaml"],
    ):
        result = tool(*arguments)
        assert result.code == 0, result.envelope
        assert tree(tool.folder) == before
        assert set(result.actions.values()) == {"unchanged"}
