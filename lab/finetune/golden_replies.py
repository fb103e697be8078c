"""What a chat model should have replied to golden questions: the sentence of the evidence that holds the fact, with its marker.

The evidence and the prompt are those of `compose = "generative"`, so that a model is tuned on what it will be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from extensions.planned_agent.clauses import narrow
from extensions.planned_agent.compose import WORDS
from extensions.planned_agent.document_steps import PASSAGES
from extensions.planned_agent.prompts import FOLDER
from lab.tuning.chat import Example, Message
from observability.evaluation import metrics
from observability.evaluation.golden_set import GoldenCase
from orchestration.prompts.files import read_prompt
from orchestration.prompts.frames import answer_from
from retrieval.grounding.citing import Evidence

_ROLES = {"system": "system", "human": "user"}


def examples(
    cases: Iterable[GoldenCase], evidence: Callable[[GoldenCase], Sequence[Evidence]]
) -> Iterator[tuple[GoldenCase, Example | None]]:
    """Each case that is answered from documents, with its example; `None` where its evidence does not hold the fact."""
    for case in cases:
        if case.answerable and case.expected_strings and case.tool is None:
            yield case, example_of(case, evidence(case)[:PASSAGES])


def example_of(case: GoldenCase, evidence: Sequence[Evidence]) -> Example | None:
    """The prompt over `evidence` and the reply; `None` where not all that is asked for stands in a gold document's part of it."""
    reply = gold_reply(case, evidence)
    if reply is None:
        return None
    prompt = answer_from(read_prompt("graph_answer", FOLDER), case.question, [item.text for item in evidence])
    asked = [Message(role=_ROLES[message.type], content=message.text) for message in prompt]
    return Example(messages=(*asked, Message(role="assistant", content=reply)))


def gold_reply(case: GoldenCase, evidence: Sequence[Evidence]) -> str | None:
    """The first sentence of a gold document for each thing that is asked for, each followed by its number in the evidence.

    Of a long one no more than the part that answers, where that still holds the fact.
    """
    quotes: dict[int, str] = {}
    for group in case.expected_strings:
        found = next((place for place, item in enumerate(evidence) if _holds(item, group, case)), None)
        if found is None:
            return None
        item = evidence[found]
        short = narrow(case.question, item, WORDS)
        kept = short if metrics.contains(short.text, group) else item
        quotes[found] = max(quotes.get(found, ""), kept.text, key=len)
    return " ".join(f"{' '.join(text.split())} [{place + 1}]" for place, text in sorted(quotes.items()))


def _holds(item: Evidence, group: Sequence[str], case: GoldenCase) -> bool:
    return item.hit.source.uri in case.gold_documents and metrics.contains(item.text, group)
