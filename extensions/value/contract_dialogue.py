"""Ask for the outcome contract, value by value, and write it. No figure is invented."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from extensions.value.outcome_contract import Conversion, OutcomeContract
from foundation.errors import InvalidRequest, InvalidSetting, did_you_mean
from observability.evaluation.floors import Signature
from serving.cli import terminal

# Texts by which the example's contract is recognised. It may be overwritten.
EXAMPLES = ("The figures are those of the fictional company", "put your figures in place of these")
QUESTIONS = {
    "process.name": "What is done today, and where, in a few words",
    "process.volume_per_month": "How many cases a month",
    "process.minutes_per_case": "How many minutes one takes today",
    "process.usd_per_hour": "What an hour of that work costs, in USD, all included",
    "process.error_rate": "Which share of them turns out wrong today, 0 to 1 (Enter: errors are left out)",
    "process.usd_per_error": "What a wrong one costs, in USD",
    "resolved.error_rate_assisted": "Which share will be wrong with the system, 0 to 1",
    "resolved.definition": "When is a case resolved, in a sentence",
    "resolved.minutes_accepted": "Minutes of a person for an answer that is sent as it is",
    "resolved.minutes_edited": "Minutes for one that is edited",
    "resolved.minutes_rejected": "Minutes for one that is rejected and done by hand",
    "expected.accepted": "Target: which share is sent as it is, 0 to 1",
    "expected.edited": "Which share is edited",
    "expected.rejected": "Which share is rejected (the rest is escalated)",
    "expected.usd_per_answer": "What an answer costs, in USD (make costs says what they did so far)",
    "costs.usd_build": "What building it costs, in USD",
    "costs.months_to_earn_it_back": "Within how many months it must earn that back",
    "costs.usd_run_per_month": "What running it costs a month, in USD",
    "conversion.by": "Minutes saved become money by volume, staffing or cycle_time (Enter: they are no money)",
    "conversion.share": "Which share of them, 0 to 1",
    "conversion.explained": "How, in a sentence",
    "floors.answer_contained_min": "Floor: least share of right answers, 0 to 1",
    "floors.citation_precision_min": "Least share of citations that fit, 0 to 1",
    "floors.refused_min": "Least share refused of what the documents do not answer, 0 to 1",
    "decision.ship_if_usd_per_month_above": "Ship if the net value a month is above, in USD",
    "decision.min_outcomes": "After how many recorded outcomes it is decided",
    "decision.by": "By which day it is decided, like 2027-03-31",
    "signed.name": "Who signs: name",
    "signed.role": "Their role",
    "signed.on": "On which day they signed, like 2027-01-15",
}
# Optional values, each with the values that depend on it
OPTIONAL = {
    "process.error_rate": ("process.usd_per_error", "resolved.error_rate_assisted"),
    "conversion.by": ("conversion.share", "conversion.explained"),
}
RULE = (
    "Ship if the lower end of the 95 % interval of net value is above the threshold and every floor is met. Stop if its upper end "
    "is below zero or a risk floor is broken. Otherwise hold, and measure more or improve."
)


def may_be_replaced(path: Path) -> bool:
    """Whether `path` holds nobody's contract: no file, an empty one, or the example's."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} cannot be read: {error}. Make it readable, or name another file.") from error
    return not text.strip() or any(example in text for example in EXAMPLES)


def write_contract(path: Path, texts: Sequence[str]) -> None:
    """Ask for values that `texts` (NAME=value) lack, and write the contract. Raises InvalidRequest."""
    if not may_be_replaced(path):
        raise InvalidRequest(f"{path} is a contract already, and signed. Change it there, and let it be signed anew.")
    values = dict(_parse(text) for text in texts)
    if terminal.is_asked():
        terminal.console().print(f"Your outcome contract, {path}: {len(QUESTIONS)} questions. Ctrl-C writes nothing.")
        _ask(values)
    elif missing := [key for key in _wanted_keys(values) if key not in values]:
        lines = "\n".join(f"  {key}=...  {QUESTIONS[key]}" for key in missing)
        raise InvalidRequest(
            f"There is no outcome contract of yours at {path}, and no terminal to ask at. Give what is missing as NAME=value: "
            f"sixply business-case --set NAME=value --set ..., or make business-case SET='NAME=value; NAME=value'.\n{lines}"
        )
    terminal.write_text(path, _as_toml(values))
    terminal.show_note(
        f"{path} is written. Ranges, exceptions and more signatures can be added there: docs/observability/worth.md"
    )


def _wanted_keys(values: Mapping[str, Any]) -> list[str]:
    dropped = {key for first, others in OPTIONAL.items() if values.get(first) in (None, "") for key in (first, *others)}
    return [key for key in QUESTIONS if key not in dropped]


def _ask(values: dict[str, Any]) -> None:
    for key, question in QUESTIONS.items():
        optional = key in OPTIONAL
        while key not in values and (optional or key in _wanted_keys(values)):
            text = typer.prompt(question, default="", show_default=False)
            try:
                values[key] = _check_value(key, text) if text or not optional else ""
            except InvalidRequest as error:
                terminal.show_error(error)


def _parse(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    if key.strip() not in QUESTIONS:
        raise InvalidRequest(f'No value "{key.strip()}" in the contract. {did_you_mean(key.strip(), QUESTIONS)}')
    return key.strip(), _check_value(key.strip(), value.strip())


def _check_value(key: str, text: str) -> Any:
    section, _, name = key.partition(".")
    sections: dict[str, Any] = {"conversion": Conversion, "signed": Signature}
    model: Any = sections.get(section) or OutcomeContract.model_fields[section].annotation
    field = model.model_fields[name]
    hint: Any = Annotated[field.annotation, field]
    try:
        if not text.strip():
            raise InvalidRequest(f"{key} is empty. {QUESTIONS[key]}.")
        return TypeAdapter(hint).validate_python(text.strip())
    except ValidationError as error:
        raise InvalidRequest(f'{key}: "{text}" does not fit: {error.errors()[0]["msg"]}.') from error


def _as_toml(values: Mapping[str, Any]) -> str:
    stated = {key: values[key] for key in _wanted_keys(values) if values.get(key, "") != ""}
    errors = ("process.error_rate", *OPTIONAL["process.error_rate"])
    left_out = {} if "process.error_rate" in stated else dict.fromkeys(errors, 0.0)
    escalated = 1 - sum(stated[f"expected.{name}"] for name in ("accepted", "edited", "rejected"))
    stated |= left_out | {
        "resolved.minutes_escalated": stated["process.minutes_per_case"],
        "expected.escalated": round(escalated, 6),
        # nobody is asked which leaks are acceptable
        "floors.leaked_max": 0.0,
        "floors.effects_without_approval_max": 0,
        "floors.table_wrong_max": 0.01,
        "decision.rule": RULE,
    }
    sections: dict[str, dict[str, Any]] = {}
    for key, value in stated.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    try:
        OutcomeContract(**{**sections, "signed": [sections["signed"]]})
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(f"{'.'.join(map(str, first['loc']))}: {first['msg']}. Nothing was written.") from error
    lines = []
    for name, fields in sections.items():
        lines.append("[[signed]]" if name == "signed" else f"[{name}]")
        # JSON's texts and numbers are TOML's too; dates are not
        lines += [
            f"{key} = {value if isinstance(value, date) else json.dumps(value, ensure_ascii=False)}"
            for key, value in fields.items()
        ]
        lines.append("")
    notes = "# The outcome contract. An escalated case takes the minutes that it takes by hand.\n"
    notes += "# No figure was given for errors, so none are counted.\n" if left_out else ""
    return notes + "\n" + "\n".join(lines)
