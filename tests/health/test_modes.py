"""The tool as people call it: once, wait, watch, deadline, discovery, exports, and what needs no packages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from senior_backend.health.config.load import read
from senior_backend.health.discover import discover, render
from tests.documents import ROOT
from tests.health import servers
from tests.health.test_outputs import ENVELOPE

DOOR = str(ROOT / "scripts" / "health_check.py")


@pytest.fixture(autouse=True)
def _system_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`exec` checks run echo, sh and sleep, which every system has, also where PATH names Python alone."""
    monkeypatch.setenv("PATH", f"{os.environ.get('PATH', '')}{os.pathsep}{os.defpath}")


def call(*arguments: str, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, DOOR, *arguments], capture_output=True, text=True, cwd=cwd, timeout=60, check=False, **options
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def services(folder: Path, *items: dict[str, Any], **top: Any) -> str:
    file = folder / "services.json"
    file.write_text(json.dumps({**top, "services": list(items)}))
    return str(file)


def test_the_seed_command(tmp_path: Path) -> None:
    with servers.serving(servers.http(200, b'{"status":"ok"}')) as port:
        (tmp_path / "services.yaml").write_text(f"services:\n  - name: api\n    url: http://127.0.0.1:{port}/readyz\n")
        done = call("--services", "services.yaml", cwd=tmp_path)
        assert (done.returncode, "✓ up" in done.stdout) == (0, True)
        assert call(cwd=tmp_path).returncode == 0
    done = call("--services", "services.yaml", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    jsonschema.validate(document, ENVELOPE)
    assert (done.returncode, document["data"]["services"][0]["reason"]) == (1, "refused")


def test_urls_are_checked_without_a_file(tmp_path: Path) -> None:
    with servers.serving(servers.http(200, b"fine")) as port:
        url = f"http://127.0.0.1:{port}/readyz?a=b"
        done = call(
            "--url", url, "--url", url, "--url", f"shop={url}", "--url", "tcp://me:secret@127.0.0.1:1", "--json"
        )
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert {item["name"]: item["state"] for item in document["data"]["services"]} == {
        f"http-127.0.0.1-{port}": "up",
        f"http-127.0.0.1-{port}-2": "up",
        "shop": "up",
        "tcp-127.0.0.1-1": "down",
    }
    assert document["next"] == []
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--url", "gopher://127.0.0.1"], "gopher"),
        (["--url", "http://["], "not a URL"),
        (["--url", ""], "the URL is empty"),
        (["--url", "http://127.0.0.1", "--services", "services.yaml"], "exclude each other"),
        (["http://127.0.0.1:8000/"], "Write --url http://127.0.0.1:8000/"),
    ],
)
def test_urls_that_cannot_be_checked_are_told(arguments: list[str], told: str) -> None:
    done = call(*arguments)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_exit_codes_of_the_program(tmp_path: Path) -> None:
    down = {"name": "a", "url": f"tcp://127.0.0.1:{servers.free_port()}"}
    unknown = {"name": "b", "type": "exec", "command": ["true"]}
    disk = {"name": "c", "type": "disk", "path": "/", "expect": {"free_percent": ">= 0"}}
    assert call("--services", services(tmp_path, disk)).returncode == 0
    assert call("--services", services(tmp_path, disk, down)).returncode == 1
    assert call("--services", services(tmp_path, disk, {**down, "critical": False})).returncode == 0
    assert call("--services", services(tmp_path, disk, unknown)).returncode == 3
    assert call("--services", services(tmp_path, disk, unknown), "--allow-exec").returncode == 0
    weak = {**disk, "degraded": {"free_percent": "> 100"}}
    assert call("--services", services(tmp_path, weak)).returncode == 0
    assert call("--services", services(tmp_path, weak), "--fail-on", "degraded").returncode == 1
    assert call("--services", services(tmp_path)).returncode == 2
    assert call("--services", services(tmp_path, disk), "--format", "nagios").returncode == 0
    assert call("--services", services(tmp_path, disk, down), "--format", "nagios").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [("--services", "absent.yaml"), ("--deadline", "5"), ("--only", "nobody"), ("--write", "html"), ("--nope",),
     ("--write", "htm=x"), ("--concurrency", "0"), ("--wait", "x"), ("--wait", "1s", "--stable", "0"), ("command",),
     ("--discover", "absent"), ("--watch", "--passes", "0")],
)  # fmt: skip
def test_wrong_calls_end_with_2_and_say_why(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    services(tmp_path, {"name": "a", "type": "disk", "path": "/"})
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "error[" in done.stderr
    assert done.stdout == ""


def test_an_unwritable_output_is_told(tmp_path: Path) -> None:
    file = services(tmp_path, {"name": "a", "type": "disk", "path": "/", "expect": {"free_percent": ">= 0"}})
    (tmp_path / "file").write_text("")
    done = call("--services", file, "--write", f"junit={tmp_path}/file/x.xml")
    assert done.returncode == 4
    assert "cannot write" in done.stderr


def test_json_and_toml_need_no_packages(tmp_path: Path) -> None:
    with servers.serving(servers.http(200)) as port:
        file = services(tmp_path, {"name": "a", "url": f"http://127.0.0.1:{port}/"})
        program = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        program += "from senior_backend.health.cli import main; sys.exit(main(sys.argv[1:]))"
        bare = [sys.executable, "-I", "-S", "-c", program]
        environment = {"SENIOR_BACKEND_CACHE": "/nonexistent/cache", "PATH": os.environ["PATH"]}
        done = subprocess.run([*bare, "--services", file], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_takes_what_the_chosen_need(tmp_path: Path) -> None:
    base = {"type": "disk", "path": "/", "expect": {"free_percent": ">= 0"}}
    file = services(
        tmp_path,
        {"name": "a", **base, "depends_on": ["b"]},
        {"name": "b", **base},
        {"name": "c", **base, "tags": ["x"]},
    )
    names = []
    for word in ("a", "x"):
        data = json.loads(call("--services", file, "--only", word, "--json").stdout)["data"]
        names.append([item["name"] for item in data["services"]])
    assert names == [["a", "b"], ["c"]]


def test_exec_runs_without_a_shell_and_is_ended_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    items: list[dict[str, Any]] = [
        {"name": "plain", "type": "exec", "command": ["echo", "$HOME;", "x"], "expect": {"contains": "$HOME; x"}},
        {"name": "fails", "type": "exec", "command": ["sh", "-c", "echo no; exit 3"]},
        {"name": "absent", "type": "exec", "command": ["no-such-command"]},
        {"name": "warns", "type": "exec", "command": ["sh", "-c", "exit 1"], "plugin": True},
        {"name": "hangs", "type": "exec", "command": ["sh", "-c", f"(sleep 1.5; touch {marker}) & wait"]},
    ]
    items[-1]["timeout"] = "300ms"
    file = services(tmp_path, *items)
    data = json.loads(call("--services", file, "--allow-exec", "--json").stdout)["data"]
    reasons = {item["name"]: (item["state"], item["reason"]) for item in data["services"]}
    assert reasons == {
        "plain": ("up", None),
        "fails": ("down", "command_failed"),
        "absent": ("unknown", "unsupported"),
        "warns": ("degraded", "threshold"),
        "hangs": ("down", "read_timeout"),
    }
    time.sleep(1.7)
    assert not marker.exists()


@pytest.mark.timing
def test_the_deadline_is_kept_whatever_the_targets_do(tmp_path: Path) -> None:
    items: list[dict[str, Any]]
    with servers.serving(servers.silent) as port, servers.serving(servers.flooding) as flood:
        items = [{"name": f"s{i}", "url": f"http://127.0.0.1:{port}/", "timeout": "30s"} for i in range(200)]
        items += [{"name": f"f{i}", "url": f"http://127.0.0.1:{flood}/", "timeout": "30s"} for i in range(5)]
        items.append({"name": "e", "type": "exec", "command": ["sleep", "30"], "timeout": "30s"})
        file = services(tmp_path, *items)
        late = []
        for _ in range(3):
            began = time.perf_counter()
            done = call("--services", file, "--deadline", "1s", "--json", "--allow-exec")
            took = time.perf_counter() - began
            data = json.loads(done.stdout)["data"]
            late.append(data["seconds"] - 1.0)
            assert data["counts"]["unknown"] >= 200
            assert took < 3
    assert min(late) < 0.1, late


@pytest.mark.slow
def test_wait_ends_when_everything_is_up_and_runs_the_command(tmp_path: Path) -> None:
    port = servers.free_port()
    file = services(tmp_path, {"name": "late", "url": f"http://127.0.0.1:{port}/", "retries": 0})
    opened: list[socket.socket] = []

    def open_later() -> None:
        time.sleep(0.8)
        listener = socket.create_server(("127.0.0.1", port))
        opened.append(listener)
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                servers.http(200)(peer)

    threading.Thread(target=open_later, daemon=True).start()
    done = call("--services", file, "--wait", "20s", "--stable", "2", "--", sys.executable, "-c", "print('ran', 7)")
    opened[0].shutdown(socket.SHUT_RDWR)
    opened[0].close()
    assert (done.returncode, done.stdout) == (0, "ran 7\n")
    began = time.perf_counter()
    done = call("--services", file, "--wait", "1s", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, "not up within" in report["summary"]) == (1, True)
    assert not any("--wait" in one["command"] for one in report["next"]), "it has waited already"
    assert time.perf_counter() - began < 5
    once = json.loads(call("--services", file, "--json").stdout)
    assert any("--wait" in one["command"] for one in once["next"])


@pytest.mark.slow
def test_watch_writes_history_and_ends_politely(tmp_path: Path) -> None:
    answers = [200, 200, 503, 503, 200]
    asked: list[int] = []

    def changing(peer: Any) -> None:
        servers.http(answers[min(len(asked), len(answers) - 1)])(peer)
        asked.append(1)

    history = tmp_path / "history.jsonl"
    with servers.serving(changing) as port:
        file = services(tmp_path, {"name": "a", "url": f"http://127.0.0.1:{port}/", "interval": "100ms"})
        done = call("--services", file, "--watch", "--passes", "5", "--history", str(history))
        assert done.returncode == 0
        lines = [json.loads(line) for line in history.read_text().splitlines()]
        assert [line["state"] for line in lines] == ["up", "up", "down", "down", "up"]
        assert [line["changed_from"] for line in lines] == [None, None, "up", None, "down"]
        assert "a: up -> down" in done.stderr
        assert "a: down -> up" in done.stderr
        process = subprocess.Popen([sys.executable, DOOR, "--services", file, "--watch", "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        time.sleep(1.2)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=10)
    assert process.returncode == 130, error
    assert json.loads(out)["data"]["counts"]["up"] == 1


@pytest.mark.slow
def test_an_interrupt_reports_what_is_known(tmp_path: Path) -> None:
    with servers.serving(servers.silent) as port:
        fine = {"name": "a", "type": "disk", "path": "/", "expect": {"free_percent": ">= 0"}}
        file = services(tmp_path, fine, {"name": "b", "url": f"http://127.0.0.1:{port}/", "timeout": "30s"})
        process = subprocess.Popen([sys.executable, DOOR, "--services", file, "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=10)
    assert process.returncode == 130, error
    states = {item["name"]: item["state"] for item in json.loads(out)["data"]["services"]}
    assert states == {"a": "up", "b": "unknown"}


COMPOSE = """\
services:
  api:
    build: .
    ports: ["8000:8000"]
    environment:
      DATABASE_URL: postgresql+psycopg://app:sup3rs3cret@db:5432/app
    healthcheck: {test: ["CMD", "curl", "-f", "http://localhost:8000/readyz"]}
    depends_on: [cache]
  db: {image: "postgres:16", ports: ["127.0.0.1:5433:5432"], environment: ["POSTGRES_PASSWORD=sup3rs3cret"]}
  cache:
    image: redis:7
    ports: [{target: 6379, published: "6380"}]
  worker: {build: .}
"""
MANIFESTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
    spec:
      containers:
        - name: c
          image: orders:1
          env: [{name: DATABASE_URL, value: "postgresql://app:sup3rs3cret@db.default:5432/x"}]
          readinessProbe: {httpGet: {path: /readyz, port: 8000}, timeoutSeconds: 2}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec: {selector: {app: orders}, ports: [{port: 80, targetPort: 8000}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {ports: [{port: 5432}]}
"""
OPENAPI = {
    "openapi": "3.1.0", "info": {"title": "Orders API"}, "servers": [{"url": "https://api.example.org/v1"}],
    "paths": {"/healthz": {"get": {"responses": {"200": {}}}}, "/users": {"get": {}}, "/ready/{id}": {"get": {}}},
}  # fmt: skip
SOURCES = {
    "compose.yaml": (COMPOSE, {"api": "http://127.0.0.1:8000/readyz", "db": "postgresql://127.0.0.1:5433",
                               "cache": "redis://127.0.0.1:6380"}, {"api": ("cache", "db")}),
    "k8s.yaml": (MANIFESTS, {"orders": "http://orders:80/readyz", "db": "postgresql://db.default:5432"},
                 {"orders": ("db",)}),
    "openapi.json": (json.dumps(OPENAPI), {"orders-api-healthz": "https://api.example.org/v1/healthz"}, {}),
    ".env": ('A=1\nDATABASE_URL="postgresql://app:sup3rs3cret@localhost:5432/app"\nS3_URL=s3://x\n',
             {"database": "${DATABASE_URL:-postgresql://app@localhost:5432/app}"}, {}),
    "Procfile": ("web: PORT=8000 uvicorn app:app --port 8000\nworker: python -m app.worker\n",
                 {"web-http": "http://127.0.0.1:8000/"}, {"web-http": ("web",)}),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_discovery_is_valid_links_services_and_writes_no_secret(tmp_path: Path, name: str) -> None:
    text, urls, needs = SOURCES[name]
    (tmp_path / name).write_text(text)
    found = discover([tmp_path / name])
    written = render(found)
    assert "sup3rs3cret" not in written
    made, _ = read(written, "services.yaml", ".yaml", {})
    assert urls.items() <= {item.name: item.values.get("url") for item in found.found}.items()
    assert {service.name: service.depends_on for service in made.services if service.depends_on} == needs
    for item in found.found:
        assert f"# from {name}:" in written
        assert item.origin in written
    done = call("--discover", str(tmp_path / name))
    assert (done.returncode, done.stdout) == (0, written)


STACK = {
    "compose.yaml": """\
services:
  proxy: {image: "nginx:1", ports: ["$BIND:80/tcp", "443:443"], depends_on: [app]}
  app:
    image: acme/app
    ports: ["${APP_PORT:-${OTHER_PORT:-8080}}:8080"]
    environment: {DB_HOST: pool, METRICS: "prom:9090", SELF_HOST: app, SITE_URL: "http://localhost:8080"}
    depends_on: {hidden: {condition: service_started}}
    healthcheck: {test: "curl -f 'http://localhost:8080/healthz?token=sup3rs3cret'"}
  pool: {image: "$POOL_IMAGE", ports: ["6432:6432"]}
  prom: {image: "prom/prometheus:v3", ports: ["9091:9090"]}
  store: {image: "minio/minio", ports: ["9001:9001", "9000:9000"]}
  secure: {image: acme/secure, ports: ["8443:8443"]}
  hidden: {image: "redis:7"}
""",
    ".env": "BIND=127.0.0.1:9999 # where it listens\nOTHER_PORT='8085'\nHOST=db\n"
    'LOGIN_REDIRECT_URI=http://localhost/back\nAPI_URL="http://${HOST}:8000"\nODD_URL=http://x:${NOWHERE}\n'
    "ALLOW_LIST=http://a,http://b\nBEAT_URL=https://beat.example/5ecret0f3b1c4d2a8e7f60aa\n",
    "k8s/deployment.yaml": MANIFESTS.partition("---")[0],
    "k8s/service.yaml": MANIFESTS.partition("---")[2],
    "spec/openapi.json": json.dumps(
        {**OPENAPI, "servers": [{"url": "https://{region}.example.org", "variables": {"region": {"default": "eu"}}}]}
    ),
    "spec/swagger.yaml": "swagger: '2.0'\ninfo: {title: Old}\nhost: old.example\nbasePath: /v1\n"
    "paths: {/ping: {get: {responses: {'200': {}}}}}\n",
    "Procfile": "web: bundle exec puma -p 3000\n",
    "node_modules/compose.yaml": COMPOSE,
    "README.md": "services:\n",
    "chart/all.yaml": "apiVersion: v1\nkind: Service\nspec: {{ .Values.spec }}\n",
}


def test_discovery_of_a_folder_joins_what_its_files_say(tmp_path: Path) -> None:
    """Variables of the .env beside a compose file, Services and Deployments in two files, known health paths."""
    for name, text in STACK.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = discover([tmp_path])
    written = render(found)
    made, _ = read(written, "services.yaml", ".yaml", {})
    assert "sup3rs3cret" not in written
    assert {item.name: item.values.get("url") for item in found.found} == {
        "proxy": "http://127.0.0.1:9999/",
        "app": "http://127.0.0.1:8085/healthz",
        "pool": "postgresql://127.0.0.1:6432",
        "prom": "http://127.0.0.1:9091/-/healthy",
        "store": "http://127.0.0.1:9000/minio/health/live",
        "secure": "https://127.0.0.1:8443/",
        "api": "${API_URL:-http://db:8000}",
        "beat": "${BEAT_URL:-https://beat.example/}",
        "orders": "http://orders:80/readyz",
        "db": "postgresql://db.default:5432",
        "orders-api-healthz": "https://eu.example.org/healthz",
        "old-ping": "https://old.example/v1/ping",
        "web": None,
        "web-http": "http://127.0.0.1:3000/",
    }
    needs = {service.name: service.depends_on for service in made.services if service.depends_on}
    assert needs == {"proxy": ("app",), "app": ("pool", "prom"), "orders": ("db",), "web-http": ("web",)}
    assert "# needs hidden too, which cannot be checked from here" in written
    assert "# from deployment.yaml:12 (httpGet probe)" in written
    assert next(item for item in found.found if item.name == "web").values["match"] == "puma"
    left_out = " ".join(item.origin for item in found.skipped)
    assert all(name in left_out for name in ("LOGIN_REDIRECT_URI", "ODD_URL", "ALLOW_LIST", "hidden", "all.yaml"))


def test_discovery_of_a_helm_template_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: Service\nspec: {{ .Values.spec }}\n")
    done = call("--discover", str(tmp_path / "a.yaml"))
    assert done.returncode == 2
    assert "helm template" in done.stderr


def test_discovery_of_nothing_is_not_success(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {worker: {build: .}}\n")
    assert call("--discover", str(tmp_path / "compose.yaml")).returncode == 3
    (tmp_path / "x.txt").write_text("hello")
    assert call("--discover", str(tmp_path / "x.txt")).returncode == 2


EXPORTED: list[dict[str, Any]] = [
    {"name": "api", "url": "https://api.example/healthz?k=1", "expect": {"status": [200, 204], "json": {"status": "ok"},
     "total": "2s", "tls_days": 14}, "bearer": "tok-s3cret", "depends_on": ["db"]},
    {"name": "db", "url": "postgresql://u:pg-s3cret@db/x"},
    {"name": "cache", "url": "redis://h"},
    {"name": "mail", "url": "smtp://h"},
    {"name": "rpc", "url": "grpc://h:1/orders"},
    {"name": "name", "type": "dns", "host": "192.0.2.1", "query_name": "example.org"},
    {"name": "cert", "type": "tls", "host": "h"},
    {"name": "disk", "type": "disk", "path": "/"},
]  # fmt: skip


def test_export_for_gatus(tmp_path: Path) -> None:
    import yaml

    done = call("--services", services(tmp_path, *EXPORTED), "--export", "gatus")
    document = yaml.safe_load(done.stdout)
    endpoints = {item["name"]: item for item in document["endpoints"]}
    assert "disk" not in endpoints
    assert "disk" in done.stderr
    assert endpoints["api"]["headers"] == {"Authorization": "${API_AUTHORIZATION}"}
    assert endpoints["api"]["conditions"] == [
        "[STATUS] == any(200, 204)", "[BODY].status == ok", "[RESPONSE_TIME] < 2000", "[CERTIFICATE_EXPIRATION] > 336h",
    ]  # fmt: skip
    assert all(item["conditions"] and item["url"] for item in document["endpoints"])
    assert "s3cret" not in done.stdout + done.stderr


def test_export_for_blackbox_is_accepted_by_its_own_loader(tmp_path: Path) -> None:
    import yaml

    done = call("--services", services(tmp_path, *EXPORTED), "--export", "blackbox")
    assert set(yaml.safe_load(done.stdout)["modules"]) == {item["name"] for item in EXPORTED} - {"disk"}
    assert "s3cret" not in done.stdout + done.stderr
    program = shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")
    if program:
        file = tmp_path / "blackbox.yml"
        file.write_text(done.stdout)
        checked = subprocess.run([program, "--config.check", f"--config.file={file}"], capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_help_is_fast_to_import() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", DOOR, "--help"], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"socket", "ssl", "yaml", "jinja2", "selectors", "json", "senior_backend.health.engine"}


COMPOSE = """\
services:
  admin: {image: rediscommander/redis-commander, ports: ["8081:8081"]}
  rest: {image: postgrest/postgrest, ports: ["3001:3000"]}
  queue: {image: "rabbitmq:3-management", ports: ["15672:15672", "5672:5672"]}
  odd: {image: "postgres:16", ports: ["6000:6000"]}
  database: {image: "mysql:8", ports: [{target: 3306, published: "${DB_PORT:-3307}"}]}
  many: {image: acme, ports: ["3000-3005:3000-3005"]}
  free: {image: acme, ports: ["80"]}
  inner: {image: acme}
"""


def test_a_compose_file_with_tools_named_after_servers_ranges_and_defaults(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    found = discover([tmp_path / "compose.yaml"])
    assert {item.name: item.values["url"] for item in found.found} == {
        "admin": "http://127.0.0.1:8081/",
        "rest": "http://127.0.0.1:3001/",
        "queue": "amqp://127.0.0.1:5672",
        "odd": "postgresql://127.0.0.1:6000",
        "database": "mysql://127.0.0.1:3307",
        "many": "http://127.0.0.1:3000/",
    }
    reasons = {item.origin.partition("(")[2]: item.reason for item in found.skipped}
    assert "publishes no port" not in reasons["free)"]
    assert "publishes no port" in reasons["inner)"]
