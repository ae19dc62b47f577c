from __future__ import annotations

from dataclasses import dataclass

from senior_backend.migrate.values import value


@value
class Place:
    """A value."""

    name: str
    line: int = 1


def test_a_value_is_compared_hashed_and_shown_by_what_it_holds() -> None:
    @dataclass
    class Usual:
        name: str
        line: int = 1

    assert Place("a") == Place("a", 1) != Place("a", 2)
    assert len({Place("a"), Place("a", 1), Place("b")}) == 2
    assert repr(Place("a'")) == repr(Usual("a'")).rpartition(".")[2].replace("Usual", "Place")
    assert not hasattr(Place("a"), "__dict__")
