"""Questions proposed from documents: what the rules ask, what a chat model may propose, and what is left out and why."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from extensions.development.scripted_chat import ScriptedChat
from extensions.proposals.from_documents import Checks, Draft, absent_by_rule, by_model, by_rule
from extensions.proposals.priced_chat import PricedChat
from foundation.types import Scope
from observability.evaluation.golden_set import GoldenCase
from observability.evaluation.leaks import DocumentText as Text
from retrieval.documents import Chunk, Hit, Source
from tests.doubles.orchestration import ManualClock, PerToken

TICKET = "A single adult ticket between Port Ellis and Graynes costs 14.50 euros."
FARES = f"""Fares

{TICKET} Never use the gangway alone.
The crossing takes 55 minutes. Refunds are paid within 10 working days. It costs 3 euros.
The Lady Graynes is a paddle steamer from 1911, which still runs.

Class: Saloon; Seats: 40; Price: 22 euros
What happens to lost umbrellas?
The harbour office keeps them for a year."""
TEXT = Text("fares.md", "harbour", frozenset(), FARES)


def search(text: Text) -> object:
    """A double that finds the whole document for any question."""

    def whole(_question: str, scope: Scope, limit: int) -> Sequence[Hit]:
        assert scope == text.scope
        chunk = Chunk("c", "d", 0, text.text, 0, len(text.text))
        return [Hit(chunk, Source(text.uri, text.tenant), 1.0)][:limit]

    return whole


def checks(text: Text = TEXT, **more: object) -> Checks:
    return Checks(**{"texts": [text], "search": search(text), **more})  # type: ignore[arg-type]


def test_the_rules_ask_for_what_sentences_rows_and_questions_of_the_text_state() -> None:
    asked = {draft.question: draft.answer for draft in by_rule([TEXT])}
    assert asked == {
        "A single adult ticket between Port Ellis and Graynes costs ___ euros?": "14.50",
        "The crossing takes ___ minutes?": "55",
        "Refunds are paid within ___ working days?": "10",
        "The Lady Graynes is a paddle steamer from ___, which still runs?": "1911",
        "What happens to lost umbrellas?": "The harbour office keeps them for a year",
        **{question: answer for question, answer in asked.items() if "Saloon" in question},
    }
    assert ("Saloon: Seats?", "40") in asked.items() or ("Saloon: Price?", "22 euros") in asked.items()


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Die Überfahrt dauert an ruhigen Tagen 55 Minuten.", "Die Überfahrt dauert an ruhigen Tagen ___ Minuten?"),
        ("El billete sencillo cuesta 14,50 euros.", "El billete sencillo cuesta ___ euros?"),
        ("Переправа в тихую погоду занимает 55 минут.", "Переправа в тихую погоду занимает ___ минут?"),
        ("渡轮航程需要55分钟。", "渡轮航程需要___分钟?"),
        ("丢失的雨伞怎么办？\n港务处保管一年。", "丢失的雨伞怎么办？"),  # noqa: RUF001 - full-width signs are meant
        ("Modell: QP-200; Leistung: 45 W", "QP-200: Leistung?"),
        ("Билет на остров стоит 4 200 рублей.", "Билет на остров стоит ___ рублей?"),
        ("The ferry cost us 12\u00a0400,50 euros to mend.", "The ferry cost us ___ euros to mend?"),
        ("The office answers at +495550142 until noon.", "The office answers at ___ until noon?"),
    ],
)
def test_the_rules_need_no_language(written: str, asked: str) -> None:
    text = Text("a.md", "harbour", frozenset(), written)
    (draft,) = by_rule([text])
    assert draft.question == asked
    assert checks(text).proposal(draft) is not None


@pytest.mark.parametrize(
    "written",
    [
        "12. Bring your ticket along.",
        "It costs 3 euros.",
        "The QP-200 is new here and loud.",
        "The office answers at +49 555 0142 until noon.",
        "Does the last ferry leave from pier 14?",
        "",
    ],
)
def test_what_says_no_figure_on_its_own_is_not_asked(written: str) -> None:
    assert list(by_rule([Text("a.md", "harbour", frozenset(), written)])) == []


MAIL = """Invoice 4711 for the ferry

From: Ida Berg 77 <ida@harbour.example>

Date: Mon, 03 Mar 2025 09:15:00 +0100

The crossing takes 55 minutes.

Am 3. März 2025 um 08:00 schrieb Office <office@harbour.example>:

> Please send the invoice 4711 by 10 March.

From: Port Ellis; To: Graynes; Price: 22 euros
"""


def test_of_a_mail_its_own_words_are_asked_and_no_header_nor_what_it_quotes() -> None:
    asked = {draft.question for draft in by_rule([Text("a.EML", "harbour", frozenset(), MAIL)])}
    assert asked - {"Port Ellis: To?", "Port Ellis: Price?"} == {"The crossing takes ___ minutes?"}
    assert len(asked) == 2, "a row that has a column From is none"
    plain = {draft.question for draft in by_rule([Text("a.txt", "harbour", frozenset(), MAIL)])}
    assert "Invoice ___ for the ferry?" in plain


def test_a_proposal_has_the_place_of_its_evidence_and_is_a_case() -> None:
    draft = next(draft for draft in by_rule([TEXT]) if "crossing" in draft.question)
    proposal = checks().proposal(draft)
    assert proposal is not None
    assert proposal.waits
    assert FARES[slice(*proposal.span or ())] == "The crossing takes 55 minutes."
    case = GoldenCase(**proposal.case)
    assert (case.tenant, case.gold_documents, case.answers) == ("harbour", ("fares.md",), ("55",))
    assert case.answered_by("It takes 55 minutes [1].")


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        (Draft(TEXT, "How long?", "55 minutes", "The crossing takes 55 minutes on calm days."), "does not stand"),
        (Draft(TEXT, "How long?", "56 minutes", "The crossing takes 55 minutes."), "not the answer in it"),
        (Draft(TEXT, "Are 55 minutes enough?", "55 minutes", "The crossing takes 55 minutes."), "says the answer"),
        (
            Draft(TEXT, f"{TICKET.removesuffix(' 14.50 euros.')}?", "14.50 euros", TICKET),
            "copies the sentence",
        ),
        (Draft(TEXT, "What is the Lady Graynes?"), "may have one"),
        (Draft(TEXT, "Known already?", "55 minutes", "The crossing takes 55 minutes."), "a case already"),
    ],
)
def test_what_is_not_fit_to_be_shown_is_left_out_with_the_reason(draft: Draft, why: str) -> None:
    checked = checks(known={"known already?"})
    assert checked.proposal(draft) is None
    ((reason, count),) = checked.left_out.items()
    assert why in reason
    assert count == 1


def test_what_a_search_does_not_find_is_left_out() -> None:
    checked = checks(search=lambda *_, **__: [])
    assert checked.proposal(next(by_rule([TEXT]))) is None
    assert list(checked.left_out) == ["search does not find the place"]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Class: Port; Seats in Portal: 40", "QX-0: Seats in Portal?"),
        ("等级: 头等; 座位: 40", "QX-0: 座位?"),
        ("The ferry to Graynes takes 55 minutes.", "The ferry to QX-0 takes ___ minutes?"),
        ("The crossing takes approximately 55 minutes.", None),
        ("Approximately every boat takes 55 minutes.", None),
        ("The ferry runs from 1 September to 31 October.", None),
        ("The boat was built in September 1911.", None),
        ("Note: Please pay 55 euros on board.", None),
        ("Wir erstatten binnen 10 Arbeitstagen.", None),
        ("渡轮航程需要55分钟。", None),
        ("What happens to lost umbrellas?\nThe harbour office keeps them.", None),
    ],
)
def test_what_is_asked_of_things_that_are_not_there_is_in_no_text(written: str, asked: str | None) -> None:
    text = Text("a.md", "harbour", frozenset(), written)
    absent = list(absent_by_rule(by_rule([text])))
    assert [re.sub(r"QX-\d{4}", "QX-0", draft.question) for draft in absent] == ([asked] if asked else [])
    for draft in absent:
        proposal = checks(text).proposal(draft)
        assert proposal is not None
        assert GoldenCase(**proposal.case).kind == "unanswerable"


def test_a_made_up_code_that_a_text_holds_is_not_asked_for() -> None:
    (draft,) = absent_by_rule(by_rule([Text("a.md", "harbour", frozenset(), "Class: Saloon; Seats: 40")]))
    holds = Text("b.md", "harbour", frozenset(), f"{draft.subject} is a boat.")
    # another word that no text has does not help it
    for one in (draft, replace(draft, question=f"{draft.question} Whatever?")):
        checked = checks(texts=[TEXT, holds])
        assert checked.proposal(one) is None
        assert "may have one" in next(iter(checked.left_out))


def writer(*replies: object) -> PricedChat:
    """A chat model that is a double."""
    said = tuple(json.dumps(reply) if isinstance(reply, dict) else reply for reply in replies)
    return PricedChat(ScriptedChat(replies=said), PerToken(), ManualClock())


async def test_a_chat_model_proposes_and_what_it_invents_is_left_out() -> None:
    good = {
        "question": "How long am I on the water?", "answer": "55 minutes", "quote": "The  crossing takes\n55 minutes.",
    }  # fmt: skip
    invented = {"question": "Is there a bar?", "answer": "yes", "quote": "There is a bar on board: yes."}
    two = Text("b.md", "harbour", frozenset(), FARES)
    checked = checks(texts=[TEXT, two])
    drafts = [
        draft async for draft in by_model([TEXT, two], writer(good, invented).ask, absent=False, left_out=Counter())
    ]
    assert drafts[0].evidence == "The crossing takes 55 minutes."
    assert [checked.proposal(draft) is not None for draft in drafts] == [True, False]


async def test_a_chat_model_that_writes_no_object_is_counted_and_not_asked_for_ever() -> None:
    left_out: Counter[str] = Counter()
    texts = [Text(f"{number}.md", "harbour", frozenset(), FARES) for number in range(20)]
    assert [draft async for draft in by_model(texts, writer("no JSON").ask, absent=False, left_out=left_out)] == []
    assert left_out == {"the chat model failed: upstream_malformed": 5}
