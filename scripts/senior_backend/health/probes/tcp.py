"""A TCP connection, or one to a Unix socket: the weakest answer, since an open port is not a working service."""

from __future__ import annotations

from senior_backend.health.config.values import TEXT, Example, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe
from senior_backend.health.steps import Answer, Connect, Conversation, Failure, Send, Some, printable


def converse(service: Service) -> Conversation:
    """Connect; with `send` or `receive`, exchange that text."""
    path = service.options.get("socket")
    if path:
        yield Connect(path, 0, transport="unix")
    else:
        yield Connect(service.host, service.port, tls=service.tls)
    send, receive = service.options.get("send"), service.options.get("receive")
    if send:
        yield Send(send.encode().decode("unicode_escape").encode("latin-1"))
    if not receive:
        return Answer("connected")
    wanted, heard = receive.encode(), b""
    while wanted not in heard:
        more = yield Some()
        heard += more
        if not more or len(heard) > 65536:
            raise Failure("protocol_mismatch", f"expected {receive!r}, the answer begins {printable(heard)}")
    return Answer(f"answered {printable(heard)}")


PROBE = Probe(
    type="tcp",
    title="TCP connection",
    converse=converse,
    schemes={"tcp": False},
    fields=(
        Field("send", TEXT, "Text to send after connecting; escapes such as \\r\\n are understood."),
        Field("receive", TEXT, "Text that the answer must contain."),
        Field("socket", TEXT, "Path of a Unix socket, instead of host and port."),
    ),
    examples=(
        Example("open", ()),
        Example("the answer contains the text", (b"220 hel", b"lo\r\n"), options={"receive": "hello"}),
        Example("another answer", (b"HTTP/1.1 400\r\n",), "protocol_mismatch", closes=True,
                options={"receive": "+PONG"}),
    ),
)  # fmt: skip
