"""Every output from one verdict: well-formed, complete, and without any secret."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from senior_backend.console import command
from senior_backend.health import cli, outputs
from senior_backend.health.outputs._layout import BOX_HEIGHT, layout
from senior_backend.health.security import Redactor, excerpt, masked_url, secrets_of_variable
from tests.documents import ROOT
from tests.health import servers
from tests.health.test_judgement import verdict_of

FORMATS = ["table", "junit", "prometheus", "health-json", "nagios", "github", "html"]
ENVELOPE = json.loads((Path(command.__file__).parent / "envelope.schema.json").read_text())
NASTY = "</script><b>&amp;'\"|\x1b[31m\x00]]>::error::"


@pytest.fixture
def verdict() -> Any:
    from dataclasses import replace

    made = verdict_of(
        ("web", "http_status", ["db", "cache"]), ("db", "refused", []), ("cache", "", []), ("odd", "permission", []),
        ("slow", "slow", []), critical={"slow": False},
    )  # fmt: skip
    hostile = tuple(item._replace(detail=NASTY, excerpt=NASTY) for item in made.results)
    return replace(made, results=hostile)


def test_every_format_is_found_by_folder() -> None:
    assert sorted([*outputs.names(), "json"]) == sorted(cli.FORMATS)


def test_table_shows_the_tree(verdict: Any) -> None:
    text = outputs.load("table").render(verdict)
    lines = text.splitlines()
    assert lines[1].startswith("web  ")
    assert "behind db (http_status)" in lines[1]
    assert [line[:6].strip() for line in lines[2:4]] == ["├─ db", "└─ cac"]
    assert "\x1b" in outputs.load("table").render(verdict, colour=True)


def test_a_long_table_shows_what_is_not_up() -> None:
    many = verdict_of(*((f"s{i}", "refused" if i == 70 else "", []) for i in range(100)))
    text = outputs.load("table").render(many)
    assert len(text.splitlines()) == 3
    assert "s70" in text
    assert "99 more are up" in text
    assert len(outputs.load("table").render(many, everything=True).splitlines()) == 101


def test_junit(verdict: Any) -> None:
    root = ElementTree.fromstring(outputs.load("junit").render(verdict))
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("5", "1", "1", "1")
    kinds = {case.get("name"): [child.tag for child in case] for case in root}
    assert kinds == {"web": ["skipped"], "db": ["failure"], "cache": [], "odd": ["error"], "slow": ["system-out"]}


def test_prometheus(verdict: Any) -> None:
    text = outputs.load("prometheus").render(verdict)
    assert re.search(r'^health_check_up\{service="db",type="http"\} 0$', text, re.MULTILINE)
    assert re.search(r'^health_check_up\{service="cache",type="http"\} 1$', text, re.MULTILINE)
    assert not re.search(r'^health_check_up\{service="odd"', text, re.MULTILINE)
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{(\w+=\"[^\"]*\",?)*\})? [-\d.e+]+", line), line


def test_health_json(verdict: Any) -> None:
    document = json.loads(outputs.load("health-json").render(verdict))
    assert document["status"] == "fail"
    states = {name.partition(":")[0]: entry[0]["status"] for name, entry in document["checks"].items()}
    assert states == {"web": "fail", "db": "fail", "cache": "pass", "odd": "warn", "slow": "warn"}


def test_nagios(verdict: Any) -> None:
    module = outputs.load("nagios")
    text = module.render(verdict)
    assert text.startswith("HEALTH CRITICAL - ")
    assert text.splitlines()[0].count("|") == 1
    codes = {
        reason: module.exit_code(verdict_of(("a", reason, []))) for reason in ("", "slow", "refused", "permission")
    }
    assert codes == {"": 0, "slow": 1, "refused": 2, "permission": 3}


def test_github(verdict: Any) -> None:
    text = outputs.load("github").render(verdict)
    assert "::error file=services.yaml,line=1," in text
    assert sum(line.startswith(("::error", "::warning")) for line in text.splitlines()) == 4
    assert all(line.startswith(("::error ", "::warning ")) for line in text.splitlines()[:-1])


def test_the_data_keeps_its_schema(verdict: Any) -> None:
    from senior_backend.health.outputs import _data

    schema = json.loads((Path(_data.__file__).parent / "data.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(json.dumps(_data.of_verdict(verdict)))
    jsonschema.validate(data, schema)
    assert data["services_omitted"] == 0
    few = _data.of_verdict(verdict, 2)
    assert [item["name"] for item in few["services"]] == ["db", "web"]
    assert few["services_omitted"] == 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, "counts": {}}, schema)


class Page(HTMLParser):
    """Collects the tags, attributes and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "onclick")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_one_file_and_escapes_what_services_say(verdict: Any) -> None:
    page = Page()
    page.feed(outputs.load("html").render(verdict))
    assert "script" not in page.tags
    assert page.addresses == []
    assert page.tags.count("rect") == 2 * 3
    assert page.tags.count("path") == 2
    assert "</script><b>" in page.text
    for name in ("web", "db", "cache", "odd", "slow"):
        assert name in page.text


def test_marked_text_is_escaped_inside_and_outside_of_code() -> None:
    from senior_backend.health.outputs.html import marked

    assert (
        str(marked("<b> `ss -ltn <x>` & `open")) == "&lt;b&gt; <code>ss -ltn &lt;x&gt;</code> &amp; <code>open</code>"
    )


def test_every_service_stands_above_what_it_needs() -> None:
    edges = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": [], "e": ["d"], "f": ["a"]}
    made = layout(edges)
    y = {box.name: box.y for box in made.boxes}
    assert all(y[name] + BOX_HEIGHT < y[target] for name, targets in edges.items() for target in targets)
    assert len(made.edges) == 6
    places = [(box.x, box.y) for box in made.boxes]
    assert len(set(places)) == len(places)


# -- secrets ------------------------------------------------------------------------------------------------------

SECRETS = {
    "PLANT_TOKEN": "tok-9f8e7d6c5b4a",
    "PLANT_PASSWORD": "p@ss/w0rd?&x=1",
    "PLANT_URL": "https://hooks.example/services/T0AB12CD34EF56GH78IJ/x?key=qk_1234567890abcdef",
}
PLANTED = ["tok-9f8e7d6c5b4a", "p@ss/w0rd", "p%40ss", "inline-s3cret", "header-s3cret", "T0AB12CD34EF56GH78IJ",
           "qk_1234567890abcdef", "dG9rLTlmOGU3ZDZjNWI0YQ", "query-s3cret"]  # fmt: skip


def planted(port: int, refused: int) -> dict[str, Any]:
    return {
        "services": [
            {"name": "echo", "url": f"http://u:inline-s3cret@127.0.0.1:{port}/${{PLANT_TOKEN}}?token=query-s3cret",
             "headers": {"X-Key": "header-s3cret"}, "expect": {"status": 204}},
            {"name": "bearer", "url": f"http://127.0.0.1:{port}/", "auth": {"bearer": "${PLANT_TOKEN}"},
             "expect": {"contains": "never"}, "description": "uses ${PLANT_TOKEN}"},
            {"name": "basic", "url": f"http://127.0.0.1:{port}/", "user": "u", "password": "${PLANT_PASSWORD}",
             "expect": {"json": {"never": "${PLANT_TOKEN}"}}, "depends_on": ["db"]},
            {"name": "db", "type": "postgresql", "host": "127.0.0.1", "port": refused, "user": "u",
             "password": "${PLANT_PASSWORD}"},
            {"name": "hook", "url": "${PLANT_URL}", "timeout": "100ms"},
            {"name": "moved", "url": f"http://127.0.0.1:{port}/moved", "headers": {"X-Key": "header-s3cret"}},
        ]
    }  # fmt: skip


def echoing(peer: Any) -> None:
    """Answer with what was asked, as debug pages do, with the credentials in the redirect too."""
    request = peer.recv(65536)
    if b"/moved" in request:
        peer.sendall(b"HTTP/1.1 302 X\r\nLocation: /l?next=header-s3cret\r\nContent-Length: 0\r\n\r\n")
        return
    peer.sendall(b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n" % len(request) + request)


@pytest.mark.slow
def test_no_output_shows_a_planted_secret(tmp_path: Path) -> None:
    with servers.serving(echoing) as port:
        file = tmp_path / "services.json"
        file.write_text(json.dumps(planted(port, servers.free_port())))
        door = [sys.executable, str(ROOT / "scripts" / "health_check.py"), "--services", str(file)]
        calls = [["--format", name] for name in FORMATS] + [
            ["--json"],
            ["--check-config"],
            ["--check-config", "--json"],
        ]
        calls += [["--export", "gatus"], ["--export", "blackbox"], ["--only", "absent"], []]
        written = [item for name in [*FORMATS, "json"] for item in ("--write", f"{name}={tmp_path / f'out.{name}'}")]
        calls.append([*written, "--output", str(tmp_path / "whole.json")])
        calls.append(["--watch", "--passes", "1", "--history", str(tmp_path / "history.jsonl")])
        texts = {}
        for call in calls:
            done = subprocess.run([*door, *call], capture_output=True, text=True, env=SECRETS | _path(), check=False)
            assert "Traceback" not in done.stderr, done.stderr
            texts[" ".join(call)[:60]] = done.stdout + done.stderr
    texts.update({path.name: path.read_text() for path in tmp_path.iterdir() if path != file})
    assert len(texts) > 20
    for name, text in texts.items():
        for secret in PLANTED:
            assert secret not in text, (name, secret, text[max(0, text.find(secret) - 200) :][:400])
    assert "***" in texts["--json"]
    shown = json.loads(texts["--json"])
    jsonschema.validate(shown, ENVELOPE)
    jsonschema.validate(shown["data"], json.loads((Path(outputs.__file__).parent / "data.schema.json").read_text()))
    states = {item["name"]: item["reason"] for item in shown["data"]["services"]}
    assert (states["echo"], states["moved"]) == ("http_status", "redirect_blocked")


def _path() -> dict[str, str]:
    import os

    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


def test_what_counts_as_a_secret() -> None:
    assert secrets_of_variable("API_TOKEN", "abc123") == {"abc123"}
    assert secrets_of_variable("BASE_URL", "http://127.0.0.1:8000") == set()
    assert secrets_of_variable("DB_HOST", "db.internal") == set()
    assert secrets_of_variable("PASSWORD_URL", "x") == {"x"}
    assert secrets_of_variable("D", "redis://:pw@h/0") == {"pw"}
    assert masked_url("http://u:p@h/x?a=1&b") == "http://h/x?a=***&b"
    redactor = Redactor(["s3cret!"])
    assert redactor.text("a s3cret! s3cret%21 b") == "a *** *** b"
    assert redactor.tree({"k s3cret!": ["s3cret!", 3]}) == {"k ***": ["***", 3]}
    common = Redactor(["postgres"])
    assert common.text("postgresql://h/x: postgres, postgres1, x=postgres") == "postgresql://h/x: ***, postgres1, x=***"
    assert Redactor(["ab"]).text("ab") == "ab"
    import base64

    for user in ("a", "ab", "abc"):
        assert "***" in redactor.text(base64.b64encode(f"{user}:s3cret!".encode()).decode())


def test_excerpts_are_short_and_printable() -> None:
    shown = excerpt(b"a\x1b[31m\r\n\0b" + b"x" * 1000)
    assert len(shown) == 200
    assert shown.isprintable()
