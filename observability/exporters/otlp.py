"""Spans to any OpenTelemetry collector over HTTP, for example Jaeger, Tempo, Phoenix or a vendor's endpoint."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SpanExporter
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from foundation.components import Context

SIGNAL_PATH = "/v1/traces"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = Field(default="http://127.0.0.1:4318", pattern=r"^https?://[^\s/]+")
    """The collector's base address, or the whole address of its traces endpoint."""
    headers: dict[str, SecretStr] = {}
    """Sent with each batch; values such as an API key are secrets."""
    timeout_s: float = Field(default=3, gt=0, le=30)
    """For one batch, retries included. Closing the system can take this long when the collector is down."""
    compression: bool = True


def build(options: Options, context: Context) -> SpanExporter:  # noqa: ARG001 - every adapter gets the context
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    base = options.endpoint.rstrip("/")
    return OTLPSpanExporter(
        endpoint=base if base.endswith(SIGNAL_PATH) else base + SIGNAL_PATH,
        headers={name: value.get_secret_value() for name, value in options.headers.items()},
        timeout=options.timeout_s,
        compression=Compression.Gzip if options.compression else Compression.NoCompression,
    )
