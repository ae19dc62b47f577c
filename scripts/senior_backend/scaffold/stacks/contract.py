"""What a stack must offer; the engine knows stacks only through this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from senior_backend.console.report import Finding
    from senior_backend.scaffold.model import Service

Owner = Literal["tool", "user"]
VerifyLevel = Literal["fast", "test", "full"]


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """One file of the generated project.

    `path` is relative, with forward slashes. The tool updates its own files by three-way merge; a file of owner
    `user` is written once and never touched again. `secret` files are created with mode 0600, differ from run to
    run and are left out of the manifest's hashes.
    """

    path: str
    content: str
    owner: Owner = "tool"
    executable: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the generated service; `roles` is empty where every authenticated caller may call it."""

    method: str
    path: str
    operation_id: str
    auth: bool
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a verification as it went; `output` holds the first failing lines."""

    name: str
    ok: bool
    seconds: float
    detail: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class MigrationChange:
    """The migration from one model to the next, or the reasons why none can be written safely."""

    file: RenderedFile | None
    findings: tuple[Finding, ...] = ()


class Stack(Protocol):
    """A package under `stacks/` that offers these functions at its top level."""

    def render(self, service: Service) -> list[RenderedFile]:
        """Return every file except migrations; equal models give equal bytes, secrets apart."""
        ...

    def migration(
        self, previous: Service | None, current: Service, *, number: int, down_revision: str | None
    ) -> MigrationChange:
        """Return the additive migration from `previous` (None: nothing) to `current`; no change gives no file."""
        ...

    def heads(self, project: Path) -> list[str]:
        """Return the newest revisions in `project`; more than one means that branches must be merged first."""
        ...

    def routes(self, service: Service) -> list[Route]:
        """Return the routes that the rendered service answers."""
        ...

    def environment(self, service: Service) -> list[dict[str, Any]]:
        """Return the variables the service reads: name, required, default, meaning."""
        ...

    def next_commands(self, service: Service) -> Sequence[tuple[str, str]]:
        """Return commands that start and call the generated service from its folder, each with why."""
        ...

    def verify(self, project: Path, service: Service, level: VerifyLevel, report: Callable[[Step], None]) -> list[Step]:
        """Run the checks of `level` on the project as it lies on disk, each step reported as it ends."""
        ...
