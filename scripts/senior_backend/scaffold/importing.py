"""From a foreign model to `resources.yaml`, for review: what cannot be said is left out and told, never guessed."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from senior_backend.console.environment import SKILL_ROOT
from senior_backend.console.errors import InputError, RefusedError
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.files import write_atomically
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.scaffold import generate, naming, target
from senior_backend.scaffold.drafts import FieldDraft, Located, ResourceDraft, ServiceDraft
from senior_backend.scaffold.report import program
from senior_backend.scaffold.spec import RESOURCE_LIMIT
from senior_backend.scaffold.spec_text import service_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.scaffold.model import Service

ROUNDS: Final = 50
"""Leaving one thing out may make another one impossible: a resource, then the refs to it, then …"""


def write_specification(
    name: str, drafts: Sequence[ResourceDraft], findings: Sequence[Finding], *, out: Path, write: bool
) -> tuple[Report, str]:
    """Write what an import found to `resources.yaml` in `out` and report everything that was lost.

    Raises:
        InputError: there is nothing to write, or more than a service may have.
        RefusedError: another specification is there, or `out` is in the skill's own folder.
    """
    service, left_out = fit(_service_name(name), drafts)
    text = service_text(service)
    path = out / target.SPEC_FILE
    real = out.resolve()
    if real == SKILL_ROOT or SKILL_ROOT in real.parents:
        raise RefusedError(
            "the target is inside the skill's own folder",
            code="target-in-skill",
            where=str(path),
            hint="Name another place with --out.",
        )
    there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    if write and there is not None and there != text:
        raise RefusedError(
            "another specification is there already; nothing was written",
            code="spec-exists",
            where=str(path),
            hint="Name another place with --out, and bring over what you want; `--dry-run` only shows it.",
        )
    if write and there is None:
        write_atomically(path, text)
    every = (*findings, *left_out)
    summary = f"{len(service.resources)} resources, {len(every)} things lost on the way; "
    summary += f"review {path}" if write else "nothing was written"
    data = {"spec": text, "path": str(path) if write else None, "resources": [item.name for item in service.resources]}
    following = (
        NextCommand(
            f"{program()} --spec {shlex.quote(str(path))} --dry-run", "Once it says what you mean, see what it makes."
        ),
    )
    return Report("api_scaffold", ExitCode.OK, summary, every, data, following if write else ()), text


def fit(name: str, drafts: Sequence[ResourceDraft]) -> tuple[Service, list[Finding]]:
    """Return the model of as much of `drafts` as it can hold, and a finding for each thing left out.

    Raises:
        InputError: nothing is left, or there are too many resources.
    """
    resources = [_unambiguous(draft) for draft in drafts]
    findings: list[Finding] = []
    if len(resources) > RESOURCE_LIMIT:
        raise InputError(
            f"{len(resources)} resources; one service has at most {RESOURCE_LIMIT}",
            code="too-many-resources",
            hint="Split the model into several services.",
        )
    for _ in range(ROUNDS):
        if not resources:
            break
        try:
            draft = ServiceDraft(name=Located(name, "name"), resources=tuple(resources))
            return generate.build(draft), findings
        except InputError as error:
            resources = _without(resources, error.findings, findings)
    raise InputError(
        "nothing was found that could become a resource",
        code="nothing-found",
        findings=[
            Finding(
                "nothing-found", "error", "no table or schema can become a resource", None, "Write resources.yaml."
            ),
            *findings,
        ],
    )


def _unambiguous(draft: ResourceDraft) -> ResourceDraft:
    """Return `draft` with a plural of its own where its name looks like one, or where the usual one is reserved."""
    many = naming.plural(draft.name.value)
    reserved = many in naming.RESERVED_PLURALS or naming.is_python_keyword(many)
    if draft.plural is None and (reserved or naming.is_plural(draft.name.value)):
        return dataclasses.replace(draft, plural=Located(f"{draft.name.value}_list", draft.name.where))
    return draft


def _without(
    resources: list[ResourceDraft], problems: Sequence[Finding], findings: list[Finding]
) -> list[ResourceDraft]:
    """Return `resources` without what the problems are about: a setting, a field, a link, or a whole resource."""
    places: dict[str | None, Finding] = {}
    for problem in problems:
        places.setdefault(problem.where, problem)
    kept: list[ResourceDraft] = []
    for resource in resources:
        changed = _repaired(resource, places, findings)
        if changed is None:
            continue
        kept.append(changed)
    if kept == resources:
        # Nothing could be tied to its place; one at a time, the last resource goes.
        problem = problems[0]
        findings.append(_lost(f"{problem.message}; resource '{resources[-1].name.value}' is left out", problem.where))
        return resources[:-1]
    return kept


def _repaired(
    resource: ResourceDraft, places: dict[str | None, Finding], findings: list[Finding]
) -> ResourceDraft | None:
    fields: list[FieldDraft] = []
    for item in resource.fields or ():
        changed = _repaired_field(item, places, findings)
        if changed is not None:
            fields.append(changed)
    links = tuple(link for link in resource.links if link.target.where not in places)
    findings += [
        _lost(f"{places[link.target.where].message}; the link is left out", link.target.where)
        for link in resource.links
        if link.target.where in places
    ]
    resource_changed = tuple(fields) != (resource.fields or ()) or links != resource.links
    problem = places.get(resource.name.where)
    if problem is not None and not resource_changed:
        if problem.code in ("bad-identity", "two-identities"):
            findings.append(_lost(f"{problem.message}; it does not log in", problem.where))
            return dataclasses.replace(resource, identity=None)
        if resource.indexes and problem.code in ("bad-index", "unknown-field", "duplicate-index"):
            findings.append(_lost(f"{problem.message}; its indexes are left out", problem.where))
            return dataclasses.replace(resource, indexes=())
        findings.append(_lost(f"{problem.message}; resource '{resource.name.value}' is left out", problem.where))
        return None
    return dataclasses.replace(resource, fields=tuple(fields), links=links)


def _repaired_field(item: FieldDraft, places: dict[str | None, Finding], findings: list[Finding]) -> FieldDraft | None:
    target_place = item.settings.get("target")
    problem = places.get(target_place.where) if target_place else None
    if problem is not None and problem.code == "cyclic-refs":
        findings.append(_lost(f"{problem.message}; '{item.name.value}' is made optional", item.name.where))
        optional = Located(True, item.name.where)
        return dataclasses.replace(item, settings={**item.settings, "optional": optional})
    bad = [
        key
        for key, setting in item.settings.items()
        if setting.where in places and setting.where not in (item.name.where, item.type.where)
    ]
    if "values" in bad:
        findings.append(_lost(f"{places[item.settings['values'].where].message}; it becomes str", item.name.where))
        plain = {
            key: value for key, value in item.settings.items() if key in ("optional", "unique", "index", "default")
        }
        return dataclasses.replace(item, type=Located("str", item.type.where), settings=plain)
    if bad and "target" not in bad:
        findings += [
            _lost(f"{places[item.settings[key].where].message}; `{key}` is left out", item.name.where) for key in bad
        ]
        return dataclasses.replace(
            item, settings={key: value for key, value in item.settings.items() if key not in bad}
        )
    problem = problem or places.get(item.name.where) or places.get(item.type.where)
    if bad:
        problem = places[item.settings[bad[0]].where]
    if problem is None:
        return item
    findings.append(_lost(f"{problem.message}; the field is left out", item.name.where))
    return None


def _lost(message: str, where: str | None) -> Finding:
    return Finding("lossy", "warning", message, where, "Review it in the specification.")


def _service_name(title: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    name = re.sub(r"^[0-9-]+", "", name)[: naming.NAME_LIMIT].strip("-").removesuffix("-service")
    return name or "service"
