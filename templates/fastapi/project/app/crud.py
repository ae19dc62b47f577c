"""The operations that every resource has; a resource's routes say which of them it offers, and to whom."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import Response

from app import idempotency, service, statements
from app.calls import Call
from app.columns import new_id, now
from app.db import Connection, ConstraintError
from app.errors import ApiError
from app.etags import expected_versions, not_modified
from app.pagination import Walk
from app.passwords import hash_password
from app.resource import Resource, known, view
from app.responses import item, page
from app.schemas import Body, PageQuery

OnSecretChange = Callable[[Connection, UUID], Awaitable[None]]
Values = Mapping[str, Any]


def is_scoped(resource: Resource, call: Call) -> bool:
    """Return whether the caller sees only rows of its own."""
    return resource.scope is not None and not (resource.identity and call.sees_all)


def _who(resource: Resource, call: Call, row_id: UUID | None = None) -> dict[str, Any]:
    return {"id": row_id, "scope": call.caller.id} if resource.scope is not None else {"id": row_id}


def not_found(resource: Resource) -> ApiError:
    """Return the answer for a row that is not there, or not there for this caller."""
    return ApiError(404, f"There is no such {resource.name.replace('_', ' ')}")


async def require(resource: Resource, call: Call, row_id: UUID) -> int:
    """Return the version of a row that the caller can see.

    Raises:
        ApiError: 404, there is none.
    """
    statement = statements.exists(resource, scoped=is_scoped(resource, call))
    rows = await call.db.rows(statement, _who(resource, call, row_id))
    if not rows:
        raise not_found(resource)
    return int(rows[0][0])


async def list_page(
    resource: Resource,
    call: Call,
    query: PageQuery,
    *,
    fixed: Values | None = None,
    link: tuple[sa.Table, str, str] | None = None,
    parent: UUID | None = None,
) -> Response:
    """Return one page of rows; `fixed` holds columns that the path decides, `link` a join table and its columns."""
    asked = query.model_dump(by_alias=True, exclude_none=True, exclude={"limit", "cursor", "sort", "total"})
    filters = {resource.columns[name]: value for name, value in asked.items()}
    for name, value in (fixed or {}).items():
        if filters.setdefault(name, value) != value:
            return page(call.request, [], limit=query.limit, cursor=None, total=0 if query.total else None)
    scoped = is_scoped(resource, call)
    sort = ("-" if query.sort.startswith("-") else "") + resource.columns[query.sort.removeprefix("-")]
    values = {f"f_{name}": value for name, value in filters.items()}
    values |= {"limit": query.limit + 1, "parent": parent, **_who(resource, call)}
    walk = Walk(call.settings.cursor_secret, call.request.scope["path"], sort, filters)
    if query.cursor is not None:
        kind = resource.table.c[sort.removeprefix("-")].type
        values["after"], values["after_id"] = walk.decode(query.cursor, kind)
    names = frozenset(filters)
    through: dict[str, Any] = {} if link is None else {"link": link[0], "link_columns": (link[1], link[2])}
    statement = statements.page(resource, sort, names, scoped=scoped, after=query.cursor is not None, **through)
    rows = await call.db.rows(statement, values)
    total = None
    if query.total:
        counted = await call.db.rows(statements.count(resource, names, scoped=scoped, **through), values)
        total = int(counted[0][0])
    items = view(resource, call.db.dialect.name).items(rows[: query.limit])
    cursor = None
    if len(rows) > query.limit:
        cursor = walk.encode(items[-1][query.sort.removeprefix("-")], items[-1]["id"])
    return page(call.request, items, limit=query.limit, cursor=cursor, total=total)


async def read(resource: Resource, call: Call, row_id: UUID) -> Response:
    """Return one row, or 304 when the client has it already."""
    statement = statements.select_one(resource, scoped=is_scoped(resource, call))
    rows = await call.db.rows(statement, _who(resource, call, row_id))
    if not rows:
        raise not_found(resource)
    response = item(call.request, view(resource, call.db.dialect.name).item(rows[0]))
    if_none_match = call.header("if-none-match")
    if if_none_match is not None and not_modified(if_none_match, int(response.headers["etag"].strip('"'))):
        return Response(None, 304, {"etag": response.headers["etag"]})
    return response


async def create(resource: Resource, call: Call, body: Body) -> Response:
    """Make a row and return it, once per Idempotency-Key."""
    if _is_limited(resource, call):
        _refuse_admin_only(resource, body)
    given = body.model_dump(by_alias=True)
    values = await _columns(resource, call, given)
    if resource.scope is not None and resource.scope != "id":
        values[resource.scope] = call.caller.id

    async def work(connection: Connection) -> Response:
        return await insert(resource, call, connection, values)

    key = call.header(idempotency.HEADER)
    if key is None:
        return await work(call.db)
    return await idempotency.once(call, key, given, work)


async def insert(resource: Resource, call: Call, connection: Connection, values: Values) -> Response:
    """Insert a row through `connection` and return it as the answer to its creation."""
    time = now()
    row: dict[str, Any] = {f"v_{column.name}": None for column in resource.table.c}
    row |= {f"v_{name}": value for name, value in values.items()}
    row |= {"v_id": new_id(), "v_version": 1, "v_created_at": time, "v_updated_at": time}
    try:
        rows = await connection.write(statements.insert(resource), row)
    except ConstraintError as error:
        raise await _explained(resource, call, error, values) from error
    made = view(resource, call.db.dialect.name).item(rows[0])
    return item(call.request, made, 201, f"{resource.path}/{made['id']}")


async def replace(
    resource: Resource, call: Call, row_id: UUID, body: Body, *, on_secret_change: OnSecretChange | None = None
) -> Response:
    """Give every field of a row the value in `body`, or its default; a secret that is left out stays as it is."""
    given = body.model_dump(by_alias=True)
    for name in resource.secrets:
        if given.get(name) is None:
            given.pop(name, None)
    if _is_limited(resource, call):
        _refuse_admin_only(resource, body)
        given = {name: value for name, value in given.items() if name not in resource.admin_only}
    return await _change(
        resource, call, row_id, await _columns(resource, call, given), on_secret_change=on_secret_change
    )


async def patch(
    resource: Resource, call: Call, row_id: UUID, body: Body, *, on_secret_change: OnSecretChange | None = None
) -> Response:
    """Give the fields that are in `body` their new value."""
    if _is_limited(resource, call):
        _refuse_admin_only(resource, body)
    given = body.model_dump(by_alias=True, exclude_unset=True)
    return await _change(
        resource, call, row_id, await _columns(resource, call, given), on_secret_change=on_secret_change
    )


async def act(resource: Resource, call: Call, row_id: UUID, values: Values) -> Response:
    """Give fixed columns fixed values: a custom action."""
    return await _change(resource, call, row_id, values)


async def delete(resource: Resource, call: Call, row_id: UUID) -> Response:
    """Delete a row."""
    expected = await _expected(resource, call, row_id)
    scoped = is_scoped(resource, call)
    statement = statements.delete(resource, scoped=scoped, expected=expected is not None)
    try:
        rows = await call.db.write(statement, {**_who(resource, call, row_id), "expected": expected})
    except ConstraintError as error:
        raise ApiError(409, "Other data refers to it", code="IN_USE") from error
    if not rows:
        raise await _missing_or_stale(resource, call, row_id)
    _forget(resource, call, row_id)
    return Response(None, 204)


async def _change(
    resource: Resource, call: Call, row_id: UUID, values: Values, *, on_secret_change: OnSecretChange | None = None
) -> Response:
    expected = await _expected(resource, call, row_id)
    statement = statements.update(
        resource, frozenset(values), scoped=is_scoped(resource, call), expected=expected is not None
    )
    bound = {f"v_{name}": value for name, value in values.items()}
    bound |= {"v_updated_at": now(), "expected": expected, **_who(resource, call, row_id)}
    try:
        if on_secret_change is None or not values.keys() & set(resource.secrets.values()):
            rows = await call.db.write(statement, bound)
        else:
            async with call.db.transaction() as transaction:
                rows = await transaction.write(statement, bound)
                if rows:
                    await on_secret_change(transaction, row_id)
    except ConstraintError as error:
        raise await _explained(resource, call, error, values) from error
    if not rows:
        raise await _missing_or_stale(resource, call, row_id)
    _forget(resource, call, row_id)
    return item(call.request, view(resource, call.db.dialect.name).item(rows[0]))


async def _expected(resource: Resource, call: Call, row_id: UUID) -> int | None:
    """Return the version that the statement must find; None where any will do."""
    if_match = call.header("if-match")
    if if_match is None and service.REQUIRE_IF_MATCH:
        raise ApiError(428, "Send If-Match with the ETag of the version that you read")
    versions = expected_versions(if_match)
    if versions is None:
        return None
    if len(versions) == 1:
        return next(iter(versions))
    # Of several versions the current one counts; the statement still checks it.
    current = await require(resource, call, row_id)
    return current if current in versions else -1


async def _missing_or_stale(resource: Resource, call: Call, row_id: UUID) -> ApiError:
    await require(resource, call, row_id)
    return ApiError(412, "It has changed since you read it")


def _forget(resource: Resource, call: Call, row_id: UUID) -> None:
    if resource.identity:
        call.request.app.state.authenticator.forget(row_id)


def _is_limited(resource: Resource, call: Call) -> bool:
    return bool(resource.admin_only) and "admin" not in call.caller.roles


def _refuse_admin_only(resource: Resource, body: Body) -> None:
    given = body.model_dump(by_alias=True, exclude_unset=True)
    refused = sorted(resource.admin_only & given.keys())
    if refused:
        raise ApiError(
            403, "Only an admin may set this", errors=[(name, "only an admin may set it") for name in refused]
        )


async def _columns(resource: Resource, call: Call, given: Values) -> dict[str, Any]:
    """Return the columns of what a client sent: secrets hashed, references to other people's rows refused."""
    values = resource.to_columns(given)
    for column in resource.secrets.values():
        if values.get(column) is not None:
            values[column] = await hash_password(values[column])
    errors = []
    for column, name in resource.references.items():
        target = known(name)
        if target.scope in (None, "id") or values.get(column) is None:
            continue
        rows = await call.db.rows(statements.exists(target, scoped=True), _who(target, call, values[column]))
        if not rows:
            errors.append((resource.wire_names[column], f"there is no such {name.replace('_', ' ')}"))
    if errors:
        raise ApiError(422, "The request is not valid", errors=errors)
    return values


async def _explained(resource: Resource, call: Call, error: ConstraintError, values: Values) -> ApiError:
    """Return the answer that tells a client which of its fields the database refused."""
    if error.kind == "unique":
        names = [resource.wire_names[name] for name in _constraint_columns(resource, error.name)]
        taken = [(name, "is already taken") for name in dict.fromkeys(names)]
        return ApiError(409, "Another one has these values", code="ALREADY_EXISTS", errors=taken)
    if error.kind == "reference":
        missing = []
        for column, name in resource.references.items():
            if values.get(column) is None:
                continue
            rows = await call.db.rows(statements.exists(known(name), scoped=False), {"id": values[column]})
            if not rows:
                missing.append((resource.wire_names[column], f"there is no such {name.replace('_', ' ')}"))
        return ApiError(422, "The request refers to something that is not there", errors=missing)
    return ApiError(422, "The request breaks a rule of the data")


def _constraint_columns(resource: Resource, name: str) -> list[str]:
    # PostgreSQL names the constraint, SQLite its columns: "users.email, users.name".
    for constraint in resource.table.constraints:
        if isinstance(constraint, sa.UniqueConstraint) and constraint.name == name:
            return [column.name for column in constraint.columns]
    columns = [part.strip().rpartition(".")[2] for part in name.split(",")]
    return [column for column in columns if column in resource.table.c]


async def link(
    source: tuple[Resource, UUID], target: tuple[Resource, UUID], call: Call, table: sa.Table, columns: tuple[str, str]
) -> Response:
    """Link two rows that the caller can see; linking them again changes nothing."""
    for resource, row_id in (source, target):
        await require(resource, call, row_id)
    values = {"source": source[1], "target": target[1]}
    try:
        await call.db.write(statements.link(table, columns, call.db.dialect.name), values)
    except ConstraintError as error:
        raise not_found(target[0]) from error
    return Response(None, 204)


async def unlink(
    source: tuple[Resource, UUID], target: tuple[Resource, UUID], call: Call, table: sa.Table, columns: tuple[str, str]
) -> Response:
    """End the link between two rows."""
    await require(source[0], call, source[1])
    rows = await call.db.write(statements.unlink(table, columns), {"source": source[1], "target": target[1]})
    if not rows:
        raise not_found(target[0])
    return Response(None, 204)
