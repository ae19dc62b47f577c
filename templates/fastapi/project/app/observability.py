"""Structured logs, Prometheus metrics and OpenTelemetry traces."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from secrets import token_hex
from typing import Any

import orjson
import structlog
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import Gauge, Histogram

from app import service
from app.config import Settings

SECONDS = Histogram(
    "http_request_duration_seconds",
    "Duration of requests by method, route template and status.",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_FLIGHT = Gauge("http_requests_in_flight", "Requests that are being answered.")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_NO_TRACE = "0" * 32


def configure_logging(level: str) -> None:
    """Write every log line, the libraries' too, as one JSON object to standard output."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.dict_tracebacks,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=lambda event, **_: _dumps(event).decode()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def _dumps(event: MutableMapping[str, Any], **_: Any) -> bytes:
    return orjson.dumps(event, default=repr)


class Tracing:
    """Spans for requests, where OTEL_EXPORTER_OTLP_ENDPOINT names a collector."""

    def __init__(self, settings: Settings) -> None:
        self._provider: TracerProvider | None = None
        if settings.otel_exporter_otlp_endpoint:
            endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
            self._provider = TracerProvider(resource=Resource.create({"service.name": service.NAME}))
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
            self._tracer = self._provider.get_tracer(service.NAME, service.VERSION)

    def span(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]:
        """Return the context of a request's span, which continues the trace of the caller."""
        if self._provider is None:
            return nullcontext()
        return self._tracer.start_as_current_span(
            name, context=propagate.extract(headers), kind=trace.SpanKind.SERVER, record_exception=False
        )

    def close(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._provider.shutdown()


def trace_id(traceparent: str | None) -> str:
    """Return the id of the trace that a request belongs to, 32 hexadecimal digits."""
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        return format(current.trace_id, "032x")
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return found[1] if found and found[1] != _NO_TRACE else token_hex(16)
