"""Prometheus blackbox_exporter: one module for each service, and the scrape jobs as a comment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from senior_backend.health.exports import variable_name, yaml_of
from senior_backend.health.model import Service

_TALKS: dict[str, list[dict[str, Any]]] = {
    "redis": [{"send": "PING"}, {"expect": r"^\+PONG"}],
    "smtp": [{"expect": "^220[ -]"}, {"send": "EHLO prober"}, {"expect": "^250[ -]"}, {"send": "QUIT"}],
    "ssh": [{"expect": "^SSH-2.0-"}],
    "nats": [{"expect": "^INFO "}],
}
_TCP_LIKE = frozenset({"tcp", "tls", "postgresql", "mysql", "amqp", "kafka", "mongodb", "mqtt", *_TALKS})


def render(services: Sequence[Service]) -> tuple[str, list[str]]:
    """Return the exporter's file and what it cannot express."""
    losses: list[str] = []
    modules: dict[str, Any] = {}
    jobs: list[str] = []
    for service in services:
        module, target = _module(service, losses)
        if module:
            modules[service.name] = module
            jobs.append(_job(service.name, target))
    head = "# Scrape jobs for prometheus.yml, with the exporter at 127.0.0.1:9115:\n# scrape_configs:\n"
    return yaml_of({"modules": modules}) + "\n\n" + head + "".join(jobs), losses


def _module(service: Service, losses: list[str]) -> tuple[dict[str, Any] | None, str]:
    host = f"[{service.host}]" if ":" in service.host else service.host
    target = f"{host}:{service.port}"
    module: dict[str, Any] = {"timeout": f"{service.timeout:g}s"}
    if service.type == "http":
        module = {"prober": "http", **module, "http": _http(service, losses)}
        path = str(service.options.get("path", "/")).partition("?")[0]
        target = f"{'https' if service.tls else 'http'}://{target}{path}"
    elif service.type == "grpc":
        settings: dict[str, Any] = {"service": service.options.get("service", ""), "tls": service.tls is not None}
        module = {"prober": "grpc", **module, "grpc": settings}
    elif service.type == "dns":
        query = {"query_name": service.options["query_name"], "query_type": service.options.get("record", "A")}
        module = {"prober": "dns", **module, "dns": query}
    elif service.type in _TCP_LIKE:
        module = {"prober": "tcp", **module}
        settings = {}
        if service.type in _TALKS and service.tls is None:
            settings["query_response"] = _TALKS[service.type]
        elif service.type not in ("tcp", "tls"):
            losses.append(f"{service.name}: blackbox_exporter only sees whether the port of {service.type} is open")
        if service.tls:
            settings |= {"tls": True, "tls_config": _tls(service)}
        if settings:
            module["tcp"] = settings
    else:
        losses.append(f"{service.name}: blackbox_exporter has no check of type {service.type}")
        return None, ""
    losses.extend(
        f"{service.name}: expect.{rule.subject} becomes an alert rule of Prometheus"
        for rule in service.expect
        if rule.subject not in ("status", "matches")
    )
    if service.degraded:
        losses.append(f"{service.name}: degraded thresholds become alert rules of Prometheus")
    return module, target


def _http(service: Service, losses: list[str]) -> dict[str, Any]:
    options = service.options
    made: dict[str, Any] = {"method": options.get("method", "GET")}
    made["follow_redirects"] = bool(options.get("follow_redirects"))
    for rule in service.expect:
        if rule.subject == "status":
            made["valid_status_codes"] = [code for low, high in rule.condition for code in range(low, high + 1)]
        if rule.subject == "matches":
            made["fail_if_body_not_matches_regexp"] = [rule.condition.pattern]
    if options.get("bearer"):
        made["authorization"] = {"type": "Bearer", "credentials_file": f"{variable_name(service.name)}_TOKEN_FILE"}
        losses.append(f"{service.name}: put the bearer token into the file that credentials_file names")
    elif options.get("user"):
        made["basic_auth"] = {
            "username": options["user"],
            "password_file": f"{variable_name(service.name)}_PASSWORD_FILE",
        }
        losses.append(f"{service.name}: put the password into the file that password_file names")
    if options.get("headers"):
        losses.append(f"{service.name}: its headers are left out, since they may hold secrets")
    if "?" in str(options.get("path", "")):
        losses.append(f"{service.name}: the query of the URL is left out, since it may hold a secret")
    if service.tls and (service.tls.insecure or service.tls.ca):
        made["tls_config"] = _tls(service)
    return made


def _tls(service: Service) -> dict[str, Any]:
    options = service.tls_options
    made: dict[str, Any] = {"insecure_skip_verify": options.insecure}
    if options.ca:
        made["ca_file"] = options.ca
    if options.server_name:
        made["server_name"] = options.server_name
    return made


def _job(name: str, target: str) -> str:
    return (
        f"#   - job_name: {name}\n#     metrics_path: /probe\n#     params: {{module: [{name}]}}\n"
        f"#     static_configs: [{{targets: ['{target}']}}]\n#     relabel_configs:\n"
        "#       - {source_labels: [__address__], target_label: __param_target}\n"
        "#       - {source_labels: [__param_target], target_label: instance}\n"
        "#       - {target_label: __address__, replacement: '127.0.0.1:9115'}\n"
    )
