from __future__ import annotations

import argparse
import json
from pathlib import Path

import jsonschema
import pytest

from senior_backend.console import command
from senior_backend.console.errors import InputError, RefusedError, did_you_mean
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.report import FINDINGS_SHOWN, Document, Finding, NextCommand, Report

SCHEMA = json.loads((Path(command.__file__).parent / "envelope.schema.json").read_text())
TOOL = "load_test"


def run(handle: object, *argv: str) -> int:
    parser = command.tool_parser(TOOL, "Test.", "  load_test.py")
    parser.add_argument("--rate", type=int)
    command.add_output_options(parser)
    return command.run(TOOL, parser, handle, argv)  # type: ignore[arg-type]


def done(_: argparse.Namespace) -> tuple[Report, str]:
    return Report(TOOL, ExitCode.OK, "all good", next=(NextCommand("true", "because"),)), "BODY"


def read_envelope(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert isinstance(document, dict)
    return document


def test_json_is_the_only_thing_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(done, "--json") == 0
    assert read_envelope(capsys)["summary"] == "all good"


def test_text_has_body_summary_and_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(done) == 0
    assert capsys.readouterr().out == "BODY\n\nall good\n\nnext:\n  true\n      because\n"


def test_usage_error_is_exit_2_with_the_nearest_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(done, "--rte", "5", "--json") == 2
    document = read_envelope(capsys)
    assert document["exit_code"] == 2
    assert "did you mean '--rate'?" in str(document["summary"])


def test_abbreviated_options_are_refused() -> None:
    assert run(done, "--rat", "5") == 2


def test_several_findings_of_one_error_are_all_told(capsys: pytest.CaptureFixture[str]) -> None:
    def handle(_: argparse.Namespace) -> tuple[Report, str]:
        found = [Finding("bad", "error", f"problem {n}", f"a.yaml:{n}:1", "mend it") for n in range(3)]
        raise InputError("3 problems", code="bad", findings=found)

    assert run(handle) == 2
    text = capsys.readouterr().err
    assert "a.yaml:2:1: error[bad] problem 2\n  fix: mend it" in text


def test_output_is_bounded_and_the_file_holds_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def handle(_: argparse.Namespace) -> tuple[Report, str]:
        return Report(TOOL, ExitCode.FAILED, "many", tuple(Finding("x", "error", "m") for _ in range(250))), ""

    file = tmp_path / "out.json"
    assert run(handle, "--json", "--output", str(file)) == 1
    document = read_envelope(capsys)
    assert document["omitted"] == 250 - FINDINGS_SHOWN
    assert len(json.loads(file.read_text())["findings"]) == 250


def test_unwritable_output_is_exit_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(done, "--json", "--output", str(tmp_path / "file" / "x.json")) == 4
    assert read_envelope(capsys)["exit_code"] == 4


def test_a_bug_keeps_its_traceback_and_is_not_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    def handle(_: argparse.Namespace) -> tuple[Report, str]:
        raise ZeroDivisionError("oops")

    assert run(handle, "--json") == 70
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    jsonschema.validate(json.loads(captured.out), SCHEMA)


def test_interrupt_is_exit_130(capsys: pytest.CaptureFixture[str]) -> None:
    def handle(_: argparse.Namespace) -> tuple[Report, str]:
        raise KeyboardInterrupt

    assert run(handle, "--json") == 130
    assert read_envelope(capsys)["exit_code"] == 130


def test_refusal_is_exit_5() -> None:
    def handle(_: argparse.Namespace) -> tuple[Report, str]:
        raise RefusedError("no", code="no")

    assert run(handle) == 5


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(done, "--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for code in ExitCode:
        assert f"\n  {code.value} " in text


def test_did_you_mean_stays_silent_when_nothing_is_near() -> None:
    assert did_you_mean("zzz", ["str", "int"]) == ""
    assert did_you_mean("strng", ["str", "string"]) == " (did you mean 'string'?)"


def test_next_commands_work_where_the_user_is(tmp_path: Path) -> None:
    folder = tmp_path / "my skills" / "scripts"
    folder.mkdir(parents=True)
    (folder / f"{TOOL}.py").touch()
    commands = ("db_migrate.py plan", "cd shop && python3 scripts/load_test.py --rps 5", "curl http://x/load_test.py")
    report = Report(TOOL, ExitCode.OK, "s", next=tuple(NextCommand(text, "why") for text in commands))
    shown = [step.command for step in command.runnable(report, str(folder / f"{TOOL}.py")).next]
    assert shown == [
        f"python3 '{folder}/db_migrate.py' plan",
        f"cd shop && python3 '{folder.resolve()}/load_test.py' --rps 5",
        commands[2],
    ]
    assert command.runnable(report, "/usr/bin/pytest") == report


def test_a_document_takes_the_place_of_the_report_and_may_have_its_own_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def handle(_: argparse.Namespace) -> tuple[Report, Document]:
        return Report(TOOL, ExitCode.FAILED, "not all good"), Document("<testsuite/>", 2)

    assert run(handle) == 2
    assert capsys.readouterr().out == "<testsuite/>\n"
    assert run(handle, "--json") == 1
    assert read_envelope(capsys)["exit_code"] == 1


def test_a_document_is_on_standard_output_whatever_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def handle(_: argparse.Namespace) -> tuple[Report, Document]:
        return Report(TOOL, ExitCode.ENVIRONMENT, "gone"), Document("{}\n")

    assert run(handle) == 4
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("{}\n", "")
