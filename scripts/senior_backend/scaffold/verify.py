"""Runs the stack's checks on what was written, and says how far they reached."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from senior_backend.scaffold.model import Service
    from senior_backend.scaffold.stacks.contract import Stack, Step, VerifyLevel

LEVELS: Final[tuple[VerifyLevel, ...]] = ("fast", "test", "full")


@dataclass(frozen=True, slots=True)
class Verification:
    """The steps of one verification; nothing that was not run counts as passed."""

    level: VerifyLevel
    steps: tuple[Step, ...]

    @property
    def ok(self) -> bool:
        """Whether something was checked and everything held."""
        return any(not step.skipped for step in self.steps) and not self.failed

    @property
    def failed(self) -> tuple[Step, ...]:
        """The steps that did not hold."""
        return tuple(step for step in self.steps if not step.ok and not step.skipped)

    @property
    def skipped(self) -> tuple[Step, ...]:
        """The steps that could not be done here."""
        return tuple(step for step in self.steps if step.skipped)

    def to_json(self) -> dict[str, Any]:
        """Return the verification as the report shows it; `reached` is null where the level was not reached."""
        return {
            "level": self.level,
            "reached": self.level if self.ok else None,
            "seconds": round(sum(step.seconds for step in self.steps), 3),
            "steps": [
                {
                    "name": step.name,
                    "ok": step.ok,
                    "skipped": step.skipped,
                    "seconds": round(step.seconds, 3),
                    "detail": step.detail,
                    "output": step.output,
                }
                for step in self.steps
            ],
        }


def verify(stack: Stack, project: Path, service: Service, level: VerifyLevel) -> Verification:
    """Run the checks of `level`; each step is told on standard error as it ends."""

    def tell(step: Step) -> None:
        line = f"verify: {verdict(step):<4} {step.name} {step.seconds:.1f} s {step.detail}"
        sys.stderr.write(f"{line.rstrip()}\n")
        sys.stderr.flush()

    return Verification(level, tuple(stack.verify(project, service, level, tell)))


def verdict(step: Step) -> str:
    """Return how a step went, in four letters at most."""
    return "skip" if step.skipped else "ok" if step.ok else "FAIL"
