"""What a run would do to each file: the rendered project, the remembered one and the one on disk, compared."""

from __future__ import annotations

import fnmatch
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from senior_backend.console.errors import RefusedError, UndecidedError
from senior_backend.console.report import Finding
from senior_backend.scaffold import apply, merge, state
from senior_backend.scaffold.apply import Change
from senior_backend.scaffold.model import Service
from senior_backend.scaffold.state import State, digest
from senior_backend.scaffold.target import SPEC_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from senior_backend.scaffold.stacks.contract import RenderedFile
    from senior_backend.scaffold.target import Target

Action = Literal["created", "updated", "merged", "conflict", "removed", "left", "kept", "skipped", "unchanged"]
CHANGING: Final[tuple[Action, ...]] = ("created", "updated", "merged", "conflict", "removed", "left")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlan:
    """One file and what happens to it; `before` and `after` are its bytes on disk (None: no file).

    `kept` has edits of the user's and needs nothing; `left` is of no use any more but was edited; a `conflict`
    leaves the file alone and writes the change beside it. `drift` says that the tree is not what the spec says.
    """

    path: str
    action: Action
    owner: str
    before: bytes | None
    after: bytes | None
    mode: int | None = None
    secret: bool = False

    @property
    def drift(self) -> bool:
        """Whether a check of the tree fails because of this file; a checkout has no secrets."""
        return self.action in CHANGING and not self.secret


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run would do: the files that people see, the changes on disk, and the state afterwards."""

    files: tuple[FilePlan, ...]
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    migrations: tuple[str, ...]

    @property
    def conflicts(self) -> tuple[FilePlan, ...]:
        """The files that need the user."""
        return tuple(item for item in self.files if item.action in ("conflict", "left"))

    @property
    def drift(self) -> tuple[FilePlan, ...]:
        """The files that are not what the spec says."""
        return tuple(item for item in self.files if item.drift)


def make_plan(
    target: Target,
    previous: State,
    service: Service,
    rendered: Sequence[RenderedFile],
    *,
    migrations: Sequence[RenderedFile],
    spec_text: str,
    skip: Sequence[str] = (),
) -> Plan:
    """Return what brings `target` from its state to `service`; `rendered` are its files without the new `migrations`.

    Raises:
        RefusedError: a file would be written over one that the tool does not own.
    """
    planner = _Planner(target, previous)

    def skipped(path: str) -> bool:
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in skip)

    wanted = [file for file in rendered if not skipped(file.path)]
    for file in wanted:
        planner.add(file)
    for file in migrations:
        planner.add_migration(file)
    planner.drop_except({file.path for file in wanted}, skipped)
    planner.refuse_foreign()
    planner.add_spec(spec_text)
    after = State(
        service=service,
        bases=planner.bases,
        once=planner.once,
        migrations=previous.migrations + len(migrations),
        pending=planner.pending,
    )
    planner.add_state(previous, after)
    return Plan(
        files=tuple(sorted(planner.files, key=lambda item: item.path)),
        changes=tuple(planner.changes),
        findings=tuple(planner.findings),
        migrations=tuple(file.path for file in migrations),
    )


class _Planner:
    def __init__(self, target: Target, previous: State) -> None:
        self.target = target
        self.previous = previous
        self.files: list[FilePlan] = []
        self.changes: list[Change] = []
        self.findings: list[Finding] = []
        self.foreign: list[str] = []
        self.bases: dict[str, str] = {}
        self.once: dict[str, str | None] = {}
        self.pending: dict[str, str] = {}

    def add(self, file: RenderedFile) -> None:
        disk = apply.read(self.target.root / file.path)
        if file.owner == "user" or file.secret:
            self._add_once(file, disk)
            return
        base = self.previous.bases.get(file.path)
        self.bases[file.path] = file.content
        if disk is None:
            action: Action = "created"
            if base is not None:
                self._note(
                    "restored",
                    "info",
                    file.path,
                    "was deleted; it is written again",
                    "To leave it out, add it to `skip:`.",
                )
            self._write(file, action, None, file.content.encode())
            self._drop_reject(file.path)
            return
        if base is None:
            self._adopt(file, disk)
            return
        self._update(file, base, disk)

    def add_migration(self, file: RenderedFile) -> None:
        """Add a new migration: the tool writes it and never looks at it again."""
        disk = apply.read(self.target.root / file.path)
        if disk is None:
            self._write(file, "created", None, file.content.encode())
        elif disk == file.content.encode():
            self._show(file, "unchanged", disk)
        else:
            self.foreign.append(file.path)

    def _add_once(self, file: RenderedFile, disk: bytes | None) -> None:
        known = file.path in self.previous.once
        written = None if file.secret else digest(file.content)
        self.once[file.path] = self.previous.once[file.path] if known else written
        if disk is None and (not known or file.secret):
            self._write(file, "created", None, file.content.encode())
        elif disk is None:
            self._show(file, "skipped", None)
        elif not known and not file.secret and disk != file.content.encode():
            self.foreign.append(file.path)
        else:
            same = file.secret or (written == digest(disk))
            self._show(file, "unchanged" if same else "kept", disk)

    def _adopt(self, file: RenderedFile, disk: bytes) -> None:
        if _lines(disk) == file.content:
            self._show(file, "unchanged", disk)
        else:
            self.foreign.append(file.path)

    def _update(self, file: RenderedFile, base: str, disk: bytes) -> None:
        new, text = file.content, _lines(disk)
        pending = self.previous.pending.get(file.path)
        if pending is not None and apply.read(self.target.root / f"{file.path}.rej") is None:
            base, pending = pending, None  # the user has removed FILE.rej: decided
        if text == new:
            self._drop_reject(file.path)
            if self._needs_mode(file):
                self._write(file, "updated", disk, disk)
            else:
                self._show(file, "unchanged", disk)
        elif text == base:
            self._drop_reject(file.path)
            self._write(file, "updated", disk, _with_newlines(new, disk))
        elif base == new and pending is None:
            self._show(file, "kept", disk)
        else:
            merged = (
                merge.Merged(None, 1)
                if text is None
                else merge.merge(text, base, new, python=file.path.endswith(".py"))
            )
            if merged.text is None or _breaks(file.path, text or "", merged.text):
                self._conflict(file, base, disk, merged.conflict_line or 1)
            else:
                self._drop_reject(file.path)
                after = _with_newlines(merged.text, disk)
                if after == disk:
                    self._show(file, "kept", disk)
                else:
                    self._write(file, "merged", disk, after)

    def _conflict(self, file: RenderedFile, base: str, disk: bytes, line: int) -> None:
        self.bases[file.path] = base
        self.pending[file.path] = file.content
        reject = f"{file.path}.rej"
        content = merge.rejected(file.path, base, file.content).encode()
        before = apply.read(self.target.root / reject)
        if before != content:
            self.changes.append(Change(reject, before, content))
        self._show(file, "conflict", disk)
        self._note(
            "merge-conflict",
            "error",
            f"{file.path}:{line}",
            "you and the tool changed the same lines; your file is as it was",
            f"Bring over what you want from {reject} (`patch --merge {file.path} {reject}` does most of it), "
            f"delete {reject}, and run the command again.",
        )

    def drop_except(self, wanted: set[str], skipped: Callable[[str], bool]) -> None:
        """Remove what is rendered no more; what the user has edited stays and is told, what is skipped is his."""
        for path, base in self.previous.bases.items():
            if path not in wanted and not skipped(path):
                self._drop(path, "tool", {digest(base)})
        for path, hash_ in self.previous.once.items():
            if path in self.once or skipped(path):
                continue
            if hash_ is None:
                self.once[path] = hash_
            else:
                self._drop(path, "user", {hash_})

    def _drop(self, path: str, owner: str, unedited: set[str]) -> None:
        disk = apply.read(self.target.root / path)
        self._drop_reject(path)
        if disk is None:
            return
        if digest(disk) in unedited or digest(_lines(disk) or "") in unedited:
            self.changes.append(Change(path, disk, None))
            self.files.append(FilePlan(path=path, action="removed", owner=owner, before=disk, after=None))
            return
        if owner == "tool":
            self.bases[path] = self.previous.bases[path]
        else:
            self.once[path] = self.previous.once[path]
        self.files.append(FilePlan(path=path, action="left", owner=owner, before=disk, after=disk))
        self._note(
            "edited-file-left",
            "error",
            path,
            "the specification has no use for it any more, but it has edits of yours",
            "Delete it, or move your lines elsewhere, and run the command again.",
        )

    def add_spec(self, text: str) -> None:
        path, content = SPEC_FILE, text.encode()
        disk = apply.read(self.target.root / path)
        if disk is not None and _lines(disk) == text:
            content = disk
        action: Action = "unchanged" if disk == content else "created" if disk is None else "updated"
        if disk != content:
            self.changes.append(Change(path, disk, content))
        self.files.append(FilePlan(path=path, action=action, owner="user", before=disk, after=content))

    def add_state(self, previous: State, after: State) -> None:
        """Add the changes of `.scaffold/`; a newer tool alone changes nothing there."""
        if any(item.action in CHANGING for item in self.files) or not state.equal_models(
            previous.service, service_of(after)
        ):
            tool = after.tool
        else:
            tool = previous.tool
        new = state.files(replace(after, tool=tool))
        old = state.files(previous)
        for path, content in sorted(new.items()):
            disk = apply.read(self.target.root / path)
            if disk is None or not state.same_content(path, disk, content):
                self.changes.append(Change(path, disk, content))
        for path in sorted(set(old) - set(new)):
            disk = apply.read(self.target.root / path)
            if disk is not None:
                self.changes.append(Change(path, disk, None))

    def refuse_foreign(self) -> None:
        """Refuse to write over files that are neither the tool's nor equal to what it would write.

        Raises:
            RefusedError: there are some; each is a finding.
        """
        if not self.foreign:
            return
        fix = "Rename or remove it, add it to `skip:` in the specification, or generate into another folder."
        raise RefusedError(
            f"{len(self.foreign)} files are in the way that this tool does not own; nothing was written",
            code="file-not-ours",
            findings=[
                Finding("file-not-ours", "error", "exists and was not generated by this tool", path, fix)
                for path in sorted(self.foreign)
            ],
        )

    def _needs_mode(self, file: RenderedFile) -> bool:
        mode = (self.target.root / file.path).stat().st_mode
        return file.executable and not mode & stat.S_IXUSR

    def _write(self, file: RenderedFile, action: Action, before: bytes | None, after: bytes) -> None:
        mode = 0o600 if file.secret else None
        if file.executable:
            mode = 0o777 if before is None else 0o755
        self.changes.append(Change(file.path, before, after, mode))
        self.files.append(
            FilePlan(
                path=file.path,
                action=action,
                owner=file.owner,
                before=before,
                after=after,
                mode=mode,
                secret=file.secret,
            )
        )

    def _show(self, file: RenderedFile, action: Action, disk: bytes | None) -> None:
        self.files.append(
            FilePlan(path=file.path, action=action, owner=file.owner, before=disk, after=disk, secret=file.secret)
        )

    def _drop_reject(self, path: str) -> None:
        """Remove FILE.rej of a conflict that is settled, and only one that the tool wrote."""
        if path not in self.previous.pending:
            return
        reject = f"{path}.rej"
        disk = apply.read(self.target.root / reject)
        if disk is not None:
            self.changes.append(Change(reject, disk, None))

    def _note(self, code: str, severity: Literal["error", "info"], where: str, message: str, fix: str) -> None:
        self.findings.append(Finding(code, severity, message, where, fix))


def service_of(after: State) -> Service:
    """Return the model of a state that has one."""
    if after.service is None:
        raise ValueError("a state after a run has a model")
    return after.service


def check_heads(heads: Iterable[str], root: Path) -> str | None:
    """Return the one newest migration, None where there is none.

    Raises:
        UndecidedError: there are several.
    """
    found = list(heads)
    if len(found) > 1:
        raise UndecidedError(
            f"the migrations have {len(found)} heads ({', '.join(found)})",
            code="several-heads",
            where=str(root),
            hint='Merge them first: `alembic merge -m "merge branches" heads`.',
        )
    return found[0] if found else None


def _lines(content: bytes) -> str | None:
    """Return a file as text with LF line ends, None where it is no text; git on Windows may have changed them."""
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def _with_newlines(text: str, like: bytes) -> bytes:
    crlf = like.count(b"\r\n")
    return text.replace("\n", "\r\n").encode() if crlf and crlf * 2 > like.count(b"\n") else text.encode()


def _breaks(path: str, before: str, after: str) -> bool:
    """Whether a merge that joins line by line has made Python out of which no program can be built."""
    return path.endswith(".py") and _compiles(before) and not _compiles(after)


def _compiles(text: str) -> bool:
    import ast

    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
