"""The memory of a conversation, and the reading of follow-up questions with it.

Answers are never used: they quote documents, and a document must not steer the next search. The last turns are kept whole;
of earlier ones, a summary keeps the questions that stand alone, since a chain of follow-ups depends on the last of them.
"""

import re
from collections.abc import Sequence
from itertools import islice

from langchain_core.tools import BaseTool

from extensions.planned_agent.stated_arguments import identifiers
from foundation.text.lexical import names, terms

# Number of last turns that are kept whole
TURNS = 6
# Most characters of an earlier answer that are kept
ANSWER_CHARACTERS = 1_000
# Most questions in a summary
SUMMARY = 6
# Most characters of a question in a summary
QUESTION_CHARACTERS = 200
# Most questions of a client's conversation that are read for its summary; a request may hold thousands
LOOKED_BACK = 50
# A question with fewer content words depends on what was said before
FEW = 3

_POINTS = re.compile(
    r"\b(?:it|its|that|this|them|they|their|these|those|there|ones?|he|she|his|her|him|others?|another|else|same|such|too|"
    r"also|instead|again|as well)\b",
    re.IGNORECASE,
)
_OPENS = re.compile(r"\W*(?:and|but|also|so|or|what about|how about|what if|then|ok|okay)\b", re.IGNORECASE)
# A question that asks the same of another thing, such as "what about scanners?"
_REPLACES = re.compile(
    r"\W*(?:(?:and|but|or|so|then|ok|okay)\W+)?(?:what|how) about\b.+"
    r"|\W*(?:and|or)\s++(?:(?:on|in|for|with|of|to|from|at|by|about)\s++)?"
    r"(?:(?!(?:if|when|where|why|how|what|which|who|whose|is|are|was|were|do|does|did|can|could|will|would|may|must|should)\b)"
    r"[\w'’-]++\s*+){1,4}\W*",
    re.IGNORECASE | re.DOTALL,
)
_MINE = re.compile(r"\b(?:i|we|my|our|ours|mine|us|me)\b", re.IGNORECASE)
_IT = re.compile(r"\b(?:it|its|(?:that|this|the same) one)\b", re.IGNORECASE)
_PRODUCT = re.compile(r"(?<![\w-])(?:[A-Z]{2}[\w-]*|[A-Za-z]+-?\d[\w-]*)")


def stands_alone(question: str) -> bool:
    """Whether the question's wording can be understood without the conversation.

    >>> stands_alone("How long is the warranty on a scanner?"), stands_alone("And on a battery?"), stands_alone("How long?")
    (True, False, False)
    """
    return len(terms(question)) >= FEW and not _POINTS.search(question) and not _OPENS.match(question)


def in_context(question: str, earlier: Sequence[str]) -> str:
    """Add to the question the words for its subject from `earlier`, the person's questions before it, oldest first.

    A short question takes all content words back to the last question that stands alone, a longer one only the names.
    One that asks the same of another thing takes no words of earlier questions of that kind.

    >>> in_context("And how long may I keep it?", ["Can I borrow a QL-40?"])
    'And how long may I keep it? borrow QL-40'
    >>> in_context("What about scanners?", ["How long is the warranty on a printer?", "And on the print head?"])
    'What about scanners? long warranty printer'
    """
    if not earlier or stands_alone(question):
        return question
    last = next((place for place in reversed(range(len(earlier))) if stands_alone(earlier[place])), 0)
    about = list(earlier[last:])
    if _REPLACES.fullmatch(question):
        about = [about[0], *(text for text in about[1:] if not _REPLACES.fullmatch(text))]
    if len(terms(question)) <= FEW:
        added = [word for text in about for word in re.findall(r"[\w-]+", text) if terms(word)]
    else:
        added = [] if entity_names(question) else [name for text in about for name in entity_names(text)]
    own_terms = terms(question)
    new = [word for word in dict.fromkeys(added) if not terms(word) <= own_terms]
    return f"{question} {' '.join(new)}" if new else question


def entity_names(text: str) -> list[str]:
    """Return the products, codes and names in a text, in order of appearance."""
    proper_names = names(text)
    words = re.findall(r"[\w-]+", text)
    return [word for word in dict.fromkeys(words) if word in proper_names or _PRODUCT.fullmatch(word)]


def with_facts(query: str, facts: Sequence[str]) -> str:
    """Add to the query the names in the facts that share a word with it, where it says "my" or the like and has no name
    itself.

    >>> facts = ["Our printers are all QL-20W"]
    >>> with_facts("How do I reset my printer?", facts), with_facts("How is a printer reset?", facts)
    ('How do I reset my printer? QL-20W', 'How is a printer reset?')
    """
    if not _MINE.search(query) or entity_names(query):
        return query
    about = terms(query)
    names = dict.fromkeys(name for fact in facts if about & terms(fact) for name in entity_names(fact))
    return " ".join([query, *names])


def resolve_pronoun(question: str, earlier: Sequence[str], tools: Sequence[BaseTool]) -> str:
    """Replace "it" by the identifier that it stands for: the only one in the last earlier question with any."""
    if not _IT.search(question) or _identifiers(question, tools):
        return question
    candidates = next((identified for text in reversed(earlier) if (identified := _identifiers(text, tools))), ())
    return _IT.sub(candidates[0], question, count=1) if len(candidates) == 1 else question


def append_turn(
    turns: Sequence[dict[str, str]], summary: Sequence[str], question: str, text: str
) -> tuple[list[dict[str, str]], list[str]]:
    """Return the turns and the summary after one more turn."""
    turns = [*turns, {"question": question, "text": text[:ANSWER_CHARACTERS]}]
    old, recent = turns[:-TURNS], turns[-TURNS:]
    gone = [turn["question"][:QUESTION_CHARACTERS] for turn in old if stands_alone(turn["question"])]
    return recent, [*summary, *gone][-SUMMARY:]


def turns_from_client(questions: Sequence[str], *, longest: int) -> tuple[list[dict[str, str]], list[str]]:
    """Return turns and summary of a conversation that the client keeps, from its questions, oldest first, each cut to
    `longest` characters. Its answers are left out: they may not be ours.
    """
    turns = [{"question": question[:longest], "text": ""} for question in questions[-TURNS:]]
    earlier = (question[:QUESTION_CHARACTERS] for question in reversed(questions[-TURNS - LOOKED_BACK : -TURNS]))
    return turns, [*islice(filter(stands_alone, earlier), SUMMARY)][::-1]


def _identifiers(text: str, tools: Sequence[BaseTool]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for tool in tools for name in identifiers(text, tool)))
