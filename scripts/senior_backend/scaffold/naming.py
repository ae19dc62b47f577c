"""Names: singular and plural, and which words a resource or a field may not be called."""

from __future__ import annotations

import keyword
import re
from typing import Final

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
NAME_LIMIT: Final = 40
"""Characters; with a table's and an index's prefix a name still fits PostgreSQL's 63 bytes."""

IRREGULAR: Final = {
    "person": "people",
    "child": "children",
    "man": "men",
    "woman": "women",
    "mouse": "mice",
    "goose": "geese",
    "foot": "feet",
    "tooth": "teeth",
    "ox": "oxen",
    "datum": "data",
    "medium": "media",
    "criterion": "criteria",
    "phenomenon": "phenomena",
    "analysis": "analyses",
    "basis": "bases",
    "crisis": "crises",
    "diagnosis": "diagnoses",
    "hypothesis": "hypotheses",
    "thesis": "theses",
    "axis": "axes",
    "index": "indexes",
    "matrix": "matrices",
    "vertex": "vertices",
    "appendix": "appendices",
    "leaf": "leaves",
    "life": "lives",
    "knife": "knives",
    "wife": "wives",
    "half": "halves",
    "shelf": "shelves",
    "self": "selves",
    "wolf": "wolves",
    "loaf": "loaves",
    "thief": "thieves",
    "calf": "calves",
    "hero": "heroes",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "echo": "echoes",
    "veto": "vetoes",
    "quiz": "quizzes",
    "bus": "buses",
    "gas": "gases",
    "lens": "lenses",
    "alias": "aliases",
    "atlas": "atlases",
    "bias": "biases",
    "canvas": "canvases",
    "die": "dice",
    "cactus": "cacti",
    "curriculum": "curricula",
    "alumnus": "alumni",
    "movie": "movies",
    "cookie": "cookies",
    "zombie": "zombies",
    "cache": "caches",
}
"""Nouns whose plural no rule gives; words that end in -us and -ss follow the rules."""

UNCOUNTABLE: Final = frozenset(
    [
        "equipment",
        "information",
        "rice",
        "money",
        "species",
        "series",
        "fish",
        "sheep",
        "deer",
        "aircraft",
        "news",
        "software",
        "hardware",
        "feedback",
        "staff",
        "metadata",
        "research",
        "furniture",
        "luggage",
        "traffic",
        "knowledge",
        "advice",
        "evidence",
        "inventory_data",
    ]
)
_SINGULAR: Final = {plural: singular for singular, plural in IRREGULAR.items()}

RESERVED_FIELDS: Final = {
    "id": "every resource has one already, a UUIDv7",
    "version": "every resource has one already: its ETag",
    "created_at": "every resource has one already",
    "updated_at": "every resource has one already",
}
RESERVED_RESOURCES: Final = frozenset(
    [
        "auth",
        "health",
        "metric",
        "livez",
        "readyz",
        "healthz",
        "doc",
        "redoc",
        "openapi",
        "static",
        "admin_token",
        "scaffold",
        "app",
    ]
)
"""Singulars whose paths, tables or modules the service itself uses, whatever the stack."""
RESERVED_PLURALS: Final = frozenset(
    [
        "auth",
        "health",
        "metrics",
        "livez",
        "readyz",
        "docs",
        "redoc",
        "openapi",
        "static",
        "alembic_version",
        "idempotency_keys",
        "refresh_tokens",
        "app",
    ]
)
SHADOWING: Final = frozenset(["int", "str", "bool", "float", "bytes", "dict", "list", "set", "tuple"])
"""Types by which generated classes annotate their attributes: an attribute of that name would hide the type."""
_BETTER: Final = {
    "class": "category",
    "from": "sender",
    "import": "import_batch",
    "global": "is_global",
    "is": "is_active",
    "in": "location",
    "pass": "passed",
    "return": "return_reason",
    "and": "joined_with",
    "for": "purpose",
    "with": "companion",
    "async": "is_async",
    "try": "attempt",
    "raise": "increase",
    "yield": "output",
    "break": "pause",
    "continue": "is_continued",
    "true": "is_true",
    "false": "is_false",
    "none": "is_empty",
}


def snake_case(text: str) -> str:
    """Return CamelCase, kebab-case or spaced text as snake_case; characters that no name has stay as they are."""
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text.strip())
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", text)
    return re.sub(r"[\s-]+", "_", text).lower()


def plural(name: str) -> str:
    """Return the plural of a snake_case noun: only its last word changes (`order_item` -> `order_items`)."""
    head, underscore, word = name.rpartition("_")
    return head + underscore + _plural_word(word)


def _plural_word(word: str) -> str:
    if word in UNCOUNTABLE:
        return word
    if word in IRREGULAR:
        return IRREGULAR[word]
    for stem, many in (("person", "people"), ("man", "men"), ("child", "children")):
        if word.endswith(stem) and word not in ("human", "german", "roman", "shaman", "talisman", "caiman"):
            return word.removesuffix(stem) + many
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


def singular(name: str) -> str:
    """Return the singular of a snake_case noun, or the noun itself where it is one already."""
    head, underscore, word = name.rpartition("_")
    return head + underscore + _singular_word(word)


def _singular_word(word: str) -> str:
    if word in UNCOUNTABLE or word in IRREGULAR:
        return word
    if word in _SINGULAR:
        return _SINGULAR[word]
    if word.endswith("people"):
        return word.removesuffix("people") + "person"
    if re.search(r"(ss|us|is|ous)$", word) or len(word) < 3:
        return word
    if re.search(r"[^aeiou]ies$", word) and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(ss|x|zz|ch|sh|[^aeo]us)es$", word) and word != "uses":
        return word[:-2]
    return word.removesuffix("s")


def is_plural(name: str) -> bool:
    """Whether `name` looks like a plural whose singular is another word."""
    one = singular(name)
    return one != name and plural(one) == name


def invalid_name(name: str, what: str) -> str | None:
    """Return why `name` cannot name a resource or a field, or None where it can."""
    if len(name) > NAME_LIMIT:
        return f"{what} name '{name[:NAME_LIMIT]}…' has {len(name)} characters; {NAME_LIMIT} are allowed"
    if not NAME.fullmatch(name):
        return f"{what} name {name!r} is not snake_case (letters a-z, digits and single underscores, a letter first)"
    return None


def better_field_name(name: str, resource: str) -> str:
    """Return a name to use instead of a reserved one."""
    return _BETTER.get(name.lower(), f"{resource}_{name.strip('_')}")


def is_python_keyword(name: str) -> bool:
    """Whether generated code could not spell `name` as an attribute; soft keywords such as `type` are fine."""
    return keyword.iskeyword(name) or name in ("true", "false", "none", "self", "cls")
