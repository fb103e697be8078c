"""Open telemetry, and the stores of spans, costs and outcomes."""

from dataclasses import dataclass

from foundation import components
from foundation.components import Assembly
from observability.contract import SpanExporter
from observability.settings import ObservabilitySettings
from observability.stores.costs import CostLedger
from observability.stores.outcomes import OutcomeStore
from observability.stores.spans import SpanStore
from observability.telemetry import setup
from observability.telemetry.setup import Telemetry


@dataclass(frozen=True, kw_only=True)
class Observability:
    """The open parts of layer 6."""

    telemetry: Telemetry
    spans: SpanStore
    costs: CostLedger
    outcomes: OutcomeStore


def open_observability(settings: ObservabilitySettings, assembly: Assembly, *, manifest_id: str) -> Observability:
    """Start telemetry and open the stores. This comes before the other layers, because it watches them start.
    Raises ConfigurationError: an exporter cannot be built or a store cannot be opened.
    """
    data, records = assembly.context.data_dir, assembly.context.records
    exporters = [
        # telemetry closes them, after it has sent what it still holds
        components.load("observability.exporters", chosen, assembly.context, expected=SpanExporter)
        for chosen in settings.exporters
    ]
    return Observability(
        telemetry=assembly.keep(setup.start(settings, exporters, manifest_id=manifest_id)),
        spans=assembly.keep(SpanStore(data / "spans.sqlite")),
        costs=assembly.keep(CostLedger(data / "costs.sqlite", records)),
        outcomes=assembly.keep(OutcomeStore(data / "outcomes.sqlite", records)),
    )
