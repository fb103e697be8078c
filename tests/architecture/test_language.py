"""What the core knows of any language's words is listed here with the reason. The list gets shorter, not longer.

Found are patterns with whole words in them and collections of at least eight plain words, of a module or written into a call of `re`.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LAYERS = ("foundation", "models", "retrieval", "orchestration", "observability", "serving")
LEAST_OF_A_LIST = 8

OF_A_LANGUAGE = {
    "foundation/text/tokens.py FUNCTION_WORDS": "English words that a query is searched without; a query of nothing else keeps them",
    "foundation/text/lexical.py FUNCTION_WORDS": "the same, and some more that say nothing of what a sentence is about",
    "foundation/text/lexical.py _DENIALS": "the bundled judge hardly sees a denial: `cannot` for `can` would count as supported",
    "foundation/text/lexical.py ENGLISH_ALONE": "a question in another language has no names by its capitals, and may share no word with its answer",
    "foundation/text/lexical.py _CALENDAR": "of the standard library: a day of a question may lie between two of the text",
    "foundation/text/sentences.py _ABBREVIATIONS": "no sentence ends behind a title; the library knows those of English",
    "foundation/text/sentences.py _ORDINAL": "the library that finds sentences reads English: half of `am 3. Mai` would be quoted",
    "foundation/text/sentences.py _MONTH": "as above",
    "foundation/text/tokens.py _SUFFIXES": "Arabic is written with its articles and pronouns as one word (Light10, published)",
    "observability/evaluation/metrics.py _ARTICLES": "left out by the published measure of SQuAD",
}
OF_A_FORMAT = {
    "foundation/machine/manifest.py LIBRARIES": "names of packages",
    "foundation/output/credentials.py _HEADERS": "keys of settings",
    "foundation/output/credentials.py _SECRET_NAME": "keys of settings",
    "foundation/output/credentials.py _SHAPES": "shapes of credentials",
    "foundation/output/markdown.py _BARE": "addresses",
    "foundation/text/prose.py _ADDRESS": "addresses",
    "foundation/text/prose.py _HTML": "HTML",
    "models/chat/openai_compatible.py SENT_AS_THEY_ARE": "members of OpenAI's wire",
    "models/resilience/streams.py THINKING": "tags of vendors around thoughts",
    "models/resilience/streams.py _OPENED": "as above",
    "models/resilience/streams.py _UNOPENED": "as above",
    "retrieval/grounding/checks.py _WITH_UNIT": "codes of ISO 4217 before an amount, such as EUR300",
    "retrieval/parsers/csv.py _TOLD": "the line by which Excel names the separator",
    "retrieval/parsers/html.py _BLOCKS": "HTML",
    "retrieval/parsers/html.py _DECLARED": "HTML",
    "retrieval/parsers/html.py _FURNITURE": "classes of HTML around a page's content",
    "retrieval/parsers/html.py _HIDING": "CSS",
    "retrieval/parsers/html.py _NOT_CONTENT": "HTML",
    "retrieval/parsers/html.py _ROLES": "WAI-ARIA",
    "retrieval/parsers/html.py _XML_DECLARATION": "XML",
    "retrieval/parsers/markdown.py _SUP": "HTML",
    "retrieval/parsers/pdf.py in a call": "titles that programs write into PDFs by themselves",
    "retrieval/tables/row_codec.py _SOURCE": "our own names of fields",
    "retrieval/text/encodings.py _MISPLACED": "bytes of one encoding read in another",
    "orchestration/effects/values.py _PLAIN_LINK": "addresses",
    "orchestration/flow/message_agent.py _CALL_ID": "our own ids",
    "orchestration/language/guard.py _ADDRESS": "addresses",
    "orchestration/middleware/policy.py _CALL_AS_JSON": "the calls of tools that a model writes into its text",
    "orchestration/middleware/policy.py _CALL_SIGNS": "as above",
    "orchestration/run/metered_chat.py THINKS": "names of models",
    "observability/evaluation/baseline.py SHOWN": "our own names of figures",
    "observability/telemetry/logs.py OURS": "our own packages",
    "serving/http/errors.py in a call": "a media type",
    "serving/cli/extensions.py LIST": "our own stack.toml",
}

_SYNTAX = re.compile(
    r"\\[uUx][0-9a-fA-F]+|\\.|\[(?:\\.|[^\]\\])*\]|\(\?P?[<=][^>)]*>|\(\?[aiLmsux-]+[:)]|\{[^}]*\}|\\N"
)


def _has_words(pattern: str) -> bool:
    return re.search(r"[^\W\d_]{2,}", _SYNTAX.sub(" ", pattern)) is not None


def _held(value: Any) -> Iterator[str]:
    if isinstance(value, re.Pattern):
        yield value.pattern if isinstance(value.pattern, str) else value.pattern.decode("latin-1")
    elif isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _held(item)


def _is_list_of_words(value: Any) -> bool:
    if not isinstance(value, frozenset | set | tuple | list) or not all(isinstance(item, str) for item in value):
        return False
    return sum(item.isalpha() and item == item.lower() for item in value) >= LEAST_OF_A_LIST


def _found_in(path: Path) -> Iterator[str]:
    name = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = importlib.import_module(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for held, value in vars(module).items():
        if held in stored and (_is_list_of_words(value) or any(map(_has_words, _held(value)))):
            yield f"{name} {held}"
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args):
            of_re = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "re"
            first = call.args[0]
            if of_re and isinstance(first, ast.Constant) and isinstance(first.value, str) and _has_words(first.value):
                yield f"{name} in a call"


def test_each_word_of_a_language_in_the_core_has_a_reason() -> None:
    found = {item for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py")) for item in _found_in(path)}
    assert found - OF_A_LANGUAGE.keys() - OF_A_FORMAT.keys() == set(), "say why, or know it otherwise"
    assert (OF_A_LANGUAGE.keys() | OF_A_FORMAT.keys()) - found == set(), "it is gone: take it out of the list"
