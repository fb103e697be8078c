"""Sixply as an MCP server: search, answer and documents for any MCP client, with the rights of its credential."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from foundation.errors import SixplyError
from foundation.machine.deadline import in_thread
from foundation.machine.manifest import product_version
from foundation.output.markdown import markdown
from foundation.output.rendering import one_line
from foundation.types import Principal
from orchestration.requests import AnswerRequest
from serving.access.admission import Work
from serving.api.answers import AskRequest, check_length
from serving.api.search import SearchHit, SearchRequest
from serving.http.errors import validate
from serving.http.lifecycle import Lifecycle
from serving.http.streams import collect, text_for_clients
from serving.http.uploads import DocumentSummary
from serving.wiring import System

log = logging.getLogger("sixply.serving")

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
# Keys of texts that are shown on one line
ON_ONE_LINE = frozenset({"title", "uri", "name", "filename"})
INSTRUCTIONS = (
    "Documents of one organisation. `answer` answers a question with citations and says when the documents do not hold "
    "it; `search` finds passages; `documents` lists what there is. You see what your credential may see."
)


CallerOf = Callable[[Context[Any]], Principal]
Place = Callable[[Work, Principal], AbstractAsyncContextManager[None]]


def mcp_server(
    system: System, caller_of: CallerOf, lifecycle: Lifecycle, *, place: Place = lambda *_: nullcontext()
) -> MCPServer[Any]:
    """Return the server. `caller_of` reads a call's caller from its context; `place` holds a place for the call."""
    server: MCPServer[Any] = MCPServer(
        name="sixply",
        title=system.settings.serving.brand.name,
        instructions=INSTRUCTIONS,
        version=product_version(),
        log_level="WARNING",
    )

    @server.tool(annotations=READS)
    async def search(
        query: Annotated[str, Field(min_length=1, max_length=8000)],
        context: Context[Any],
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> dict[str, Any]:
        """Find passages in the documents that you may read, best first."""
        with _telling_errors():
            wanted = validate(SearchRequest, query=query, limit=limit)
            caller = caller_of(context)
            scope = system.policy.scope(caller)
            async with place("searches", caller):
                hits = await in_thread(system.retriever.retrieve, wanted.query, scope, limit=limit)
            hits_shown = [SearchHit.of(hit, marker=n).model_dump(mode="json") for n, hit in enumerate(hits, start=1)]
            return {"hits": markdown_values(hits_shown)}

    @server.tool()  # no `READS`: the agent may request an effect, which then waits for an approval
    async def answer(
        question: Annotated[str, Field(min_length=1)], context: Context[Any], thread_id: str | None = None
    ) -> dict[str, Any]:
        """Answer a question from the documents that you may read, with citations. `thread_id` goes on with an answer's
        conversation. Status `abstained` means that the documents do not say it; `waiting`, that a person must approve.
        """
        with _telling_errors():
            caller = caller_of(context)
            check_length(question, system.settings.orchestration.answers)
            request = AnswerRequest(**validate(AskRequest, question=question, thread_id=thread_id).model_dump())
            async with place("answers", caller):
                reply = await collect(system.agent.stream(request, caller), lifecycle)
            shown: dict[str, Any] = markdown_values(reply.model_dump(mode="json", exclude={"text"}))
            return shown | {"text": text_for_clients(reply)}

    @server.tool(annotations=READS)
    async def documents(context: Context[Any]) -> dict[str, Any]:
        """List the documents that you may read."""
        with _telling_errors():
            caller = caller_of(context)
            scope = system.policy.scope(caller)
            async with place("reads", caller):
                stored = await in_thread(system.retrieval.ledger.documents, scope)
            listed = [DocumentSummary.of(document).model_dump(mode="json") for document in stored]
            return {"documents": markdown_values(listed)}

    return server


@contextmanager
def _telling_errors() -> Iterator[None]:
    """Raise our errors as errors that the client shows. Others stay inside."""
    try:
        yield
    except SixplyError as error:
        if error.public != str(error):
            log.error("%s: %s", error.code, error)  # noqa: TRY400 - its text is for the operator, its traceback is not needed
        raise ToolError(markdown(f"{error.code}: {error.public}")) from error


def markdown_values(values: Any, name: str = "") -> Any:
    """Escape every text of a structure for the same clients; titles and names on one line."""
    if isinstance(values, Mapping):
        return {key: markdown_values(value, str(key)) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [markdown_values(value, name) for value in values]
    if not isinstance(values, str):
        return values
    return markdown(one_line(values) if name in ON_ONE_LINE else values)
