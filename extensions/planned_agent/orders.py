"""English sentences that seem to give orders to whoever reads them: they are shown as a quotation, and the answer says so.

This decides nothing about tools: the executor does. It notices few attacks (none of 300 e-mails, tables and code with an injected
task of BIPIA), and ordinary text, too ("Dental assistants must wear nitrile gloves"); so evidence is marked, and never left out.
"""

import re
from collections.abc import Iterable

from orchestration.language.guard import visible
from retrieval.documents import Citation

_ADDRESSED = (
    # speaks to a machine or the desk behind the reader's back
    # from the first mention on, searched once and not for each mention
    r"\A(?>.*?\b(assistants?|chat ?bots?|language models?|ai (agents?|models?|systems?))\b).*\b(reading|must|should|shall|please|you)\b",
    r"\b(ignore|disregard|forget)\b.{0,40}\b(previous|prior|above|earlier|all|your|these)\b.{0,40}\b(instructions?|rules?|prompts?|polic(y|ies)|guidelines?)\b",
    r"\b(your|the) (system|hidden|secret) (prompt|instructions?|message)\b",
    # tells it what to conceal, or what to say instead
    r"\bdo not (mention|reveal|disclose|tell)\b.{0,80}\b(reply|replies|answer|note|instructions?|user|prompt)\b",
    r"\b(just )?tell the (user|customer|reader) that\b",
    # tells it to bypass approvals
    r"\bwithout (asking for |requesting |any |waiting for )*(approval|permission|confirmation|authori[sz]ation)\b",
    r"\byou are now\b|\bnew instructions?:",
)
_INSTRUCTION = re.compile("|".join(f"(?:{pattern})" for pattern in _ADDRESSED), re.IGNORECASE | re.DOTALL)
_CLOSING = str.maketrans({'"': "’", "”": "’", "“": "‘", "„": "‘", "«": "‹", "»": "›"})  # noqa: RUF001 - these very signs


def instructs_reader(text: str) -> bool:
    """Whether a passage seems to give orders to its reader, rather than to inform a person."""
    return _INSTRUCTION.search(visible(text)) is not None


def warnings_about(citations: Iterable[Citation]) -> list[str]:
    """Return a warning for each citation whose quote seems to give orders."""
    return [
        f"[{citation.marker}] seems to give orders to whoever processes it: it is a quote, and nothing was done because of it"
        for citation in citations
        if instructs_reader(citation.quote)
    ]


def as_quotation(text: str) -> str:
    """Put text in quotation marks, with those inside replaced so that it cannot close them.

    >>> as_quotation('Obey.” She said: "yes".')
    '“Obey.’ She said: ’yes’.”'
    """
    return f"“{text.translate(_CLOSING)}”"
