"""Tools to remember facts about the caller, to list them, and to forget them.

With `effects_without_approval = ["remember"]` in the policy, facts in the person's own words are kept at once; else an approval is needed.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, ToolException
from pydantic import Field

from extensions.facts.store import FILE, STORE, SqliteFacts
from foundation.components import Context
from foundation.errors import InvalidRequest, NotFound
from foundation.settings import Section as Options  # it takes none
from foundation.stores.registry import Store
from foundation.text.lexical import terms
from orchestration.actions import ToolMetadata, ToolSet

# First words that ask to remember something; the fact follows
OPENS = (
    r"(?:(?<!\s)\s++)?(?:please\s++|can you\s++|could you\s++){0,3}(?:remember|note|keep in mind|make a note|don['’]t forget)"
    r"(?:\s+for (?:later|me|next time))?(?:\s*,)?(?:\s+that\b|\s*:)\s*"
)
FORGETS = (
    r"(?:(?<!\s)\s++)?(?:please\s++|can you\s++|could you\s++){0,3}(?:forget|no longer remember|(?:do not|don['’]?t|stop) remember(?:ing)?)"
    r"(?:\s*,)?(?:\s+that\b|\s*:)\s*"
)


REMEMBER: ToolMetadata = {
    "effect": True,
    "idempotent": True,
    "trigger_pattern": OPENS,
    "examples": (
        "Remember that we use the large model",
        "Please remember that I prefer e-mail",
        "Keep in mind that our depot is closed on Fridays",
        "Note for later that I work in the northern office",
        "Don't forget that we have five devices",
    ),
}
FORGET: ToolMetadata = {
    "effect": True,
    "trigger_pattern": FORGETS,
    "examples": (
        "Forget that we use the large model",
        "Please forget that I prefer e-mail",
        "No longer remember that our depot is closed on Fridays",
    ),
    "not_requests": ("I forgot my password", "How do I have my personal data erased?"),
}
RECALL_FACTS: ToolMetadata = {
    "effect": False,
    "examples": (
        "What do you remember about me?",
        "What do you know about us?",
        "Tell me what you have noted about me",
    ),
    "not_requests": ("Which data do you keep about customers?", "How long is my data kept?"),
}


def _own_words(description: str) -> Any:
    return Field(min_length=3, max_length=300, description=f"{description}, in your own words")


class Memory:
    """The tools' functions. They act for the caller alone, whom the executor puts into the RunnableConfig."""

    def __init__(self, facts: SqliteFacts) -> None:
        self._facts = facts

    def remember(
        self, fact: Annotated[str, _own_words("what to remember")], config: RunnableConfig
    ) -> tuple[str, dict[str, Any]]:
        caller, text = _caller(config), _strip_opening(OPENS, fact)
        by, key = caller.get("approved_by", ""), caller["idempotency_key"]
        try:
            stored = self._facts.add(caller["principal"], text, approved_by=by, key=key)
        except InvalidRequest as error:
            raise ToolException(str(error)) from error
        return f"I will remember: {stored.text}.", {"fact_id": stored.fact_id}

    def forget(
        self, fact: Annotated[str, _own_words("what to forget")], config: RunnableConfig
    ) -> tuple[str, dict[str, Any]]:
        """Forget the one fact that has all the terms of the request; nothing where several or none have."""
        person = _caller(config)["principal"]
        about = terms(_strip_opening(FORGETS, fact))
        meant = [known_fact for known_fact in self._facts.of(person) if about and about <= terms(known_fact.text)]
        if len(meant) != 1:
            candidates = "; ".join(known_fact.text for known_fact in meant)
            why = f"That may be any of these: {candidates}." if meant else "I remember nothing like that of you."
            return f"Nothing has been forgotten. {why}", {"forgotten": []}
        try:
            self._facts.erase(meant[0].fact_id, person)
        except NotFound as error:
            raise ToolException(str(error)) from error
        return f"I have forgotten: {meant[0].text}.", {"forgotten": [meant[0].fact_id]}

    def recall_facts(self, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        facts = self._facts.of(_caller(config)["principal"])
        lines = "\n".join(f"{fact.text} (since {fact.at:%Y-%m-%d})" for fact in facts)
        text = f"This is what I remember of you:\n{lines}" if facts else "I remember nothing of you."
        return text, {"facts": [fact.model_dump(mode="json") for fact in facts]}


def _strip_opening(opening: str, request: str) -> str:
    return re.sub(opening, "", request, count=1, flags=re.IGNORECASE).strip().removesuffix(".")


def _caller(config: RunnableConfig) -> dict[str, Any]:
    configurable: dict[str, Any] = config.get("configurable", {})
    if configurable.get("principal") is None:
        raise ToolException("Nobody is signed in.")
    return configurable


def build(options: Options, context: Context) -> ToolSet:
    del options
    facts = SqliteFacts(context.data_dir / FILE, context.clock, records=context.records)
    memory = Memory(facts)
    return ToolSet(
        [
            _tool(memory.remember, "Remember something about the person for later conversations.", REMEMBER),
            _tool(memory.forget, "Forget something that is remembered of the person.", FORGET),
            _tool(memory.recall_facts, "Tell the person what is remembered of them.", RECALL_FACTS),
        ],
        facts.close,
    )


def _tool(method: Callable[..., Any], description: str, metadata: ToolMetadata) -> StructuredTool:
    gives: Any = {"response_format": "content_and_artifact", "metadata": dict(metadata)}
    return StructuredTool.from_function(method, name=method.__name__, description=description, **gives)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)
