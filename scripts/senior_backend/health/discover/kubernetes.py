"""Kubernetes manifests: readiness probes of workloads, and the Services in front of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from senior_backend.health.config.nodes import Node
from senior_backend.health.discover import (
    Discovery,
    Found,
    Skipped,
    Source,
    address,
    clean_name,
    host_of,
    node_at,
    place_in,
    text_at,
    type_of,
)

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Pod", "ReplicaSet")


def fits(path: Path, text: str) -> bool:
    """Whether the file has an object of Kubernetes."""
    return path.suffix in (".yaml", ".yml", ".json") and bool(
        re.search(r"^\s*\"?apiVersion\"?:", text, re.MULTILINE) and re.search(r"^\s*\"?kind\"?:", text, re.MULTILINE)
    )


def find(files: Sequence[Source]) -> Discovery:
    """Return a service for each Service object, with the probe of the workload that it selects, in whichever file."""
    made = Discovery()
    objects = [(file.name, item) for file in files for root in file.documents() for item in _items(root)]
    workloads = [pair for pair in objects if text_at(pair[1], "kind") in _WORKLOADS]
    served: set[int] = set()
    for name, item in objects:
        if text_at(item, "kind") == "Service":
            if text_at(item, "spec", "type") == "ExternalName":
                continue
            workload = next((pair for pair in workloads if _selects(item, pair[1])), None)
            _service(item, name, workload, made)
            served.add(id(workload[1]) if workload else 0)
    for name, work in workloads:
        if id(work) not in served:
            label = text_at(work, "metadata", "name")
            made.skipped.append(Skipped(f"{name}:{work.line} ({label})", "no Service leads to it"))
    return made


def _items(root: Node) -> list[Node]:
    items = node_at(root, "items")
    return items.items if text_at(root, "kind") == "List" and items else [root]


def _pod(workload: Node) -> Node | None:
    return workload if text_at(workload, "kind") == "Pod" else node_at(workload, "spec", "template")


def _selects(service: Node, workload: Node) -> bool:
    selector = node_at(service, "spec", "selector")
    labels = node_at(_pod(workload), "metadata", "labels")
    wanted = {str(key.value): value.value for key, value in selector.entries} if selector else {}
    given = {str(key.value): value.value for key, value in labels.entries} if labels else {}
    return bool(wanted) and wanted.items() <= given.items()


def _service(service: Node, file: str, workload: tuple[str, Node] | None, made: Discovery) -> None:
    place = file
    label = text_at(service, "metadata", "name")
    namespace = text_at(service, "metadata", "namespace")
    host = f"{label}.{namespace}" if namespace else label
    ports = node_at(service, "spec", "ports")
    first = ports.items[0] if ports and ports.items else None
    port = text_at(first, "port")
    if not port.isdigit():
        made.skipped.append(Skipped(f"{file}:{service.line} ({label})", "the Service has no port"))
        return
    if workload:
        place = workload[0]
    containers = node_at(_pod(workload[1]), "spec", "containers") if workload else None
    container = containers.items[0] if containers and containers.items else None
    probe = node_at(container, "readinessProbe") or node_at(container, "livenessProbe")
    values: dict[str, object] = {"url": address(type_of(text_at(container, "image"), int(port)), host, int(port))}
    origin = f"{file}:{service.line} (Service {label})"
    remarks = [f"reachable where the name {host} resolves, such as in the cluster"]
    if probe and (get := node_at(probe, "httpGet")):
        scheme = "https" if text_at(get, "scheme").upper() == "HTTPS" else "http"
        values = {"url": f"{scheme}://{host}:{port}{text_at(get, 'path') or '/'}"}
        origin = f"{place}:{get.line} (httpGet probe)"
    elif probe and (grpc := node_at(probe, "grpc")):
        values = {"url": address("grpc", host, int(port), f"/{text_at(grpc, 'service')}".rstrip("/"))}
        origin = f"{place}:{grpc.line} (grpc probe)"
    if probe and text_at(probe, "timeoutSeconds").isdigit():
        values["timeout"] = f"{text_at(probe, 'timeoutSeconds')}s"
    needed: list[str] = []
    environment = node_at(container, "env")
    for item in environment.items if environment else []:
        variable = text_at(item, "name")
        target = place_in(variable, text_at(item, "value"))
        word = target.split(".")[0] if target else ""
        if target and word not in (*needed, label):
            needed.append(word)
            if host_of(text_at(item, "value")):
                remarks.append(f"depends on {target} by {variable} ({place}:{item.line})")
    made.found.append(Found(clean_name(label), origin, values, tuple(needed), tuple(remarks), (label, host)))
