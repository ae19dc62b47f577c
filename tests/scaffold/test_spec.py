from __future__ import annotations

import contextlib
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from senior_backend.console.errors import InputError
from senior_backend.console.report import Finding
from senior_backend.scaffold import naming, yaml_nodes
from senior_backend.scaffold.model import Service
from senior_backend.scaffold.schema import specification_schema
from senior_backend.scaffold.spec import RESOURCE_LIMIT, build_service
from senior_backend.scaffold.spec_file import read_spec
from tests.scaffold.conftest import Tool

EXAMPLE = """\
service: shop
resources:
  user:
    identity: true
    fields:
      email: {type: email, unique: true}
      password: password
      name: str(100)
      role: enum(admin,user)=user
      is_active: bool=true
    actions: [activate, deactivate]
  tag: {fields: "label:str(20):unique"}
  order:
    owner: user
    fields:
      total: money
      note: text?
      status: {type: enum, values: [open, paid, cancelled], default: open, index: true}
    links: [tag]
    roles: {delete: [admin]}
    indexes: [[created_at], [status, created_at]]
    actions:
      pay: {roles: [admin]}
      cancel: {set: {status: cancelled}}
"""


def build(text: str) -> Service:
    return build_service(read_spec(text, "r.yaml"))


def problems_of(text: str) -> list[Finding]:
    with pytest.raises(InputError) as caught:
        build(text)
    return list(caught.value.findings)


def test_an_example() -> None:
    service = build(EXAMPLE)
    order = service.resource("order")
    assert service.name == "shop"
    assert service.identity is service.resource("user")
    assert order.owner == "user"
    assert order.field("user").target == "user"
    assert order.indexes == (("created_at",), ("status", "created_at"))
    assert order.roles_for("delete") == ("admin",)
    assert [(link.name, link.target, link.table) for link in order.links] == [("tags", "tag", "order_tags")]
    assert [(action.name, action.assign, action.roles) for action in order.actions] == [
        ("pay", (("status", "paid"),), ("admin",)),
        ("cancel", (("status", "cancelled"),), ()),
    ]
    assert [(action.name, action.assign) for action in service.resource("user").actions] == [
        ("activate", (("is_active", True),)),
        ("deactivate", (("is_active", False),)),
    ]


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("money", "mony", "16:14", "unknown type 'mony' (did you mean 'money'?)"),
        ("owner: user", "owner: usr", "14:12", "did you mean 'user'"),
        ("links: [tag]", "links: [tga]", "19:13", "did you mean 'tag'"),
        ("links: [tag]", "links: [order]", "19:13", "linked to itself"),
        ("links: [tag]", "lnks: [tag]", "19:5", "has no key 'lnks' (did you mean 'links'?)"),
        ("{delete: [admin]}", "{delete: [amdin]}", "20:22", "did you mean 'admin'"),
        ("{delete: [admin]}", "{destroy: [admin]}", "20:13", "unknown operation 'destroy'"),
        ("[created_at]", "[create_at]", "21:15", "did you mean 'created_at'"),
        ("[status, created_at]", "[note]", "21:29", "cannot be indexed"),
        ("{status: cancelled}", "{status: canceled}", "24:30", "did you mean 'cancelled'"),
        ("{status: cancelled}", "{state: cancelled}", "24:22", "no field 'state'"),
        ("pay: {roles", "fly: {roles", "23:7", "cannot be inferred"),
        ("identity: true", "identity: yes", "4:15", "must be true or false, not 'yes'"),
        ("  tag:", "  tags:", "12:3", "'tags' is a plural"),
        ("  tag:", "  auth:", "12:3", "reserved"),
        ("  tag:", "  Tag:", "12:3", "not snake_case"),
        ("total: money", "password_hash: str\n      password: password\n      total: money", "17:7", "the column"),
        (
            "total: money",
            "org_id: int\n      org: ref(tag)\n      total: money",
            "17:7",
            "both use the column 'org_id'",
        ),
        ("email: {type: email, unique: true}", "email: str", "4:15", "no required, unique field `email`"),
        ("password: password", "pass_word: password", "4:15", "no required field `password`"),
        ("service: shop", "service: Shop", "1:10", "not kebab-case"),
        ("service: shop", "service: 12:30", "1:10", "not kebab-case"),
        ("service: shop", "service: shop\nerrors: html", "2:9", "unknown errors 'html'"),
        ("service: shop", "service: shop\nstack: rails", "2:8", "unknown stack"),
        ("text?", "ref(nowhere)", "17:17", "refers to an unknown resource 'nowhere'"),
        ("text?", "ref(usr)?", "17:17", "did you mean 'user'"),
        ("note: text?", "note: 5", "17:13", "has no type"),
        ("default: open", "default: opne", "18:70", "none of open, paid, cancelled (did you mean 'open'?)"),
        ("values: [open, paid, cancelled]", "values: [1, 2]", "18:36", "list of texts"),
    ],
)
def test_mistakes_have_a_place_and_a_remedy(old: str, new: str, where: str, message: str) -> None:
    assert EXAMPLE.count(old) >= 1
    found = problems_of(EXAMPLE.replace(old, new, 1))
    assert (f"r.yaml:{where}", True) in [(item.where, message in item.message) for item in found], found
    assert all(item.fix and item.where for item in found)


def test_all_problems_are_told_at_once() -> None:
    text = EXAMPLE.replace("money", "mony").replace("text?", "txet").replace("owner: user", "owner: nobody")
    assert len(problems_of(text)) == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("resources: {x: {fields: {b: ref(b)}}, b: {fields: {x: ref(x)}}}", "cyclic-refs"),
        ("resources: {x: {fields: {parent: ref(x)}}}", "cyclic-refs"),
        ("resources: {a: {plural: things}, b: {plural: things}}", "name-collision"),
        ("resources: {a_b: {plural: x_things}, x: {links: {things: y}}, y: }", "name-collision"),
        ("resources: {order: {links: [tag]}, tag: {links: [order]}}", "name-collision"),
        ("resources: {order: {links: [item]}, item: {fields: {order: ref(order)}}}", "name-collision"),
        ("resources: {}", "nothing-to-do"),
        ("resources: {a: {fields: {}}}", "no-fields"),
        ("resources: {a: {owner: user}}", "no-identity"),
        ("resources: {a: {fields: {x: str}}, a: {fields: {y: str}}}", "duplicate-key"),
        ("resources: [a]", "bad-spec"),
        ("resources: {a: [x]}", "bad-spec"),
        ("resource: {a: }", "unknown-key"),
        ("just text", "bad-spec"),
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("resources:\n\t- x", "bad-yaml"),
        ("a: [", "bad-yaml"),
        ("a: *nowhere", "bad-yaml"),
        ("--- {}\n--- {}\n", "bad-yaml"),
        ("resources: !!python/object/apply:os.system [x]", "bad-yaml"),
        ("? [a, b]\n: c\n", "bad-yaml"),
        ("resources: {user: {fields: {role: enum(a,b)=a}}}", "bad-field"),
    ],
)
def test_what_cannot_be_is_refused(text: str, code: str) -> None:
    found = problems_of(text)
    assert code in {item.code for item in found}, found


def test_self_references_may_be_optional() -> None:
    service = build("resources: {category: {fields: {name: str, parent: 'ref(category)?'}}}")
    assert service.children("category")


def test_yaml_surprises_stay_text() -> None:
    service = build(
        "resources:\n  x:\n    fields:\n      country: {type: enum, values: [no, yes, on, 'off'], default: no}\n"
        "      at: str(9)=12:30\n      mode: {type: str, default: 0755}\n"
    )
    fields = {field.name: field for field in service.resource("x").fields}
    assert fields["country"].values == ("no", "yes", "on", "off")
    assert fields["country"].default == "no"
    assert fields["at"].default == "12:30"
    assert fields["mode"].default == "0755"


def test_a_conflict_of_git_is_named() -> None:
    (found,) = problems_of("resources:\n<<<<<<< ours\n  a: {}\n=======\n  b: {}\n>>>>>>> theirs\n")
    assert "conflict of git" in str(found.fix)


def test_a_byte_order_mark_is_no_problem() -> None:
    assert yaml_nodes.read_text(b"\xef\xbb\xbfa: 1", "x") == "a: 1"
    assert yaml_nodes.read_text("a: 1".encode("utf-16"), "x") == "a: 1"
    with pytest.raises(InputError, match="not UTF-8"):
        yaml_nodes.read_text(b"a: \xff", "x")


# Hostile input

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]" for i in range(20)
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "\n".join(" " * i + "a:" for i in range(2_000)),
        "resources: " + "[" * 5000,
        BOMB,
        "a: &a [*a]",
        "&a a: *a",
        "x" * (yaml_nodes.SIZE_LIMIT + 1),
        "\x00",
        "a: \x07",
        "a: " + "1" * 100_000,
        "!!binary x",
        "%YAML 9.9\n---\na",
        "a: |" + "\n " * 10_000,
    ],
    ids=range(17),
)
def test_hostile_yaml_is_refused_at_once(text: str) -> None:
    started = time.monotonic()
    assert problems_of(text)
    assert time.monotonic() - started < 20


def test_a_deep_file_ends_the_process_politely(tool: Tool) -> None:
    (tool.folder / "deep.yaml").write_text("[" * 100_000)
    result = tool("--spec", "deep.yaml")
    assert result.code == 2
    assert result.envelope["findings"][0]["where"].startswith("deep.yaml:1:")
    assert "64 levels" in result.envelope["findings"][0]["fix"]
    assert [path.name for path in tool.folder.iterdir()] == ["deep.yaml"]


def test_ten_thousand_resources_are_refused_with_the_limit(tool: Tool) -> None:
    lines = "".join(f"  thing{i}: {{fields: {{name: str}}}}\n" for i in range(10_000))
    (tool.folder / "many.yaml").write_text("service: many\nresources:\n" + lines)
    result = tool("--spec", "many.yaml")
    assert (result.code, result.codes) == (2, ["too-many-resources"])
    assert str(RESOURCE_LIMIT) in result.envelope["summary"]
    assert [path.name for path in tool.folder.iterdir()] == ["many.yaml"]


_JSONISH = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["a", "user", "str", "ref(a)", "yes", ""])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "service",
                    "resources",
                    "user",
                    "a",
                    "fields",
                    "email",
                    "password",
                    "type",
                    "unique",
                    "links",
                    "owner",
                    "identity",
                    "actions",
                    "set",
                    "roles",
                    "indexes",
                    "operations",
                    "plural",
                    "skip",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=14,
)


@given(_JSONISH)
@settings(max_examples=400, deadline=None)
def test_nothing_makes_it_crash_and_the_schema_agrees(data: Any) -> None:
    """Whatever the tool accepts, the published schema accepts."""
    import json

    try:
        build(json.dumps(data))
    except InputError:
        return
    jsonschema.validate(data, specification_schema())


@given(st.text(alphabet="abc:[]{}&*!|>-?#,'\"\n \t%@`0", max_size=80))
@settings(max_examples=400, deadline=None)
def test_no_text_makes_it_crash(text: str) -> None:
    with contextlib.suppress(InputError):
        build(text)


def test_the_schema_accepts_the_example_and_refuses_mistakes() -> None:
    import yaml

    schema = specification_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    data = yaml.safe_load(EXAMPLE)
    jsonschema.validate(data, schema)
    mistakes: list[dict[str, Any]] = [
        {**data, "extra": 1},
        {"resources": {}},
        {"resources": {"Bad Name": None}},
        {"resources": {"a": {"fields": {"id": "int"}}}},
        {"resources": {"a": {"fields": {"x": {"type": "int", "wrong": 1}}}}},
        {"resources": {"a": {"operations": ["fly"]}}},
    ]
    for broken in mistakes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


# Names


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("user", "users"),
        ("category", "categories"),
        ("day", "days"),
        ("box", "boxes"),
        ("person", "people"),
        ("salesperson", "salespeople"),
        ("child", "children"),
        ("order_item", "order_items"),
        ("address", "addresses"),
        ("status", "statuses"),
        ("bus", "buses"),
        ("news", "news"),
        ("analysis", "analyses"),
        ("leaf", "leaves"),
        ("hero", "heroes"),
        ("photo", "photos"),
        ("roof", "roofs"),
        ("mouse", "mice"),
        ("datum", "data"),
        ("company", "companies"),
        ("woman", "women"),
        ("human", "humans"),
        ("process", "processes"),
        ("house", "houses"),
        ("index", "indexes"),
        ("quiz", "quizzes"),
        ("movie", "movies"),
        ("invoice", "invoices"),
        ("case", "cases"),
        ("database", "databases"),
        ("expense", "expenses"),
        ("license", "licenses"),
        ("response", "responses"),
        ("course", "courses"),
        ("tax", "taxes"),
        ("branch", "branches"),
        ("entry", "entries"),
        ("key", "keys"),
        ("campus", "campuses"),
        ("virus", "viruses"),
        ("size", "sizes"),
        ("cause", "causes"),
        ("release", "releases"),
        ("warehouse", "warehouses"),
        ("purchase", "purchases"),
        ("exercise", "exercises"),
        ("shoe", "shoes"),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert naming.plural(one) == many
    assert naming.singular(many) == one
    assert naming.singular(one) == one
    assert naming.is_plural(many) is (one != many)
    assert not naming.is_plural(one)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("OrderItem", "order_item"),
        ("HTTPServer", "http_server"),
        ("order-item", "order_item"),
        ("x", "x"),
        ("userID", "user_id"),
    ],
)
def test_snake_case(text: str, name: str) -> None:
    assert naming.snake_case(text) == name
