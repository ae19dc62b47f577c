"""Python's regular expressions in JavaScript's syntax, as far as both mean the same."""

from __future__ import annotations

import re

_FLAGS = re.compile(r"\(\?([aimsu]+)\)")
_TOKEN = re.compile(
    r"""(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])
        |\(\?P<(?P<name>\w+)>
        |\(\?P=(?P<again>\w+)\)
        |(?P<start>\\A)|(?P<end>\\Z)
        |(?P<foreign>\(\?[>(\#]|\(\?[aiLmsux-]+[:)]|[*+?}]\+|\\[NU])
        |(?P<escape>\\.)""",
    re.VERBOSE | re.DOTALL,
)
"""What differs, and what has to be stepped over to find it: escapes and character classes."""


def translate(pattern: str) -> tuple[str, str] | None:
    r"""Return source and flags for `new RegExp`, or None for what JavaScript cannot say.

    Not translated: atomic groups, possessive quantifiers, conditions, comments, flags for a part, and named characters
    (`re` in the Python library, "Regular Expression Syntax"). `\d` and `\w` are ASCII in JavaScript.
    """
    flags = ""
    if given := _FLAGS.match(pattern):
        flags = "".join(letter for letter in "ims" if letter in given[1])
        pattern = pattern[given.end() :]
    made, at = "", 0
    for token in _TOKEN.finditer(pattern):
        made += pattern[at : token.start()]
        at = token.end()
        if token["foreign"]:
            return None
        if token["class"] and token["class"].startswith(("[]", "[^]")):
            # A bracket that comes first is a character in Python, and ends an empty class in JavaScript.
            made += token["class"].replace("]", "\\]", 1)
        elif token["name"]:
            made += f"(?<{token['name']}>"
        elif token["again"]:
            made += rf"\k<{token['again']}>"
        else:
            made += "^" if token["start"] else "$" if token["end"] else token[0]
    return made + pattern[at:], flags
