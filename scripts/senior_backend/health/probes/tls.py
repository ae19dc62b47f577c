"""A TLS handshake with verification; expiry is told for certificates that do not verify, too."""

from __future__ import annotations

from senior_backend.health.config.values import Example
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.steps import Answer, Conversation


def converse(service: Service) -> Conversation:
    """Shake hands and close."""
    peer = yield connect_step(service)
    certificate = peer.certificate
    return Answer(f"handshake complete, {certificate.version}" if certificate else "handshake complete")


PROBE = Probe(
    type="tls",
    title="TLS handshake and certificate",
    converse=converse,
    schemes={"tls": True, "ssl": True},
    port=443,
    tls_port=443,
    always_tls=True,
    aliases=("ssl", "certificate"),
    examples=(Example("a handshake", ()),),
)
