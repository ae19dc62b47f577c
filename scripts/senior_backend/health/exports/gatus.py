"""Gatus: endpoints with conditions (https://github.com/TwiN/gatus)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from senior_backend.health.assertions import Assertion
from senior_backend.health.exports import variable_name, yaml_of
from senior_backend.health.model import Service

_TCP_LIKE = frozenset(
    {"tcp", "postgresql", "mysql", "redis", "amqp", "nats", "kafka", "mongodb", "mqtt", "ssh", "smtp"}
)


def render(services: Sequence[Service]) -> tuple[str, list[str]]:
    """Return the configuration and what Gatus cannot express."""
    losses: list[str] = []
    endpoints = [entry for service in services if (entry := _endpoint(service, losses))]
    return yaml_of({"endpoints": endpoints}) + "\n", losses


def _endpoint(service: Service, losses: list[str]) -> dict[str, Any] | None:
    host = f"[{service.host}]" if ":" in service.host else service.host
    entry: dict[str, Any] = {"name": service.name}
    if service.tags:
        entry["group"] = service.tags[0]
    conditions: list[str] = []
    if service.type == "http":
        entry |= _http(service, host, losses)
    elif service.type in ("grpc", "websocket"):
        scheme = {"grpc": "grpc", "websocket": "ws"}[service.type] + ("s" if service.tls else "")
        entry["url"] = f"{scheme}://{host}:{service.port}{service.options.get('path', '')}"
        conditions.append("[CONNECTED] == true")
    elif service.type == "tls":
        entry["url"] = f"tls://{host}:{service.port}"
        conditions.append("[CONNECTED] == true")
    elif service.type == "dns":
        entry["url"] = host
        record = service.options.get("record", "A")
        entry["dns"] = {"query-name": service.options["query_name"], "query-type": record}
        conditions.append("[DNS_RCODE] == NOERROR")
    elif service.type in _TCP_LIKE:
        entry["url"] = f"tcp://{host}:{service.port}"
        conditions.append("[CONNECTED] == true")
        if service.type != "tcp":
            losses.append(f"{service.name}: Gatus only sees whether the port of {service.type} is open")
    else:
        losses.append(f"{service.name}: Gatus has no check of type {service.type}")
        return None
    entry["interval"] = f"{service.interval:g}s"
    client: dict[str, Any] = {"timeout": f"{service.timeout:g}s"}
    if service.tls_options.insecure:
        client["insecure"] = True
    if service.type == "http" and not service.options.get("follow_redirects"):
        client["ignore-redirect"] = True
    entry["client"] = client
    for rule in service.expect:
        made = _condition(rule)
        conditions.extend(made)
        if not made:
            losses.append(f"{service.name}: expect.{rule.subject} has no counterpart in Gatus")
    if service.type == "http" and not any(item.startswith("[STATUS]") for item in conditions):
        conditions[:0] = ["[STATUS] >= 200", "[STATUS] < 300"]
    if service.degraded:
        losses.append(f"{service.name}: Gatus has no degraded state")
    if service.depends_on:
        losses.append(f"{service.name}: Gatus has no dependencies between endpoints")
    entry["conditions"] = conditions
    return entry


def _http(service: Service, host: str, losses: list[str]) -> dict[str, Any]:
    path, _, query = str(service.options.get("path", "/")).partition("?")
    made: dict[str, Any] = {"url": f"{'https' if service.tls else 'http'}://{host}:{service.port}{path}"}
    if query:
        losses.append(f"{service.name}: the query of the URL is left out, since it may hold a secret")
    if service.options.get("method", "GET") != "GET":
        made["method"] = service.options["method"]
    headers = dict.fromkeys(service.options.get("headers") or {})
    if service.options.get("bearer") or service.options.get("user"):
        headers["Authorization"] = None
    if headers:
        made["headers"] = {name: f"${{{variable_name(service.name, name)}}}" for name in headers}
    return made


def _condition(rule: Assertion) -> list[str]:
    if rule.subject == "status":
        if len(rule.condition) == 1:
            low, high = rule.condition[0]
            return [f"[STATUS] == {low}"] if low == high else [f"[STATUS] >= {low}", f"[STATUS] <= {high}"]
        if all(low == high for low, high in rule.condition):
            return [f"[STATUS] == any({', '.join(str(low) for low, _ in rule.condition)})"]
        return []
    if rule.subject == "total":
        return [f"[RESPONSE_TIME] < {rule.condition * 1000:g}"]
    if rule.subject == "tls_days":
        return [f"[CERTIFICATE_EXPIRATION] > {rule.condition * 24:g}h"]
    if rule.subject == "contains" and not re.search(r"[*()]", rule.condition):
        return [f"[BODY] == pat(*{rule.condition}*)"]
    if rule.subject == "json" and rule.condition.operator in ("==", "!="):
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rule.path)
        operand = rule.condition.operand
        text = operand if isinstance(operand, str) else json.dumps(operand)
        return [f"[BODY]{path} {rule.condition.operator} {text}"]
    # Gatus takes a missing value for 0 and cuts fractions off, so numbers are only compared where it cannot matter.
    if rule.subject == "json" and isinstance(rule.condition.operand, int) and rule.condition.operator in (">", ">="):
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rule.path)
        return [f"[BODY]{path} {rule.condition.operator} {rule.condition.operand}"]
    return []
