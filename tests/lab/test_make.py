"""The commands of the lab, the examples and the extensions go by `make`, with the values that they were promised to take."""

from __future__ import annotations

import pytest

from tests.make_rules import RULES, to_arguments

PROMISED = {
    "demo": "STACK",
    "stop": "REASON STACK WHAT",
    "lift": "STACK WHAT",
    "stops": "JSON STACK",
    "mcp": "ROLE STACK TENANT",
    "drift": "DAYS JSON STACK",
    "audit-verify": "HEAD JSON STACK",
    "system-card": "HTML JSON STACK",
    "strengthen": "DATA JSON LIMIT REPEATS STACK",
    "model-frontier": "GOLDEN JSON LIMIT STACK",
    "golden": "N OUT SRC STACK TENANT YES",
    "cases-from-feedback": "GOLDEN STACK TAKE TO",
    "business-case": "JSON SET STACK",
    "roi": "JSON STACK",
    "value-report": "HTML JSON STACK",
    "lab": "",
    "attack": "JSON ONLY REOPEN",
    "fuzz": "BODIES JSON SEED",
    "house": "JSON",
    "mutate": "COUNT JSON LIMIT SEED",
    "assistant-trial": "ASSISTANT CMD MINUTES TABLE TASK",
    "bench-retrieval": "DATA JSON LIMIT STACK",
    "bench-answers": "DATA FOREIGN JSON LIMIT PLOT STACK",
    "bench-followups": "DATA JSON STACK",
    "bench-structured": "DATA JSON LIMIT STACK",
    "bench-verify": "DATA JSON LIMIT STACK",
    "bench-claims": "DATA HALF JSON LIMIT STACK",
    "bench-meaning": "BY DATA JSON LIMIT STACK",
    "train-verify": "CLAIMS STACK TO",
    "bench-tau": "DATA JSON STACK",
    "replay": "APPROVALS DATA JSON KILLS LIMIT MODEL SEED STACK WORLD",
    "bench-cache": "DATA JSON LIMIT STACK",
    "bench-context": "FACTS JSON ROUNDS STACK TURNS WINDOW",
    "bench-tables": "JSON QUESTIONS STACK",
    "bench-parse": "DATA JSON MUTATE SEED STACK STRINGS",
    "bench-pii": "DATA JSON",
    "bench-ingest": "AGAINST CHUNKS DATA JSON LIMIT STACK",
    "bench-index": "CHUNKS JSON STACK",
    "bench-encoder": "DATA JSON LIMIT ROUNDS STACK THREADS",
    "bench-telemetry": "JSON ROUNDS STACK",
    "simulate-value": "JSON MONTHS STACK",
    "redteam": "AGENT JSON LIMIT ROUNDS STACK THROUGH",
    "bench-attacks": "AGENT DATA JSON LIMIT ROWS STACK",
    "leaks": "JSON OPS SEED STACK",
    "first-token": "JSON ROUNDS STACK",
    "load": "ABORTS FROM JSON PLOTS RATE SECONDS STACK TERMS",
    "torture": "JSON KILLS MUTATIONS SEED STACK",
    "scale": "DOCUMENTS JSON NODES STACK",
    "scale-model": "JSON PLOT STACK",
    "finetune": "DATA EPOCHS JSON LIMIT PART SEED STACK TO",
    "new": "CHECK DIR NAME WITH",
    "release-check": "JSON OUT",
    "pictures": "",
    "screenshots": "STACK TO",
    "bench-team": "JSON LIMIT",
}
"""Target -> the values that people give it. Their scripts hold them, so none of these may go."""


@pytest.mark.parametrize("target", PROMISED)
def test_every_target_that_was_promised_takes_the_values_that_were_promised(target: str):
    assert set(PROMISED[target].split()) <= RULES[target]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("make bench-encoder DATA='a b' THREADS=2", ["bench-encoder", "--threads=2", "--", "a", "b"]),
        ("make stop WHAT=effects REASON='a \"b\"; $c'", ["stop", '--reason=a "b"; $c', "--", "effects"]),
        ("make bench-followups", ["bench-followups"]),
        ("make finetune DATA=folder PART=chat", ["finetune", "--", "chat", "folder"]),
        ("make leaks OPS=10 SEED=3", ["leaks", "--operations=10", "--seed=3"]),
        ("make load FROM=earlier.json", ["load", "--from=earlier.json"]),
        ("make attack ONLY=sql REOPEN=1", ["attack", "--only=sql", "--reopen"]),
    ],
)
def test_a_value_goes_to_the_option_or_argument_of_its_name(command: str, arguments: list[str]):
    assert to_arguments(command) == arguments
