"""`find_tools`: with more tools than `above` the model is shown a search over them, and what it finds from the next round on.

What was found stays, behind what was shown before and in the order in which it was found, so that a provider's cache of the prompt is
written anew only where something is found.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from math import log
from typing import Annotated, Any

import numpy as np
from langchain_core.messages import AnyMessage
from langchain_core.tools import BaseTool
from pydantic import Field

from foundation.errors import ComponentError, InvalidSetting, did_you_mean
from foundation.settings import Section
from foundation.text.lexical import terms
from orchestration.calls import schema_of
from orchestration.contract import AgentParts
from orchestration.middleware.base import ToolChoiceMiddleware, reading_tool
from orchestration.middleware.policy import artifact_of
from orchestration.run.run import current_run
from retrieval.search.rank_fusion import reciprocal_rank_fusion

FIND = "find_tools"
# Characters of a description in a result
DESCRIBED = 200
# Tools of each ranking that are fused
RANKED = 50

Query = Annotated[str, Field(min_length=1, max_length=500, description="what the tool should do")]


class Options(Section):
    above: int = Field(default=40, ge=0)
    """Number of tools of `[[orchestration.tools]]`, as far as the caller may use them, up to which all are shown."""
    shown: int = Field(default=8, ge=1, le=50)
    """Number of tools that one search finds, at most."""
    keep: tuple[str, ...] = ()
    """Tools that are always shown, beside those of the agent itself."""


class ToolSearchMiddleware(ToolChoiceMiddleware):
    def __init__(self, options: Options, parts: AgentParts) -> None:
        self._options, self._parts = options, parts
        self._named = {tool.name: tool for tool in parts.executor.tools}
        if unknown := next((name for name in options.keep if name not in self._named), ""):
            raise InvalidSetting(
                f'tool_search keeps "{unknown}", which is none of [[orchestration.tools]]. {did_you_mean(unknown, self._named)}'
            )
        about = (
            "There are more tools than you are shown. Search them by what you want to do, before you say that you cannot. What is "
            "found can be called from then on."
        )
        self.tools: list[BaseTool] = [reading_tool(self._find, FIND, about, response_format="content_and_artifact")]

    def choose(self, tools: Sequence[Any], messages: Sequence[AnyMessage]) -> list[Any]:
        searched = [tool for tool in tools if _name(tool) in self._named]
        if len(searched) <= self._options.above:
            return [tool for tool in tools if _name(tool) != FIND]
        first = [tool for tool in tools if tool not in searched or _name(tool) in self._options.keep]
        by_name = {_name(tool): tool for tool in searched if tool not in first}
        found = dict.fromkeys(name for message in messages for name in artifact_of(message).get("tools", ()))
        return [*first, *(by_name[name] for name in found if name in by_name)]

    async def _find(self, query: Query) -> tuple[str, dict[str, Any]]:
        run = current_run()
        allowed = self._parts.executor.allowed_tools(run.principal)
        rankings = {"words": self._rank_by_words(query)}
        try:
            rankings["meaning"] = await run.in_thread(self._rank_by_meaning, query)
        except ComponentError as error:
            run.note(f"tools were searched by their words alone ({error.code})")
        best = [name for name, _ in reciprocal_rank_fusion(rankings) if name in allowed][: self._options.shown]
        lines = [f"{name}: {self._named[name].description[:DESCRIBED]}" for name in best]
        return "\n".join(lines) or "No tool fits.", {"tools": best}

    def _rank_by_words(self, query: str) -> list[str]:
        wanted = terms(query)
        scores = {name: sum(self._weights[term] for term in wanted & has) for name, has in self._terms.items()}
        return sorted(filter(scores.get, scores), key=lambda name: -scores[name])[:RANKED]

    def _rank_by_meaning(self, query: str) -> list[str]:
        asked = np.asarray(self._parts.embedder.embed_query(query))
        nearest = np.argsort(-(self._vectors @ asked), kind="stable")[:RANKED]
        names = list(self._named)
        return [names[place] for place in nearest]

    @cached_property
    def _terms(self) -> dict[str, frozenset[str]]:
        return {name: frozenset(terms(_describe(tool))) for name, tool in self._named.items()}

    @cached_property
    def _weights(self) -> dict[str, float]:
        many = len(self._terms)
        counts = Counter(term for has in self._terms.values() for term in has)
        return {term: log(1 + many / count) for term, count in counts.items()}

    @cached_property
    def _vectors(self) -> Any:
        described = [_describe(tool) for tool in self._named.values()]
        return np.asarray(self._parts.embedder.embed_documents(described))


def _describe(tool: BaseTool) -> str:
    arguments = " ".join(schema_of(tool)["properties"])
    return f"{tool.name.replace('_', ' ')}. {tool.description} {arguments.replace('_', ' ')}"


def _name(tool: BaseTool | dict[str, Any]) -> str:
    return tool.name if isinstance(tool, BaseTool) else ""  # a client's tool, which is always shown


def build(options: Options, context: AgentParts) -> ToolSearchMiddleware:
    return ToolSearchMiddleware(options, context)
