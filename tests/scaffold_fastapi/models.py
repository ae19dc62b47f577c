"""Models that the tests render."""

from __future__ import annotations

from senior_backend.scaffold.model import Action, Field, ManyToMany, Resource, Service

USER_FIELDS = (
    Field(name="email", type="email", unique=True),
    Field(name="password", type="password"),
    Field(name="name", type="str", length=100),
    Field(name="role", type="enum", values=("admin", "user"), default="user"),
    Field(name="is_active", type="bool", default=True),
    Field(name="metadata", type="json", default={}),
)
USER = Resource(name="user", plural="users", identity=True, fields=USER_FIELDS)
ONE = Service(name="user-service", resources=(USER,))

SHOP = Service(
    name="shop",
    resources=(
        Resource(
            name="org",
            plural="orgs",
            fields=(
                Field(name="name", type="str", length=100, unique=True),
                Field(name="site", type="url", optional=True),
            ),
            roles=(("create", ("admin",)), ("update", ("admin",)), ("delete", ("admin",))),
        ),
        Resource(
            name="user",
            plural="users",
            identity=True,
            fields=(*USER_FIELDS, Field(name="org", type="ref", target="org", optional=True, on_delete="set_null")),
            links=(ManyToMany(name="orgs", target="org", table="user_orgs"),),
            actions=(Action(name="deactivate", assign=(("is_active", False),)),),
        ),
        Resource(
            name="order",
            plural="orders",
            owner="user",
            fields=(
                Field(name="user", type="ref", target="user", on_delete="cascade"),
                Field(name="reference", type="str", length=40, unique=True, pattern="^[A-Z0-9-]+$"),
                Field(name="total", type="decimal", precision=10, scale=2, minimum=0),
                Field(name="price", type="money", currencies=("EUR", "USD"), minimum=0),
                Field(name="quantity", type="int", default=1, minimum=1, maximum=1000, index=True),
                Field(name="big", type="bigint", optional=True),
                Field(name="ratio", type="float", optional=True),
                Field(name="note", type="text", optional=True),
                Field(name="due", type="date", index=True, default="2026-01-01"),
                Field(name="shipped_at", type="datetime", optional=True),
                Field(name="trace", type="uuid", optional=True),
                Field(name="state", type="enum", values=("open", "paid"), default="open", index=True),
                Field(name="tags", type="json", optional=True),
            ),
            actions=(Action(name="pay", assign=(("state", "paid"),)),),
        ),
    ),
)

PLAIN = Service(
    name="note-service",
    resources=(Resource(name="note", plural="notes", fields=(Field(name="title", type="str", length=100),)),),
    errors="envelope",
    require_if_match=True,
)
