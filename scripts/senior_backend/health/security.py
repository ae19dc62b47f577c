"""Which addresses checks may reach, and how secrets are kept out of everything that is printed."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from senior_backend.health.steps import Failure

MASK = "***"
MIN_SECRET = 3
"""Shorter secrets cannot be told from ordinary text; they are still never printed on purpose."""
WORD_SECRET = 10
_METADATA = frozenset({"fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"})
"""Cloud metadata services that do not live in a link-local range."""

SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|^pwd$|secret|token|api[-_]?key|authorization|credential|private[-_]?key|^auth$|cookie|signature",
    re.IGNORECASE,
)
_HARMLESS_VARIABLE = re.compile(
    r"(^|_)(HOST|HOSTNAME|PORT|URL|URI|DSN|ADDR|ADDRESS|ENDPOINT|TIMEOUT|INTERVAL|DOMAIN|REGION|ENV|DB|DATABASE|USER|"
    r"USERNAME|NAME|PATH|VERSION|SCHEME|ZONE|STATUS|LEVEL|DEBUG)$",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(r"PASS|PWD|SECRET|TOKEN|KEY|CREDENTIAL|SIGNATURE|COOKIE|AUTHORIZATION", re.IGNORECASE)
_TOKEN_LIKE = re.compile(r"(?=[^/]*\d)(?=[^/]*[A-Za-z])[A-Za-z0-9_\-.~+=%]{20,}")


_MASKED_PARTS = re.compile("[@?#]")


class AddressPolicy:
    """Decides on resolved addresses, so that a name cannot lead where its text does not say.

    Loopback and private networks are allowed, since checks of local stacks are the common case; link-local and
    metadata addresses are refused unless `allowed` (addresses or networks) covers them.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = [ipaddress.ip_network(item, strict=False) for item in allowed]
        self._verdicts: dict[str, str | None] = {}

    def check(self, address: str) -> None:
        """Pass, or raise `Failure("address_blocked")`."""
        if address not in self._verdicts:
            self._verdicts[address] = self._verdict(address)
        verdict = self._verdicts[address]
        if verdict:
            raise Failure("address_blocked", verdict)

    def _verdict(self, address: str) -> str | None:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address):
            embedded = ip.ipv4_mapped or ip.sixtofour
            if embedded is None and ip in ipaddress.ip_network("64:ff9b::/96"):
                embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
            ip = embedded or ip
        if any(ip in network for network in self._allowed if network.version == ip.version):
            return None
        if ip.is_link_local:
            return f"{address} is link-local"
        if str(ip) in _METADATA:
            return f"{address} is a metadata service"
        if ip.is_multicast:
            return f"{address} is a multicast address"
        return None


def secrets_of_variable(variable: str, value: str) -> set[str]:
    """Return the parts of an environment variable's value that must not be shown.

    Of a URL these are password, query values and token-like path segments; other values are secret as a whole unless
    the variable's name says that it is an address or a plain setting.
    """
    if "://" in value:
        return secrets_of_url(value, tainted=True)
    if _HARMLESS_VARIABLE.search(variable) and not _SECRET_VARIABLE.search(variable):
        return set()
    return {value} if value.strip() else set()


def secrets_of_url(url: str, *, tainted: bool = False) -> set[str]:
    """Return password, query values and, in a URL that came from a variable, token-like path segments."""
    if not tainted and "@" not in url and "?" not in url:
        return set()
    try:
        parts = urlsplit(url)
        found = {parts.password or ""}
        if parts.username and not parts.password and parts.scheme in ("http", "https"):
            found.add(parts.username)
    except ValueError:
        return {url}
    for item in re.split(r"[&;]", parts.query):
        key, _, value = item.partition("=")
        if SECRET_KEY.search(key) or _TOKEN_LIKE.fullmatch(value):
            found.add(value)
    if tainted:
        found.update(segment for segment in parts.path.split("/") if _TOKEN_LIKE.fullmatch(segment))
    return found - {""}


def masked_url(url: str) -> str:
    """Return `url` without userinfo and with every query value masked, for display."""
    if not _MASKED_PARTS.search(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    query = "&".join(
        f"{item.partition('=')[0]}={MASK}" if "=" in item else item for item in parts.query.split("&") if item
    )
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


class Redactor:
    """Replaces known secrets, also in their URL-encoded and base64 forms, in any text or tree of plain data.

    A short secret of letters and digits is only replaced as a whole word: with the password `postgres`, the scheme of
    `postgresql://` stays readable.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: dict[str, bool] = {}
        for secret in secrets:
            if len(secret) < MIN_SECRET:
                continue
            word = secret.isalnum() and len(secret) < WORD_SECRET
            forms.update(dict.fromkeys((secret, quote(secret, safe=""), repr(secret)[1:-1]), word))
            if len(secret) >= 6:
                forms.update(dict.fromkeys(_base64_cores(secret.encode()), False))
        # By their first characters, the longest first: one pass over a text finds any number of secrets.
        self._forms: dict[str, list[tuple[str, bool]]] = {}
        for form in sorted(forms, key=len, reverse=True):
            self._forms.setdefault(form[:MIN_SECRET], []).append((form, forms[form]))
        self.active = bool(forms)

    def text(self, value: str) -> str:
        """Return `value` with every secret masked."""
        if not self.active:
            return value
        parts: list[str] = []
        start = at = 0
        while at <= len(value) - MIN_SECRET:
            size = self._secret_at(value, at)
            if size:
                parts += [value[start:at], MASK]
                start = at = at + size
            else:
                at += 1
        return "".join([*parts, value[start:]]) if parts else value

    def _secret_at(self, value: str, at: int) -> int:
        """Return the length of the secret that begins here, 0 when none does."""
        for form, word in self._forms.get(value[at : at + MIN_SECRET], ()):
            if value.startswith(form, at):
                end = at + len(form)
                if not word or not (value[at - 1 : at].isalnum() or value[end : end + 1].isalnum()):
                    return len(form)
        return 0

    def tree(self, value: Any) -> Any:
        """Return a copy of plain data (mappings, sequences, scalars) with every text masked."""
        if not self.active:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        return value


def _base64_cores(secret: bytes) -> set[str]:
    """Return what base64 makes of `secret` at each of the three alignments, without the characters of neighbours.

    A Basic authorization header encodes `user:password`; the password is then found whatever the user's length.
    """
    cores = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret).decode().rstrip("=")
        first = (shift * 8 + 5) // 6
        last = (shift + len(secret)) * 8 // 6
        core = encoded[first:last]
        if len(core) >= 6:
            cores.add(core)
    return cores


def excerpt(data: bytes | str, limit: int = 200) -> str:
    """Return untrusted text on one line, without control characters, at most `limit` characters."""
    text = data[: limit * 4].decode("utf-8", "replace") if isinstance(data, bytes) else data
    joined = " ".join(text.split())
    shown = "".join(char if char.isprintable() else "·" for char in joined)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
