from __future__ import annotations

import datetime
import string
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from senior_backend.console.errors import InputError
from senior_backend.console.report import Finding
from senior_backend.scaffold import naming
from senior_backend.scaffold.drafts import Located, Problems
from senior_backend.scaffold.field_text import parse_fields, parse_short, short_form
from senior_backend.scaffold.fields import build_field
from senior_backend.scaffold.model import MISSING, Field, Resource, Service
from senior_backend.scaffold.spec import build_service
from senior_backend.scaffold.spec_file import read_spec
from senior_backend.scaffold.spec_text import service_text
from senior_backend.scaffold.state import decode, encode


def fields(text: str) -> list[Field]:
    problems = Problems()
    drafts = parse_fields(text, lambda at: f"--fields:{at + 1}", problems)
    built = [build_field(draft, "thing", problems) for draft in drafts]
    problems.raise_if_any()
    return [field for field in built if field is not None]


def problems_of(text: str) -> list[Finding]:
    with pytest.raises(InputError) as caught:
        fields(text)
    return list(caught.value.findings)


def test_the_example_of_the_documentation() -> None:
    email, name, role, org, tags = fields(
        "email:email:unique name:str(100) role:enum(admin,user)=user org:ref(org)? tags:json"
    )
    assert (email.type, email.unique) == ("email", True)
    assert (name.type, name.length) == ("str", 100)
    assert (role.values, role.default) == (("admin", "user"), "user")
    assert (org.target, org.optional, org.column) == ("org", True, "org_id")
    assert tags.type == "json"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:str", {"length": 255}),
        ("a:decimal", {"precision": 12, "scale": 2}),
        ("a:decimal(8)", {"precision": 8, "scale": 0}),
        ("a:decimal(10,3)=1.5", {"default": Decimal("1.5")}),
        ("a:int=-3:min=-5:max=5", {"default": -3, "minimum": -5, "maximum": 5}),
        ("a:float:min=0.5=1", {"minimum": 0.5, "default": 1.0}),
        ("a:bool=true", {"default": True}),
        ("a:date=2031-12-24", {"default": datetime.date(2031, 12, 24)}),
        ("a:datetime=2031-12-24T18:00:00Z", {"default": datetime.datetime(2031, 12, 24, 18, tzinfo=datetime.UTC)}),
        ("a:datetime=2031-12-24T18:00:00+02:00:index", {"index": True}),
        ("a:uuid=00000000-0000-0000-0000-000000000001", {"default": uuid.UUID(int=1)}),
        ("a:url=https://example.com/x?y=1", {"default": "https://example.com/x?y=1"}),
        ('a:enum("in progress", done)="in progress"', {"values": ("in progress", "done"), "default": "in progress"}),
        ('a:str(9)="a b"', {"default": "a b"}),
        ('a:str=""', {"default": ""}),
        ("a:str(20):pattern(^[a-z]+(?:-[a-z]+)*$)", {"pattern": "^[a-z]+(?:-[a-z]+)*$"}),
        ('a:str(20):pattern="^\\\\d{2}$"', {"pattern": r"^\d{2}$"}),
        ("a:ref(user,cascade)", {"target": "user", "on_delete": "cascade"}),
        ("a:ref(Org):on_delete=set_null?", {"target": "org", "on_delete": "set_null", "optional": True}),
        ("a:money(eur,USD)", {"currencies": ("EUR", "USD")}),
        ("a:json={}", {"default": {}}),
        ('a:json="{\\"x\\": 1}"', {"default": {"x": 1}}),
        ("a:int?=null", {"default": None}),
        ("firstName:str", {"name": "first_name"}),
        ("a:text:min=1:max=500:optional", {"minimum": 1, "maximum": 500, "optional": True}),
    ],
)
def test_forms(text: str, expected: dict[str, Any]) -> None:
    (field,) = fields(text)
    assert {key: getattr(field, key) for key in expected} == expected


def test_a_pattern_that_would_take_forever_is_not_tried() -> None:
    (field,) = fields('a:str(99):pattern="^(a+)+$"=' + "a" * 60 + "b")
    assert field.default == "a" * 60 + "b"
    with pytest.raises(InputError):
        fields('a:str(99):pattern="^[a-z]+$"=' + "a" * 60 + "1")


def test_fields_are_separated_by_spaces_and_commas() -> None:
    assert [field.name for field in fields("a:str, b:int ,c:enum(x, y)\n\td:bool")] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a:strng", "--fields:3", "did you mean 'str'"),
        ("a:str b:integer", "--fields:9", "did you mean 'int'"),
        ("a:str(100", "--fields:6", "never closed"),
        ("a:str)", "--fields:6", "closes nothing"),
        ("a", "--fields:1", "has no type"),
        ("a:", "--fields:1", "has no type"),
        ("a:str:uniqe", "--fields:7", "did you mean 'unique'"),
        ("a:str:unique:unique", "--fields:14", "given twice"),
        ("a:str=", "--fields:7", "value is expected"),
        ('a:str="x', "--fields:7", "never closed"),
        ("a:enum", "--fields:3", "needs its values"),
        ("a:enum(x,,y)", "--fields:10", "empty argument"),
        ("a:enum(x,y,)", "--fields:12", "empty argument"),
        ("a:enum(x,x)", "--fields:8", "twice"),
        ("a:enum(x)=y", "--fields:11", "none of x"),
        ("a:ref", "--fields:3", "needs the resource"),
        ("a:int(5)", "--fields:7", "takes no arguments"),
        ("a:str(0)", "--fields:7", "not between 1"),
        ("a:str(99999999999999999999999999)", "--fields:7", "not a whole number"),
        ("a:int=99999999999", "--fields:7", "not between"),
        ("a:int=1.5", "--fields:7", "not a whole number"),
        ("a:bool=yes", "--fields:8", "neither true nor false"),
        ("a:datetime=2031-12-24T18:00:00", "--fields:12", "no time zone"),
        ("a:text:unique", "--fields:8", "does not go with text"),
        ("a:password=x", "--fields:12", "does not go with password"),
        ("a:str(9):pattern=[a-z]", "--fields:10", "not anchored"),
        ("a:str(9):pattern(^(?=x)$)", "--fields:10", "do not read alike"),
        ("a:str(9):pattern(^[$)", "--fields:10", "does not compile"),
        ("a:int:min=5:max=1", "--fields:7", "above max"),
        ("a:ref(x,set_null)", "--fields:9", "needs a field that may be empty"),
        ("a:ref(x,explode)", "--fields:9", "unknown on_delete"),
        ("a:decimal(5,9)", "--fields:13", "more digits"),
        ("a:decimal(5,2)=99999", "--fields:16", "does not fit"),
        ("a:int?x", "--fields:7", "not expected here"),
        ("a:money(euro)", "--fields:9", "not a currency code"),
        ("id:int", "--fields:1", "reserved"),
        ("class:str", "--fields:1", "keyword of Python"),
        ("a:json=" + "[" * 50_000, "--fields:8", "is not JSON"),
        ("list:json", "--fields:1", "hide Python's type"),
        ("a__b:str", "--fields:1", "not snake_case"),
        ("ünïcode:str", "--fields:1", "not snake_case"),
        ("x" * 41 + ":str", "--fields:1", "has 41 characters"),
        ("a:int=null", "--fields:7", "needs a field that may be empty"),
    ],
)
def test_mistakes_are_told_with_their_column(text: str, where: str, message: str) -> None:
    (found,) = problems_of(text)
    assert (found.where, message in found.message) == (where, True), found
    assert found.fix


def test_all_mistakes_are_told_at_once() -> None:
    found = problems_of("a:strng b:int(3) c:str:uniq d:str")
    assert sorted(str(finding.where) for finding in found) == ["--fields:15", "--fields:24", "--fields:3"]


@given(st.text(alphabet=string.printable, max_size=60))
@settings(max_examples=500, deadline=None)
def test_no_text_makes_it_crash(text: str) -> None:
    problems = Problems()
    for draft in parse_fields(text, str, problems):
        build_field(draft, "thing", problems)


# What is written reads back: fields as short forms, services as YAML, services as state

_TEXT = st.text(alphabet=st.characters(blacklist_categories=["Cc", "Cs"]), max_size=12)
_NAMES = st.from_regex(r"\A[a-z][a-z0-9]{0,6}(_[a-z0-9]{1,4}){0,2}\Z").filter(
    lambda name: name not in ("id", "version", *naming.SHADOWING) and not naming.is_python_keyword(name)
)
_VALUES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9 _.+/-]{0,9}\Z").map(str.strip).filter(bool)


@st.composite
def any_field(draw: st.DrawFn, name: str) -> Field:
    kind: Any = draw(
        st.sampled_from(
            [
                "str",
                "text",
                "int",
                "bigint",
                "float",
                "decimal",
                "bool",
                "date",
                "datetime",
                "uuid",
                "json",
                "enum",
                "money",
                "password",
                "email",
                "url",
            ]
        )
    )
    optional = draw(st.booleans())
    default: Any = MISSING
    extra: dict[str, Any] = {}
    if kind == "str":
        extra["length"] = draw(st.integers(20, 10_000))
    if kind == "decimal":
        extra |= {"precision": 18, "scale": draw(st.integers(0, 4))}
    if kind == "enum":
        extra["values"] = tuple(draw(st.lists(_VALUES, min_size=1, max_size=4, unique=True)))
    if kind == "money":
        extra["currencies"] = draw(st.sampled_from([(), ("EUR",), ("EUR", "USD")]))
    if kind in ("int", "float") and draw(st.booleans()):
        extra["minimum"] = draw(st.integers(-1000, 0))
    values: dict[str, st.SearchStrategy[Any]] = {
        "str": _TEXT,
        "text": _TEXT,
        "bool": st.booleans(),
        "int": st.integers(0, 2**31 - 1),
        "bigint": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(0, 1e6),
        "decimal": st.integers(0, 10**9).map(Decimal),
        "date": st.dates(),
        "uuid": st.uuids(),
        "datetime": st.datetimes(timezones=st.just(datetime.UTC)),
        "json": st.dictionaries(_TEXT, st.one_of(_TEXT, st.integers(-5, 5), st.booleans(), st.none()), max_size=3),
        "enum": st.sampled_from(extra.get("values", ("x",))),
    }
    if kind in values and draw(st.booleans()):
        default = draw(values[kind])
        if kind == "float":
            default = float(default)
    elif optional and kind in values and draw(st.booleans()):
        default = None
    if isinstance(default, str) and default == "null":
        default = MISSING
    unique = kind in ("str", "email", "uuid", "int") and draw(st.booleans())
    return Field(name=name, type=kind, optional=optional, unique=unique, default=default, **extra)


@st.composite
def any_service(draw: st.DrawFn) -> Service:
    names = draw(st.lists(_NAMES, min_size=1, max_size=5, unique=True))
    return Service(
        name=draw(st.sampled_from(["shop", "web-shop", "no", "on", "null", "x1"])),
        resources=(
            Resource(
                name="widget",
                plural=draw(st.sampled_from(["widgets", "wares"])),
                fields=tuple(draw(any_field(name)) for name in names),
                indexes=draw(st.sampled_from([(), (("created_at",),)])),
            ),
        ),
        errors=draw(st.sampled_from(["problem", "envelope"])),
        require_if_match=draw(st.booleans()),
    )


@given(st.data(), _NAMES)
@settings(max_examples=400, deadline=None)
def test_short_forms_read_back(data: st.DataObject, name: str) -> None:
    field = data.draw(any_field(name))
    problems = Problems()
    draft = parse_short(Located(name, "x"), short_form(field), str, problems)
    problems.raise_if_any()
    assert draft is not None
    built = build_field(draft, "thing", problems)
    problems.raise_if_any()
    assert built == field


@given(any_service())
@settings(max_examples=250, deadline=None)
def test_specifications_read_back(service: Service) -> None:
    wires = [field.wire_name for field in service.resources[0].fields]
    columns = [field.column for field in service.resources[0].fields]
    columns += [field.currency_column for field in service.resources[0].fields if field.type == "money"]
    if len(set(wires)) < len(wires) or len(set(columns)) < len(columns):
        return
    assert build_service(read_spec(service_text(service), "x.yaml")) == service


@given(any_service())
@settings(max_examples=250, deadline=None)
def test_states_read_back(service: Service) -> None:
    import json

    assert decode(json.loads(json.dumps(encode(service)))) == service
