"""Which documented path stands for one that was not there: only what is certain."""

from __future__ import annotations

from typing import Any

import pytest

from senior_backend.load import paths
from senior_backend.load.paths import Documented


def known(*written: str) -> list[Documented]:
    """`/a` takes GET, `POST /a` takes that."""
    made = (("GET" if text.startswith("/") else text.partition(" ")[0], text[text.index("/") :]) for text in written)
    return [Documented(path, frozenset({method})) for method, path in made]


@pytest.mark.parametrize(
    ("documented", "asked", "candidates"),
    [
        (["/api/v1/users"], "/api/users", ("/api/v1/users",)),
        (["/api/v1/users"], "/users", ("/api/v1/users",)),
        (["/api/v1/users"], "/v2/users?limit=5", ("/api/v1/users",)),
        (["/users"], "/api/users", ("/users",)),
        (["/2024-06-01/users"], "/api/users", ("/2024-06-01/users",)),
        (["/api/v1/users/"], "/api/users", ("/api/v1/users/",)),
        (["/api/v1/users/{id}"], "/api/users/7", ("/api/v1/users/7",)),
        (["/api/v1/users/{id}"], "/api/users/{{ uuid() }}", ("/api/v1/users/{{ uuid() }}",)),
        (["/api/v1/users/{id}", "/api/v1/users/me"], "/api/users/me", ("/api/v1/users/me",)),
        (["/api/v1/users", "/api/v2/users"], "/api/users", ("/api/v1/users", "/api/v2/users")),
        (["/api/v1/a b"], "/a%20b", ("/api/v1/a%20b",)),
        (["/api/v1/orders/{id}/items"], "/orders/3/items", ("/api/v1/orders/3/items",)),
        # Nothing here is certain: another resource, a resource below another, another method, no resource at all.
        (["/api/v1/users"], "/api/user", ()),
        (["/api/v1/admin/users"], "/api/users", ()),
        (["/api/v1/users"], "/api/users/7", ()),
        (["POST /api/v1/users"], "/api/users", ()),
        (["/api/v1"], "/api", ()),
    ],
)
def test_the_same_resource_behind_another_prefix(
    documented: list[str], asked: str, candidates: tuple[str, ...]
) -> None:
    assert paths.find(known(*documented), "GET", asked).candidates == candidates


def test_the_path_itself_is_known_with_its_methods() -> None:
    found = paths.find(known("POST /api/login", "/api/users/{id}"), "GET", "/api/login")
    assert found.same == Documented("/api/login", frozenset({"POST"}))
    assert found.candidates == ()
    found = paths.find(known("/api/users/{id}"), "GET", "/api/users/7")
    assert found.same is not None


def test_near_paths_are_named_and_bounded() -> None:
    many = known(*(f"/api/v1/thing{number}" for number in range(50)), "/other/users", "/api/v1/users")
    near = paths.find(many, "GET", "/api/v1/usrs").near
    assert "/api/v1/users" in near
    assert len(near) <= paths.NEAR
    assert "/other/users" in paths.find(many, "GET", "/users/").near


def test_the_servers_prefix_belongs_to_the_path() -> None:
    item: dict[str, Any] = {"get": {}, "post": {}, "parameters": []}
    document = {"openapi": "3.1.0", "servers": [{"url": "http://x.test/api/v3/"}], "paths": {"/users": item, "/odd": 3}}
    assert paths.documented(document) == (Documented("/api/v3/users", frozenset({"GET", "POST"})),)
