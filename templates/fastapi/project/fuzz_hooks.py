"""What schemathesis cannot know. `python -m tests.fuzz` runs it."""

import os
import uuid
from typing import Any

import schemathesis

CALLERS = frozenset(os.environ.get("FUZZ_CALLERS", "").split(","))
CHANGING = frozenset({"PUT", "PATCH", "DELETE"})


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    """Give each valid Idempotency-Key to one request only, and keep the callers' own accounts."""
    if not (case.meta and case.meta.generation.mode.is_positive):
        return
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.method.upper() in CHANGING:
        for name, value in (case.path_parameters or {}).items():
            if str(value) in CALLERS:
                case.path_parameters[name] = str(uuid.uuid4())
