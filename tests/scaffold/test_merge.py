from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from senior_backend.scaffold.merge import merge, rejected

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n", "\n", "x = 1\n"]), max_size=14)


@st.composite
def edited(draw: st.DrawFn, base: list[str], marker: str) -> list[str]:
    """Return `base` with some lines deleted, and some of its own inserted."""
    result: list[str] = []
    for index, line in enumerate(base):
        if draw(st.integers(0, 5)) == 0:
            result.append(f"{marker}{index}\n")
        if draw(st.integers(0, 7)) != 0:
            result.append(line)
    if draw(st.booleans()):
        result.append(f"{marker}end\n")
    return result


@st.composite
def versions(draw: st.DrawFn) -> tuple[str, str, str]:
    base = draw(LINES)
    return "".join(draw(edited(base, "u"))), "".join(base), "".join(draw(edited(base, "t")))


@given(versions())
@settings(max_examples=400, deadline=None)
def test_no_line_of_the_users_is_lost_and_no_line_of_the_tools_is_forgotten(texts: tuple[str, str, str]) -> None:
    ours, base, theirs = texts
    merged = merge(ours, base, theirs)
    if merged.text is None:
        assert merged.conflict_line is not None
        assert 1 <= merged.conflict_line <= len(ours.splitlines()) + 1
        return
    lines = merged.text.splitlines()
    assert [line for line in ours.splitlines() if line.startswith("u")] == [x for x in lines if x.startswith("u")]
    assert [line for line in theirs.splitlines() if line.startswith("t")] == [x for x in lines if x.startswith("t")]
    # what both kept stays, what either deleted goes: counted, since equal lines cannot be told apart
    kept = Counter(lines)
    for line, count in Counter(base.splitlines()).items():
        mine, new = Counter(ours.splitlines())[line], Counter(theirs.splitlines())[line]
        assert kept[line] >= mine + new - count


@given(LINES, LINES)
def test_a_side_that_changed_nothing_yields(left: list[str], right: list[str]) -> None:
    ours, base = "".join(left), "".join(right)
    assert merge(ours, base, base).text == ours
    assert merge(base, base, ours).text == ours
    assert merge(ours, base, ours).text == ours


@given(versions())
@settings(max_examples=200, deadline=None)
def test_both_orders_agree(texts: tuple[str, str, str]) -> None:
    ours, base, theirs = texts
    assert merge(ours, base, theirs).text == merge(theirs, base, ours).text


@given(versions())
@settings(max_examples=200, deadline=None)
def test_merging_again_changes_nothing(texts: tuple[str, str, str]) -> None:
    ours, base, theirs = texts
    merged = merge(ours, base, theirs)
    if merged.text is not None:
        assert merge(merged.text, theirs, theirs).text == merged.text


def test_changes_in_different_places_merge() -> None:
    base = "one\ntwo\nthree\nfour\nfive\n"
    assert merge(base.replace("one", "ONE"), base, base.replace("five", "FIVE")).text == "ONE\ntwo\nthree\nfour\nFIVE\n"


def test_changes_in_the_same_place_are_a_conflict_with_its_line() -> None:
    base = "one\ntwo\nthree\n"
    merged = merge("one\nmine\nthree\n", base, "one\nyours\nthree\n")
    assert (merged.text, merged.conflict_line) == (None, 2)


def test_a_deletion_against_a_change_is_a_conflict() -> None:
    assert merge("one\nthree\n", "one\ntwo\nthree\n", "one\nTWO\nthree\n").text is None


def test_a_last_line_without_newline_stays_a_line() -> None:
    assert merge("a\nb\nmine", "a\nb\n", "new\na\nb\n").text == "new\na\nb\nmine"
    merged = merge("x\na\nb", "a\nb", "a\nb\nc\n")
    assert merged.text is None or "bc" not in merged.text


def test_two_additions_at_the_end_of_a_module_both_stay() -> None:
    base = "class A:\n    a: int\n"
    mine, new = f"{base}\n\n# mine\nEXTRA = 1\n", f"{base}    b: int\n"
    assert merge(mine, base, new).text is None
    assert merge(mine, base, new, python=True).text == f"{base}    b: int\n\n\n# mine\nEXTRA = 1\n"


def test_what_continues_a_block_stays_in_it() -> None:
    base = "class A:\n    a: int\n"
    mine, new = f"{base}    mine: int\n", f"{base}\n\nclass B:\n    b: int\n"
    assert merge(mine, base, new, python=True).text == f"{base}    mine: int\n\n\nclass B:\n    b: int\n"


def test_additions_that_fit_in_no_order_are_a_conflict() -> None:
    base = "class A:\n    a: int\n"
    mine = f"{base}    mine: int\n\n\nX = 1\n"
    assert merge(mine, base, f"{base}    b: int\n\n\nY = 1\n", python=True).text is None


def test_a_decorator_stays_on_its_function() -> None:
    base = "x = 1\n\n\ndef f():\n    pass\n"
    mine = base.replace("def f", "@cache\ndef f")
    new = base.replace("def f", "def g():\n    pass\n\n\ndef f")
    merged = merge(mine, base, new, python=True).text
    assert merged is None or "@cache\ndef f" in merged


@given(versions())
@settings(max_examples=200, deadline=None)
def test_python_additions_lose_nothing_either(texts: tuple[str, str, str]) -> None:
    ours, base, theirs = texts
    merged = merge(ours, base, theirs, python=True)
    if merged.text is not None:
        lines = merged.text.splitlines()
        assert [x for x in ours.splitlines() if x.startswith("u")] == [x for x in lines if x.startswith("u")]
        assert [x for x in theirs.splitlines() if x.startswith("t")] == [x for x in lines if x.startswith("t")]


def test_a_rejected_change_is_a_patch() -> None:
    patch = rejected("app/x.py", "a\nb\n", "a\nc")
    assert patch.startswith("--- a/app/x.py\n+++ b/app/x.py\n@@ -1,2 +1,2 @@\n")
    assert patch.endswith("+c\n\\ No newline at end of file\n")
