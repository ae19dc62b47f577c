"""A services.yaml out of what a project already says about itself; one module for each kind of source.

A module with `fits(path, text)` and `find(files)` in this folder is a source; it is given all files that fit it. What
is written refers to the line that it came from, and never holds a secret: credentials stay in their variables.
"""

from __future__ import annotations

import json
import os
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from senior_backend.health.config.nodes import Node, Unreadable
from senior_backend.health.probes import by_scheme
from senior_backend.health.security import SECRET_KEY, secrets_of_url

_BY_IMAGE = (
    ("postgres", "postgresql"), ("postgis", "postgresql"), ("timescale", "postgresql"), ("mysql", "mysql"),
    ("mariadb", "mysql"), ("percona", "mysql"), ("redis", "redis"), ("valkey", "redis"), ("keydb", "redis"),
    ("rabbitmq", "amqp"), ("nats", "nats"), ("kafka", "kafka"), ("redpanda", "kafka"), ("mongo", "mongodb"),
    ("pgbouncer", "postgresql"), ("mosquitto", "mqtt"), ("emqx", "mqtt"), ("mailhog", "smtp"),
    ("mailpit", "smtp"), ("postfix", "smtp"),
)  # fmt: skip
_BY_PORT = {
    5432: "postgresql", 6432: "postgresql", 3306: "mysql", 6379: "redis", 5672: "amqp", 4222: "nats", 9092: "kafka",
    27017: "mongodb", 1883: "mqtt", 25: "smtp", 587: "smtp", 1025: "smtp", 22: "ssh", 50051: "grpc",
    **dict.fromkeys((80, 443, 3000, 3100, 4000, 4200, 5000, 5173, 5601, 8000, 8001, 8080, 8081, 8082, 8086, 8088, 8123,
                     8200, 8222, 8443, 8500, 8888, 8983, 9000, 9090, 9093, 9200, 9443, 15672, 16686), "http"),
}  # fmt: skip
TLS_PORTS = frozenset({443, 8443, 9443})
# The health path that a server's own documentation names, and the port on which it has it.
_KNOWN_PATHS = (
    ("elasticsearch", 9200, "/_cluster/health"), ("opensearch", 9200, "/_cluster/health"),
    ("kibana", 5601, "/api/status"),
    ("prometheus", 9090, "/-/healthy"), ("alertmanager", 9093, "/-/healthy"), ("grafana", 3000, "/api/health"),
    ("loki", 3100, "/ready"), ("minio", 9000, "/minio/health/live"), ("clickhouse", 8123, "/ping"),
    ("influxdb", 8086, "/health"), ("n8n", 5678, "/healthz"), ("meilisearch", 7700, "/health"),
    ("qdrant", 6333, "/healthz"), ("vault", 8200, "/v1/sys/health"), ("consul", 8500, "/v1/status/leader"),
    ("localstack", 4566, "/_localstack/health"),
)  # fmt: skip
_PLACE = re.compile(r"([a-z][a-z0-9.-]*)(?::\d{2,5})?(?:,|$)")
_PLACE_VARIABLE = re.compile(r"(?:HOST|HOSTNAME|SERVERS?|ADDR|ADDRESS|ENDPOINT|BROKERS?|SERVICE)$", re.IGNORECASE)
_IGNORED_FOLDERS = frozenset({"node_modules", "vendor", "venv", "dist", "build", "target"})
MAX_FILES = 5000
HEALTH_PATHS = re.compile(
    r"/(?:[\w.-]+/)*(?:healthz?|livez?|readyz?|liveness|readiness|alive|ready|ping|status|up|_health|health[-_]?check)/?"
)


@dataclass(frozen=True, slots=True)
class Found:
    """One service to check; `origin` is `file:line (what)`. `remarks` become comments beside it.

    `depends_on` may name what is no service; of these, only `declared` ones are worth a remark.
    """

    name: str
    origin: str
    values: Mapping[str, Any]
    depends_on: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    depends_origin: str = ""
    declared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a project, and its text."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    def documents(self) -> list[Node]:
        """Return the documents of YAML or JSON, with lines counted in the whole text.

        Raises:
            InputError: a document cannot be read.
        """
        from senior_backend.console.errors import InputError

        try:
            return documents(self.text)
        except Unreadable as error:
            item, hint = error.problem, error.problem.fix
            if "{{" in self.text:
                hint = "It looks like a Helm template: `helm template CHART > all.yaml`, and read that."
            where = f"{self.path}:{item.line}:{item.column}"
            raise InputError(item.message, code=item.code, where=where, hint=hint) from None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that cannot be checked from here, and why."""

    origin: str
    reason: str


@dataclass(slots=True)
class Discovery:
    """All that a source gave."""

    found: list[Found] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def discover(paths: Sequence[Path]) -> Discovery:
    """Read all files, and of folders all files that some source understands, and join what they say.

    Raises:
        InputError: a file cannot be read, or is no known source.
    """
    from senior_backend.console.errors import InputError

    modules = [
        import_module(f"{__name__}.{module.name}")
        for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name)
    ]
    joined = Discovery()
    files: dict[Any, list[Source]] = {module: [] for module in modules}
    for path in paths:
        for file in _files(path):
            try:
                text = file.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                if file is not path:
                    continue
                problem = getattr(error, "strerror", None) or "it is not UTF-8 text"
                raise InputError(f"cannot read {path}: {problem}", code="unreadable", where=str(path)) from None
            module = next((item for item in modules if item.fits(file, text)), None)
            if module is not None and (file is path or _readable(Source(file, text), joined)):
                files[module].append(Source(file, text))
            elif file is path:
                known = "compose files, Kubernetes manifests, OpenAPI documents, .env files and Procfiles"
                raise InputError(
                    f"{path} is no source that is understood",
                    code="unknown-source",
                    where=str(path),
                    hint=f"Known: {known}.",
                )
    for module, sources in files.items():
        part: Discovery = module.find(sources)
        joined.found.extend(part.found)
        joined.skipped.extend(part.skipped)
    joined.found = _linked(_named_once(joined.found))
    return joined


def _readable(source: Source, joined: Discovery) -> bool:
    """Whether a file that was found in a folder can be read; one that cannot is left out with the reason."""
    from senior_backend.console.errors import InputError

    if source.path.suffix not in (".yaml", ".yml", ".json"):
        return True
    try:
        source.documents()
    except InputError as error:
        joined.skipped.append(Skipped(source.name, f"{error}; {error.hint}" if error.hint else str(error)))
        return False
    return True


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _IGNORED_FOLDERS)
        found += [Path(folder, name) for name in sorted(names)]
        if len(found) > MAX_FILES:
            break
    return found[:MAX_FILES]


def render(discovery: Discovery) -> str:
    """Return the services.yaml."""
    lines = ["# Made by health_check.py --discover; every service says where it came from. Review it, then keep it.",
             "services:"]  # fmt: skip
    for item in discovery.found:
        lines.append(f"  # from {item.origin}")
        if item.depends_on and item.depends_origin:
            lines.append(f"  # depends_on from {item.depends_origin}")
        lines.extend(f"  # {remark}" for remark in item.remarks)
        values = {"name": item.name, **item.values}
        if item.depends_on:
            values["depends_on"] = list(item.depends_on)
        for index, (key, value) in enumerate(values.items()):
            lines.append(f"  {'- ' if index == 0 else '  '}{key}: {scalar(value)}")
        lines.append("")
    lines.extend(f"# left out, {item.origin}: {item.reason}" for item in discovery.skipped)
    return "\n".join(lines).rstrip() + "\n"


def scalar(value: Any) -> str:
    """Return a value as YAML on one line; JSON is YAML, and plain words need no quotes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z/$][\w./:@${}?-]*", value) and ": " not in value:
        return value if value.lower() not in ("true", "false", "null", "yes", "no", "on", "off") else f'"{value}"'
    return json.dumps(value, ensure_ascii=False)


def clean_name(text: str) -> str:
    """Return text as a service name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100] or "service"


def type_of(image: str, port: int | None) -> str:
    """Return the type of check for an image and a port, else tcp.

    An image that is named after a server may be a tool for it: where the port is another protocol's, the port decides.
    """
    by_port, by_image = _BY_PORT.get(port or 0), of_image(image)
    return by_port or by_image or "tcp"


def of_image(image: str) -> str | None:
    """Return the type of check that an image's name suggests."""
    base = _base(image)
    if "exporter" in base or "admin" in base:
        return None
    return next((kind for word, kind in _BY_IMAGE if word in base), None)


def known_path(image: str, port: int) -> str:
    """Return the path on which the server of an image tells its health at a port, empty when that is not known."""
    base = _base(image)
    if "exporter" in base or "admin" in base:
        return ""
    return next((path for word, its_port, path in _KNOWN_PATHS if word in base and port == its_port), "")


def _base(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[0].lower()


def place_in(variable: str, value: str) -> str | None:
    """Return the host that a variable names: of a URL, of `host:port`, or alone where its name says so."""
    host = host_of(value)
    match = None if host else _PLACE.match(value)
    if match and (":" in match[0] or _PLACE_VARIABLE.search(variable)):
        host = match[1]
    return host if host and host != "localhost" and not re.fullmatch(r"[\d.]+", host) else None


def address(kind: str, host: str, port: int, path: str = "", *, tls: bool = False) -> str:
    """Return a URL for a check."""
    if tls and kind == "http":
        return f"https://{host}:{port}{path}"
    scheme = next(scheme for scheme, (probe, tls) in by_scheme().items() if probe.type == kind and not tls)
    return f"{scheme}://{host}:{port}{path}"


def host_of(url: str) -> str | None:
    """Return the host of a URL that some check could use."""
    match = re.match(r"([a-z][a-z0-9]*)(?:\+[a-z0-9]+)?://(?:[^/@\s]*@)?([A-Za-z0-9._-]+)", url)
    return match[2] if match and match[1] in by_scheme() else None


def without_secrets(url: str) -> str:
    """Return a URL with its user, but without password and query, and its path only up to what looks like a token."""
    match = re.match(r"([^:]+://)(?:([^:/@]*)(?::[^/@]*)?@)?([^/?#]*)([^?#]*)", url)
    if not match:
        return ""
    user = f"{match[2]}@" if match[2] and not SECRET_KEY.search(match[2]) else ""
    path = match[4]
    for token in secrets_of_url(f"{match[1]}{match[3]}{path}", tainted=True):
        path = path.partition(token)[0]
    return f"{match[1]}{user}{match[3]}{path}"


def without_secret_query(path: str) -> str:
    """Return a path without its query where that looks like it holds a secret."""
    plain, _, query = path.partition("?")
    secret = any(SECRET_KEY.search(item.partition("=")[0]) for item in query.split("&"))
    return plain if secret else path


def documents(text: str) -> list[Node]:
    """Return the documents of a YAML or JSON text, with lines counted in the whole text.

    Raises:
        Unreadable: a document cannot be read.
    """
    if text.lstrip()[:1] == "{":
        from senior_backend.health.config.json_source import parse as parse_json

        root, _ = parse_json(text)
        return [root] if root else []
    from senior_backend.console.environment import ensure

    ensure("health", ["yaml"])
    from senior_backend.health.config.yaml_source import parse

    roots, start = [], 0
    lines = text.split("\n")
    borders = [index for index, line in enumerate(lines) if re.match(r"---(\s|$)", line)]
    for border in [*borders, len(lines)]:
        # Empty lines stand in for what came before, so that line numbers are those of the file.
        part = "\n" * start + "\n".join(lines[start:border])
        if part.strip():
            root, _ = parse(part)
            if root is not None and root.kind == "map":
                roots.append(root)
        start = border + 1
    return roots


def text_at(node: Node | None, *keys: str) -> str:
    """Return the text at a path of keys, empty where there is none."""
    found = node_at(node, *keys)
    return "" if found is None or found.kind != "scalar" or found.value is None else str(found.value)


def node_at(node: Node | None, *keys: str) -> Node | None:
    """Return the node at a path of keys."""
    for key in keys:
        node = node.get(key) if node is not None and node.kind == "map" else None
    return node


def environment_of(node: Node | None) -> dict[str, tuple[Node, str]]:
    """Return variables written as a mapping or as a list of `NAME=value`."""
    found: dict[str, tuple[Node, str]] = {}
    for key, value in node.entries if node else []:
        found[str(key.value)] = (key, "" if value.value is None else str(value.value))
    for item in node.items if node else []:
        name, _, value_text = str(item.value).partition("=")
        found[name] = (item, value_text)
    return found


def _named_once(items: list[Found]) -> list[Found]:
    seen: dict[str, int] = {}
    made: list[Found] = []
    known: set[str] = set()
    for item in items:
        same = f"{item.name} {scalar(dict(item.values))}"
        if same in known:
            continue  # one manifest in two folders, or once by itself and once in a file with all
        known.add(same)
        seen[item.name] = seen.get(item.name, 0) + 1
        made.append(item if seen[item.name] == 1 else replace(item, name=f"{item.name}-{seen[item.name]}"))
    return made


def _linked(items: list[Found]) -> list[Found]:
    """Return the services with those dependencies that are services themselves, without cycles."""
    names = {alias: item.name for item in items for alias in (item.name, *item.aliases)}
    edges: dict[str, list[str]] = {}
    made = []
    for item in items:
        wanted = dict.fromkeys(names[word] for word in item.depends_on if word in names)
        kept = [name for name in wanted if name != item.name and not _reaches(edges, name, item.name)]
        edges[item.name] = kept
        absent = [word for word in dict.fromkeys(item.declared) if word not in names]
        remarks = item.remarks
        if absent:
            remarks = (*remarks, f"needs {', '.join(absent)} too, which cannot be checked from here")
        made.append(replace(item, depends_on=tuple(kept), remarks=remarks))
    return made


def _reaches(edges: Mapping[str, list[str]], start: str, goal: str) -> bool:
    waiting, seen = [start], set()
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            waiting.extend(edges.get(name, ()))
    return False
