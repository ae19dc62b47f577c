"""Invented values: plausible for the name of a column, valid for its type, the same for the same seed."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from senior_backend.migrate.rehearse.model import Column, Value

FIRST_NAMES = ("Ada", "Barbara", "Chen", "Dmitri", "Edsger", "Frances", "Grace", "Hedy", "Ingrid", "Jun", "Katherine")
LAST_NAMES = ("Abe", "Borg", "Cohen", "Diaz", "Engelbart", "Fischer", "Garcia", "Hopper", "Ito", "Johnson", "Knuth")
CITIES = ("Accra", "Bergen", "Cork", "Delft", "Essen", "Faro", "Ghent", "Hanoi", "Izmir", "Jaipur", "Kyoto")
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper", "kelp", "lumen")
COUNTRIES = ("AR", "BR", "CA", "DE", "ES", "FR", "GH", "IN", "JP", "KE", "NL", "NO", "PL", "US", "VN")
CURRENCIES = ("EUR", "USD", "GBP", "JPY", "CHF")
STATUSES = ("active", "pending", "closed", "failed")

BY_NAME: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("first_name", "given_name", "firstname"), FIRST_NAMES),
    (("last_name", "surname", "lastname", "family_name"), LAST_NAMES),
    (("city", "town"), CITIES),
    (("country",), COUNTRIES),
    (("currency",), CURRENCIES),
    (("status", "state"), STATUSES),
)
_DIGITS = string.digits + string.ascii_lowercase


def base36(number: int) -> str:
    """Return a non-negative number in the digits 0-9a-z, the shortest text that keeps numbers apart."""
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if number == 0:
            return text


def invent(column: Column, ordinal: int, random: random.Random, *, unique: bool = False) -> Value:
    """Return a value for row `ordinal` (from 0), different for each ordinal where `unique` and the type allow it.

    Raises:
        ValueError: no value of the type can be invented.
    """
    maker = _MAKERS.get(column.kind)
    if maker is None:
        raise ValueError(column.type)
    return maker(column, ordinal, random, unique)


def _boolean(_: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    return "true" if (ordinal % 2 == 0 if unique else random.random() < 0.5) else "false"


def _integer(column: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    if unique:
        return ordinal + 1
    name = column.name.lower()
    if column.bits <= 8:
        return random.randint(0, 100)
    if "year" in name:
        return random.randint(1990, 2030)
    if any(word in name for word in ("count", "quantity", "qty", "age", "rank", "position", "priority", "level")):
        return random.randint(1, 90)
    return random.randint(1, 30_000 if column.bits <= 16 else 1_000_000)


def _decimal(column: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    scale = column.scale
    whole = 4 if column.precision is None else max(column.precision - scale, 0)
    limit = 10 ** min(whole, 4) * 10**scale - 1
    number = ordinal + 1 if unique else random.randint(0, max(limit, 0))
    digits = str(number).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale > 0 else str(number)


def _float(_: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    return str(float(ordinal + 1)) if unique else f"{random.random() * 1000:.3f}"


def _text(column: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    name = column.name.lower()
    mark = base36(ordinal)
    text = ""
    if "email" in name or name == "mail":
        text = f"{random.choice(FIRST_NAMES).lower()}.{mark}@example.com"
    elif "url" in name or "website" in name or "link" in name:
        text = f"https://example.com/{random.choice(WORDS)}/{mark}"
    elif "phone" in name:
        text = f"+1555{ordinal % 10_000_000:07d}"
    elif "uuid" in name or "token" in name or "hash" in name or "key" in name:
        text = f"{random.getrandbits(64):016x}{mark}"
    else:
        for words, choices in BY_NAME:
            if any(word in name for word in words):
                text = random.choice(choices)
                break
        else:
            if name in {"name", "full_name", "fullname", "author", "owner"}:
                text = f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}"
            else:
                text = " ".join(random.choice(WORDS) for _ in range(random.randint(1, 4)))
        if unique:
            text = f"{text} {mark}"
    if column.size is not None and len(text) > column.size:
        text = mark[-column.size :].rjust(min(column.size, len(mark)), "0") if unique else text[: column.size].rstrip()
    return text or "a"


def _bytes(column: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    size = min(column.size or 8, 8)
    number = ordinal if unique else random.getrandbits(8 * size)
    return "\\x" + (number % (1 << (8 * size))).to_bytes(size, "big").hex()


def _uuid(_: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    tail = ordinal if unique else random.getrandbits(48)
    text = f"{random.getrandbits(32):08x}{random.getrandbits(16):04x}4{random.getrandbits(12):03x}8"
    text += f"{random.getrandbits(12):03x}{tail % (1 << 48):012x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _day(ordinal: int, random: random.Random, unique: bool) -> str:
    number = ordinal if unique else random.randint(0, 3000)
    years, rest = divmod(number, 336)
    months, days = divmod(rest, 28)
    return f"{2015 + years % 80:04d}-{months + 1:02d}-{days + 1:02d}"


def _clock(ordinal: int, random: random.Random, unique: bool) -> str:
    number = ordinal if unique else random.randint(0, 86_399)
    return f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"


def _date(_: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    return _day(ordinal, random, unique)


def _time(_: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    return _clock(ordinal, random, unique)


def _timestamp(_: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    day = _day(ordinal // 86_400, random, unique)
    return f"{day} {_clock(ordinal, random, unique)}"


def _interval(_: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    return f"{ordinal if unique else random.randint(1, 10_000)} seconds"


def _json(_: Column, ordinal: int, random: random.Random, __: bool) -> Value:
    return f'{{"{random.choice(WORDS)}": {random.randint(0, 99)}, "n": {ordinal}}}'


def _enum(column: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    if not column.labels:
        raise ValueError(column.type)
    return column.labels[ordinal % len(column.labels)] if unique else random.choice(column.labels)


def _array(column: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    if column.element is None:
        raise ValueError(column.type)
    values = [invent(column.element, ordinal, random, unique=unique) for _ in range(1 if unique else 2)]
    quoted = ('"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return "{" + ",".join(quoted) + "}"


def _network(_: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    number = ordinal if unique else random.getrandbits(24)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _mac(column: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    text = f"{(ordinal if unique else random.getrandbits(32)) % (1 << 40):010x}"
    middle = "ff:fe:" if column.type == "macaddr8" else ""
    return f"02:{text[:2]}:{text[2:4]}:{middle}{text[4:6]}:{text[6:8]}:{text[8:10]}"


def _bits(column: Column, ordinal: int, random: random.Random, unique: bool) -> Value:
    size = column.size or 1
    number = (ordinal if unique else random.getrandbits(size)) % (1 << size)
    return f"{number:0{size}b}"


def _range(column: Column, ordinal: int, random: random.Random, _: bool) -> Value:
    if column.element is None:
        raise ValueError(column.type)
    low = invent(column.element, 2 * ordinal, random, unique=True)
    high = invent(column.element, 2 * ordinal + 1, random, unique=True)
    return f'["{low}","{high}")'


_MAKERS = {
    "boolean": _boolean,
    "integer": _integer,
    "decimal": _decimal,
    "float": _float,
    "text": _text,
    "bytes": _bytes,
    "uuid": _uuid,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "interval": _interval,
    "json": _json,
    "enum": _enum,
    "array": _array,
    "network": _network,
    "mac": _mac,
    "bits": _bits,
    "range": _range,
}
