"""How do you see what happened, also when it went wrong?

Every answer has a trace: which layer did what, for how long. The same store shows where failed requests began to fail,
which is rarely where somebody noticed it.
"""

from examples.small_system import ask, small_system
from extensions.reports import triage
from foundation.errors import SixplyError
from observability.stores.spans import tree
from serving.wiring import System


def show_trace(system: System, trace_id: str) -> None:
    from observability.reports.layer_bill import layer_bill

    spans = system.observability.spans.trace(trace_id)
    print("trace of an answer                        ms  layer")
    for root in tree(spans):
        for depth, span in root.walk():
            print(f"  {'  ' * depth + span.name:34} {span.ms:7.1f}  {span.layer or ''}")
    bill = layer_bill(spans, system.observability.costs.of_trace(trace_id))
    shares = ", ".join(f"{share.layer} {share.ns / bill.ns:.0%}" for share in bill.shares if share.spans)
    print(
        f"bill: {bill.ms:.0f} ms ({shares}), {bill.usd:.8f} dollars; the rows add up: {'yes' if bill.exact else 'NO'}"
    )


def main() -> None:
    with small_system() as system:
        ask(system, "Which band plays on board on Saturdays?")  # the first question loads models and is not shown
        answer = ask(system, "What does a bicycle cost?")
        system.observability.telemetry.flush()
        assert answer.trace_id is not None
        show_trace(system, answer.trace_id)
    down = {"models": {"chat": {"use": "scripted", "raises": "upstream_down"}, "resilience": {"attempts": 1}}}
    with small_system({**down, "orchestration": {"answers": {"compose": "generative"}, "tools": []}}) as system:
        for question in ("What does a bicycle cost?", "How long does the crossing take?"):
            try:
                ask(system, question)
            except SixplyError as error:
                print(f"a caller sees: {error.code} (the model is a double that refuses every call)")
        system.observability.telemetry.flush()
        failures, _ = triage.failures(system.observability.spans)
        for failure in failures:
            print(f"triage: {failure.traces} requests, began in {failure.where} ({failure.layer}): {failure.error}")
    print("One layer up: seeing is not steering. Who may do what, and who says stop? python -m examples.govern_it")


if __name__ == "__main__":
    main()
