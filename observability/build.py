"""Open telemetry, and the stores of spans and costs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from foundation import components
from foundation.components import Assembly
from foundation.output.credentials import mask_text
from observability.contract import Redactor, SpanExporter
from observability.settings import ObservabilitySettings
from observability.stores.costs import CostLedger
from observability.stores.spans import SpanStore
from observability.telemetry import setup
from observability.telemetry.setup import Telemetry


@dataclass(frozen=True, kw_only=True)
class Observability:
    """The open parts of layer 6."""

    telemetry: Telemetry
    spans: SpanStore
    costs: CostLedger


def open_observability(
    settings: ObservabilitySettings, assembly: Assembly, *, manifest_id: str, services: Iterable[object] = ()
) -> Observability:
    """Start telemetry and open the stores. This comes before the other layers, because it watches them start.
    Raises ConfigurationError: an exporter cannot be built or a store cannot be opened.
    """
    data, records = assembly.context.data_dir, assembly.context.records
    clean = join_redactors(services)
    exporters = [
        # telemetry closes them, after it has sent what it still holds
        components.load("observability.exporters", chosen, assembly.context, expected=SpanExporter)
        for chosen in settings.exporters
    ]
    return Observability(
        telemetry=assembly.keep(setup.start(settings, exporters, manifest_id=manifest_id, clean=clean)),
        spans=assembly.keep(SpanStore(data / "spans.sqlite")),
        costs=assembly.keep(CostLedger(data / "costs.sqlite", records)),
    )


def join_redactors(services: Iterable[object]) -> Callable[[str], str]:
    """Return a function that masks the credentials in a text, and then takes out what each redactor among the services finds."""

    def clean(text: str) -> str:
        text = mask_text(text)
        for redactor in [service for service in services if isinstance(service, Redactor)]:
            text = redactor.redact(text)
        return text

    return clean
