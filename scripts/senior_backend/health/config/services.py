"""Nodes to services: which keys there are, what they mean together, and how services refer to each other."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from senior_backend.console.errors import did_you_mean
from senior_backend.health import assertions
from senior_backend.health.config.cycles import find_cycles
from senior_backend.health.config.fields import (
    AUTH_KEYS,
    BETTER_THAN_TCP,
    COMMON,
    DEFAULTS,
    READ_HERE,
    TLS_KEYS,
    TOP_KEYS,
)
from senior_backend.health.config.nodes import Node
from senior_backend.health.config.values import Field, Reader
from senior_backend.health.model import NO_OPTIONS, Service
from senior_backend.health.probes import Probe, all_probes, by_scheme, by_word, of_scheme, of_word
from senior_backend.health.security import SECRET_KEY, masked_url, secrets_of_url
from senior_backend.health.steps import TlsOptions

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.%]+[A-Za-z0-9]*")
_CYCLE_SHOWN = 8
_SCHEME = re.compile(r"^(?:basic|bearer|digest|token|apikey|negotiate)\s+", re.IGNORECASE)
_PLAIN_HEADER = re.compile(
    r"accept.*|content-.*|host|user-agent|cache-control|origin|referer|range|pragma|if-.*|te|x-forwarded-.*|x-request-id",
    re.IGNORECASE,
)
"""Headers whose values are no secrets: masking `text/html` or a host name would only hide what matters."""


class ServiceReader:
    """Reads a whole document; what is wrong ends up in `reader.problems`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._defaults: dict[str, tuple[Node, Node]] = {}
        self._default_values: dict[str, Any] = {}
        self._allowed_keys: dict[str, dict[str, None]] = {}
        self._tls_files: dict[str, bool] = {}
        self._needs: dict[str, list[Node]] = {}

    def read(self, root: Node) -> tuple[tuple[Service, ...], tuple[str, ...]]:
        """Return the services and the addresses that the file allows besides the usual ones."""
        reader = self._reader
        if root.kind != "map":
            reader.problem(
                root,
                "shape",
                f"expected a mapping with `services:`, found {root.describe()}",
                "Begin the file with `services:` and a list below it.",
            )
            return (), ()
        top = reader.known_keys(root, TOP_KEYS, "the file")
        if "defaults" in top:
            node = top["defaults"][1]
            if reader.mapping(node, "a mapping of defaults"):
                self._defaults = reader.known_keys(node, DEFAULTS, "defaults")
                self._default_values = self._values(self._defaults)
        allowed = self._addresses(top["allow_addresses"][1]) if "allow_addresses" in top else ()
        if "services" not in top:
            reader.problem(root, "no-services", "there is no `services:`", "List at least one service below it.")
            return (), allowed
        entries = self._entries(top["services"][1])
        services, places = self._all(entries)
        self._references(places)
        return services, allowed

    def _entries(self, node: Node) -> list[tuple[Node | None, Node]]:
        """Return name node (None where the item has to say it) and body of each service."""
        if node.kind == "list":
            entries: list[tuple[Node | None, Node]] = [(None, item) for item in node.items]
        else:
            entries = list(self._reader.mapping(node, "a list of services"))
        if not entries and (node.kind != "scalar" or node.empty):
            self._reader.problem(node, "no-services", "`services:` is empty", "List at least one service below it.")
        return [entry for entry in entries if not str(entry[0].value if entry[0] else "").startswith("x-")]

    def _all(self, entries: list[tuple[Node | None, Node]]) -> tuple[tuple[Service, ...], dict[str, Node]]:
        services: list[Service] = []
        places: dict[str, Node] = {}
        for key, body in entries:
            if body.kind != "map":
                self._reader.problem(
                    body,
                    "type",
                    f"a service is a mapping, found {body.describe()}",
                    "Write `- name: …` with `url: …` below.",
                )
                continue
            service = self._service(key, body)
            name = str(_name_node(key, body).value)
            if name in places:
                self._reader.problem(
                    _name_node(key, body),
                    "duplicate-name",
                    f"duplicate service '{name}'",
                    f"It is first defined on line {places[name].line}; names are unique.",
                )
                continue
            # A service with other faults is still one that others may depend on.
            places[name] = _name_node(key, body)
            self._needs[name] = _listed(body.get("depends_on"))
            if service is not None:
                services.append(service)
        return tuple(services), places

    def _service(self, key: Node | None, body: Node) -> Service | None:
        reader = self._reader
        name = self._name(key, body)
        type_node, url_node = body.get("type"), body.get("url")
        told = len(reader.problems)
        url = reader.text(url_node, "a URL") if url_node else None
        if len(reader.problems) > told:
            url = None  # with a variable missing, what is wrong with the rest of the URL would only confuse
        parts = self._split(url_node, url) if url_node and url is not None else None
        probe, starts_tls = self._probe(body, type_node, parts, name)
        if probe is None:
            reader.known_keys(body, self._every_key(), f"service '{name}'")
            return None
        found = reader.known_keys(body, self._keys(probe), f"service '{name}' of type {probe.type}")
        if name is None:
            return None
        values = {**self._default_values, **self._values(found)}
        options = self._options(probe, found, parts, body)
        tls, tls_options = self._tls(values.get("tls"), starts_tls)
        host, port = self._address(probe, values, parts, options, body, tls=tls is not None)
        where = found.get("expect") or found.get("degraded")
        expect = self._assertions(values.get("expect"), probe.facts, f"expect of '{name}'")
        degraded = self._assertions(values.get("degraded"), probe.facts, f"degraded of '{name}'")
        if probe.validate:
            probe.validate(reader, where[1] if where and not probe.fields else body, options)
        if probe.type == "tcp" and port in BETTER_THAN_TCP and not options.get("send"):
            better = BETTER_THAN_TCP[port]
            reader.warning(
                type_node or url_node or body,
                "weak-check",
                f"'{name}': an open port {port} does not show that {better} works",
                f"Use type {better}.",
            )
        place = _name_node(key, body)
        return Service(
            name=name,
            type=probe.type,
            host=host,
            port=port,
            tls=tls,
            tls_options=tls_options,
            timeout=_or(values.get("timeout"), 5.0),
            interval=_or(values.get("interval"), 30.0),
            retries=_or(values.get("retries"), 1),
            critical=_or(values.get("critical"), True),
            every_address=_or(values.get("every_address"), True),
            depends_on=tuple(dict.fromkeys(values.get("depends_on") or ())),
            tags=values.get("tags") or (),
            description=values.get("description") or "",
            expect=expect,
            degraded=degraded,
            options=options or NO_OPTIONS,
            target=_target(probe, url, host, port, options),
            line=place.line,
            column=place.column,
        )

    def _values(self, found: Mapping[str, tuple[Node, Node]]) -> dict[str, Any]:
        """Return the values of the keys that every type of service has."""
        return {
            word: field.kind.read(self._reader, node)
            for word, (_, node) in found.items()
            if (field := READ_HERE.get(word))
        }

    def _name(self, key: Node | None, body: Node) -> str | None:
        node = key or body.get("name")
        if node is None:
            self._reader.problem(body, "no-name", "a service without `name`", "Add `name: …`.")
            return None
        name = self._reader.word(node) if node.value is not None else None
        if key is not None and (own := body.get("name")) is not None and own.value != key.value:
            self._reader.problem(
                own, "two-names", f"the service is called '{key.value}' and '{own.value}'", "Keep one."
            )
        if name is not None and not _NAME.fullmatch(name):
            self._reader.problem(
                node,
                "name",
                f"{node.describe()} is not a name",
                "Use letters, digits, dot, dash and underscore, at most 100.",
            )
            return None
        return name

    def _split(self, node: Node, url: str) -> SplitResult | None:
        if not url:
            if not any((problem.line, problem.column) == (node.line, node.column) for problem in self._reader.problems):
                self._reader.problem(node, "url", "the URL is empty", "Write http://…, tcp://host:port or such.")
            return None
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            self._reader.problem(
                node,
                "url",
                f"not a URL: {str(error).split(' as ')[0]}",
                "Check host and port; one service has one host.",
            )
            return None
        self._reader.secrets |= secrets_of_url(url)
        if not parts.scheme or "://" not in url:
            self._reader.problem(node, "url", "a URL begins with a scheme", "Write http://…, tcp://host:port or such.")
            return None
        return parts

    def _probe(
        self, body: Node, type_node: Node | None, parts: SplitResult | None, name: str | None
    ) -> tuple[Probe | None, bool]:
        reader = self._reader
        probe: Probe | None = None
        starts_tls = False
        if parts is not None:
            scheme = parts.scheme.partition("+")[0]
            pair = of_scheme(scheme)
            if pair is None and type_node is None:
                near = did_you_mean(scheme, by_scheme())
                fix = f"Known schemes: {', '.join(sorted(by_scheme()))}."
                reader.problem(body.get("url") or body, "scheme", f"no check for scheme '{scheme}'{near}", fix)
            if pair is not None:
                probe, starts_tls = pair
        if type_node is not None:
            word = reader.word(type_node)
            named = of_word(word) if word else None
            if word and named is None:
                near = did_you_mean(word, by_word())
                fix = f"Types: {', '.join(all_probes())}."
                reader.problem(type_node, "unknown-type", f"unknown type '{word}'{near}", fix)
                return None, False
            if named is not None and probe is not None and named is not probe and named.type not in ("tcp", "tls"):
                message = f"type {named.type} does not fit a URL that begins with {parts.scheme if parts else ''}://"
                reader.problem(type_node, "type-and-url", message, "Drop `type`, or correct the URL.")
                return None, False
            if named is not None:
                starts_tls = starts_tls or word == "https" or named.always_tls
                probe = named
        elif parts is None and body.get("url") is None:
            reader.problem(
                _name_node(None, body),
                "no-target",
                f"service '{name}' has neither `url` nor `type`",
                "Add url: http://… , or type, host and port.",
            )
        return probe, starts_tls

    def _options(
        self, probe: Probe, found: dict[str, tuple[Node, Node]], parts: SplitResult | None, body: Node
    ) -> dict[str, Any]:
        reader = self._reader
        options: dict[str, Any] = {}
        if parts is not None:
            if probe.from_url and parts.scheme.partition("+")[0] in probe.schemes:
                options.update(probe.from_url(parts))
            known = {field.name for field in probe.fields}
            for name, raw in (("user", parts.username), ("password", parts.password)):
                if raw and name in known:
                    options[name] = unquote(raw)
            for item in ("password", "token"):
                if options.get(item):
                    reader.secrets.add(str(options[item]))
            if parts.password:
                reader.secrets.add(unquote(parts.password))
        auth = found.get("auth")
        if auth and reader.mapping(auth[1], "a mapping with user and password, or bearer"):
            allowed = [name for name in AUTH_KEYS if any(field.name == name for field in probe.fields)]
            for name, (_, value) in reader.known_keys(auth[1], allowed, "auth").items():
                self._keep(options, next(field for field in probe.fields if field.name == name), value)
        for field in probe.fields:
            pair = found.get(field.name) or (self._defaults.get(field.name) if field.name in DEFAULTS else None)
            if pair:
                self._keep(options, field, pair[1])
            elif field.required and field.name not in options:
                reader.problem(body, "missing", f"type {probe.type} needs `{field.name}`", field.help)
            elif field.default is not None:
                options.setdefault(field.name, field.default)
        return options

    def _keep(self, options: dict[str, Any], field: Field, node: Node) -> None:
        value = field.kind.read(self._reader, node)
        if value is None:
            return
        options[field.name] = value
        if field.secret or SECRET_KEY.search(field.name):
            if isinstance(value, Mapping):
                values = [item for name, item in value.items() if not _PLAIN_HEADER.fullmatch(name)]
            else:
                values = [value]
            for item in values:
                self._reader.secrets.update({str(item), _SCHEME.sub("", str(item))})

    def _address(
        self,
        probe: Probe,
        values: Mapping[str, Any],
        parts: SplitResult | None,
        options: Mapping[str, Any],
        body: Node,
        *,
        tls: bool,
    ) -> tuple[str, int]:
        reader = self._reader
        if probe.local:
            for key in ("url", "host", "port"):
                if (node := body.get(key)) is not None:
                    reader.problem(node, "local", f"type {probe.type} looks at this machine; it has no `{key}`")
            return "", 0
        host = (parts.hostname if parts else None) or values.get("host") or ""
        if parts and values.get("host") and body.get("url"):
            reader.problem(
                body.get("host") or body, "two-targets", "`url` and `host` both name the target", "Keep one."
            )
        if options.get("socket"):
            return host, values.get("port") or probe.port
        fallback = (probe.tls_port if tls else probe.port) or probe.port
        port = (parts.port if parts else None) or values.get("port") or fallback
        if not host and body.get("url") is not None and parts is None:
            return "", 0
        if not host and probe.host_optional:
            return "", port
        if not host:
            reader.problem(body.get("url") or body, "no-host", "there is no host to connect to", "Add `host: …`.")
        elif not _HOST.fullmatch(host.encode("idna").decode() if not host.isascii() and _idna(host) else host):
            reader.problem(body.get("host") or body.get("url") or body, "host", f"{host[:60]!r} is not a host name")
        if not port and not (body.get("port") is not None):
            reader.problem(body.get("url") or body, "no-port", f"type {probe.type} needs a port", "Add `port: …`.")
        return host, port or 0

    def _tls(self, node: Node | None, starts_tls: bool) -> tuple[TlsOptions | None, TlsOptions]:
        """Return the options when the connection begins with TLS, and the options for TLS that begins later."""
        options = TlsOptions()
        wanted = starts_tls
        if node is not None and node.kind == "scalar" and not node.empty:
            value = self._reader.boolean(node)
            wanted = starts_tls if value is None else value
        elif node is not None and not node.empty and self._reader.mapping(node, "true, false or a mapping"):
            found = self._reader.known_keys(node, TLS_KEYS, "tls")
            insecure = self._reader.boolean(found["insecure"][1]) if "insecure" in found else False
            texts = {name: self._reader.text(value) for name, (_, value) in found.items() if name != "insecure"}
            for name in ("ca", "cert", "key"):
                if texts.get(name) and not self._readable(str(texts[name])):
                    self._reader.problem(found[name][1], "file", f"tls.{name}: cannot read {texts[name]}")
            options = TlsOptions(**texts, insecure=bool(insecure))
        return (options if wanted else None), options

    def _readable(self, path: str) -> bool:
        if path not in self._tls_files:
            try:
                with open(path, "rb"):  # noqa: PTH123 - only whether it opens
                    self._tls_files[path] = True
            except OSError:
                self._tls_files[path] = False
        return self._tls_files[path]

    def _assertions(self, node: Node | None, facts: Mapping[str, str], of: str) -> tuple[assertions.Assertion, ...]:
        return assertions.read(self._reader, node, facts, of) if node is not None else ()

    def _keys(self, probe: Probe) -> dict[str, None]:
        if probe.type not in self._allowed_keys:
            names = [field.name for field in COMMON] + [field.name for field in probe.fields]
            self._allowed_keys[probe.type] = dict.fromkeys(names)
        return self._allowed_keys[probe.type]

    def _every_key(self) -> tuple[str, ...]:
        names = [field.name for field in COMMON]
        names += [field.name for probe in all_probes().values() for field in probe.fields]
        return tuple(dict.fromkeys(names))

    def _addresses(self, node: Node) -> tuple[str, ...]:
        found = []
        for item, text in self._reader.texts(node, "a list of addresses"):
            try:
                ipaddress.ip_network(text, strict=False)
                found.append(text)
            except ValueError:
                self._reader.problem(item, "address", f"{text!r} is not an address or network", "Write 169.254.1.2.")
        return tuple(found)

    def _references(self, places: dict[str, Node]) -> None:
        for name, needed in self._needs.items():
            for node in needed:
                if str(node.value) not in places and "$" not in str(node.value):
                    near = did_you_mean(str(node.value), places)
                    message = f"'{name}' depends on '{node.value}', which does not exist{near}"
                    self._reader.problem(node, "unknown-dependency", message)
        edges = {
            name: [str(node.value) for node in needed if str(node.value) in places]
            for name, needed in self._needs.items()
        }
        for cycle in find_cycles(edges):
            shown = cycle if len(cycle) <= _CYCLE_SHOWN else [*cycle[:4], f"… {len(cycle) - 7} more …", *cycle[-3:]]
            message = f"dependency cycle: {' -> '.join(shown)}"
            self._reader.problem(places[cycle[0]], "cycle", message, "Remove one of these `depends_on`.")


def _listed(node: Node | None) -> list[Node]:
    """Return the items of a list, or a single scalar as a list of one."""
    if node is None or node.empty:
        return []
    return node.items if node.kind == "list" else [node] if node.kind == "scalar" else []


def _name_node(key: Node | None, body: Node) -> Node:
    return key or body.get("name") or body


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _idna(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _target(probe: Probe, url: str | None, host: str, port: int, options: Mapping[str, Any]) -> str:
    if probe.local:
        subject = next((options[field.name] for field in probe.fields if options.get(field.name)), "")
        shown = " ".join(subject[:1]) if isinstance(subject, tuple) else getattr(subject, "pattern", subject)
        return f"{probe.type} {shown}".strip()
    if url:
        return masked_url(url)
    name = f"[{host}]" if ":" in host else host
    return str(
        options.get("socket") or f"{probe.type}://{name}:{port}{str(options.get('path') or '').partition('?')[0]}"
    )
