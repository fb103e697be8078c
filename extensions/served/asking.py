"""The system for a command while a server runs on the same data folder: that server, over loopback.

Commands call as the person at the keyboard, with an API key that is created for the call and revoked after it, which only
the owner of the data folder can do. A person named by a key in the environment calls with that key.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from foundation.clock import SystemClock
from foundation.components import Assembly
from foundation.errors import DocumentRefused, NotFound, SixplyError, StoreInUse, TooLarge, UpstreamMalformed
from foundation.types import EVERY_TENANT, Principal, Scope
from serving.access.identity import KeyStore, known_roles
from serving.cli import terminal
from serving.cli.address import Address
from serving.cli.options import LOCAL, local
from serving.settings import Loaded, Settings, context_of

if TYPE_CHECKING:
    import httpx2

    from orchestration.actions import Approval, Decision
    from orchestration.events import Event
    from orchestration.requests import AnswerRequest
    from retrieval.documents import Hit, Refusal
    from retrieval.ingest.pipeline import IngestReport
    from retrieval.ingest.preparation import Item
    from serving.wiring import System

KEYS = ("SIXPLY_API_KEY", "SIXPLY_KEY")
LONGEST_S = 600.0


@contextmanager
def ask_server(loaded: Loaded, address: Address, roles: Iterable[str] | None) -> Iterator[System]:
    """Yield the parts that the server has to offer over its API, for `serving.cli.opening.open_or_ask`.
    Raises StoreInUse: it answers by other settings.
    """
    _demand_same_settings(loaded, address)
    settings, port = loaded.settings, address.port
    host = settings.serving.http.host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - these two listen everywhere
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    terminal.show_note(f"Asking the server that runs at {url}.")
    with ExitStack() as opened:
        yield cast(
            "System", _Served(settings, url, opened, frozenset(roles or known_roles(settings.orchestration.policy)))
        )


def _demand_same_settings(loaded: Loaded, address: Address) -> None:
    here, there = loaded.answers_by(), address.answers_by
    differing = sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
    if not differing:
        return
    told = [f'{key} is "{there.get(key, "")}" there, "{here.get(key, "")}" here' for key in differing[:3]]
    more = f", and {len(differing) - 3} more" if len(differing) > 3 else ""
    own = address.stack != str(loaded.path.resolve())
    raise StoreInUse(
        f"The server on port {address.port} was started with other settings than {loaded.path} and the environment have now, and would "
        f"answer by its own: {'; '.join(told)}{more}. Start it again with these, stop it to ask without it, "
        + (f"or name its file to ask it as it is: STACK={address.stack}" if own else "or take the change back.")
    )


class _Served:
    """The system's interface for commands, over the API: agent, retriever, ingestor. The rest is on disk."""

    def __init__(self, settings: Settings, url: str, opened: ExitStack, roles: frozenset[str]) -> None:
        from orchestration.effects.approvals import SqliteApprovals
        from orchestration.effects.policy import Policy
        from serving.cli.opening import build_ledger

        self.settings, self.context = settings, context_of(settings)
        self.policy = Policy(settings.orchestration.policy)
        self.approvals = SqliteApprovals(
            self.context.data_dir / "approvals.sqlite", SystemClock(), self.context.records
        )
        opened.callback(self.approvals.close)
        self.ledger = build_ledger(settings, Assembly(self.context, opened))
        self.agent = self.retriever = self.retrieval = self.ingestor = self.orchestration = self.executor = self
        self._url, self._opened, self._roles = url, opened, roles
        self._keys = KeyStore.of(settings, SystemClock())
        self._headers: dict[Principal, dict[str, str]] = {}

    def __getattr__(self, name: str) -> Any:
        raise StoreInUse(
            f"The server at {self._url} holds what this needs ({name}), and its API has no way to it. Stop the server, run this "
            "and start it again."
        )

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        import httpx2

        from orchestration.events import Event

        body = request.model_dump(mode="json", include={"question", "thread_id", "compose", "max_usd", "as_of"})
        headers = self._as(principal) | {"Accept": "text/event-stream"}
        async with (
            httpx2.AsyncClient(base_url=self._url, timeout=LONGEST_S, trust_env=False) as client,
            client.stream("POST", "/v1/answers", json=body, headers=headers) as reply,
        ):
            if reply.is_error:
                await reply.aread()
                raise _error_of(reply)
            async for line in reply.aiter_lines():
                if line.startswith("data:"):
                    yield Event.model_validate_json(line.removeprefix("data:"))

    async def resume(self, decision: Decision, principal: Principal) -> AsyncIterator[Event]:
        from orchestration.events import Answer, Event

        body = decision.model_dump(mode="json", exclude={"approval_id"})
        reply = self._send("POST", f"/v1/approvals/{decision.approval_id}", principal, json=body)
        yield Event(kind="answer", answer=Answer.model_validate_json(reply.content))

    async def may_decide(self, approval_id: str, principal: Principal) -> Approval:
        """Return the approval with its arguments. The server checks whether this person may decide it."""
        approval = await self.approvals.get(approval_id, principal.tenant)
        if approval is None:
            raise NotFound(f"There is no approval {approval_id}.")
        return approval

    def retrieve(self, query: str, scope: Scope, *, limit: int | None = None, as_of: date | None = None) -> list[Hit]:
        from retrieval.documents import Hit
        from serving.api.search import SearchResult

        body = {"query": query, "as_of": as_of and as_of.isoformat()} | ({"limit": limit} if limit else {})
        reply = self._send("POST", "/v1/search", self._reader(scope.tenant, scope.groups), json=body)
        hits = SearchResult.model_validate_json(reply.content).hits
        stored = self.ledger.hits([hit.citation.chunk_id for hit in hits], scope, as_of=None)
        return [
            Hit(chunk=there.chunk, source=there.source, score=hit.score, ranks=hit.legs)
            for hit in hits
            if (there := stored.get(hit.citation.chunk_id))
        ]

    def ingest(self, items: Iterable[Item], *, progress: Callable[[int], None] | None = None) -> IngestReport:
        from retrieval.documents import Refusal
        from retrieval.ingest.pipeline import IngestReport

        started_s = self.context.clock.monotonic_s()
        became: list[str | Refusal] = []
        for item in items:
            try:
                became.append(self._add(item))
            except DocumentRefused as error:
                source = item.source
                now = self.context.clock.now()
                became.append(Refusal(source.uri, source.tenant, error.reason, str(error), now, source.groups))
            if progress:
                progress(len(became))
        return IngestReport(
            added=became.count("added"),
            replaced=became.count("replaced"),
            unchanged=became.count("unchanged"),
            refused=tuple(what for what in became if isinstance(what, Refusal)),
            chunks=0,
            embedded=0,
            seconds=self.context.clock.monotonic_s() - started_s,
        )

    def _add(self, item: Item) -> str:
        if item.unread:
            raise item.unread
        source = item.source
        fields = {
            "uri": source.uri, "title": source.title, "series": source.series, "groups": sorted(source.groups),
            "effective_from": source.effective_from and source.effective_from.isoformat(),
            "published": source.published and source.published.isoformat(),
            "attributes": json.dumps(dict(source.attributes), default=str),
            "shared": str(source.tenant == EVERY_TENANT).lower(),
        }  # fmt: skip
        owner = self._reader(LOCAL if source.tenant == EVERY_TENANT else source.tenant, source.groups)
        before = self.ledger.find(source.document_id)
        data = {name: value for name, value in fields.items() if value}
        try:
            self._send("POST", "/v1/documents", owner, data=data, files={"file": (item.name, item.content)})
        except TooLarge as error:  # the others of the folder go on
            raise DocumentRefused(f'"{item.name}" is too large. {error}', reason="too_large") from error
        after = self.ledger.find(source.document_id)
        if before is None:
            return "added"
        return "replaced" if after and after.ingested_at != before.ingested_at else "unchanged"

    def _reader(self, tenant: str, groups: frozenset[str]) -> Principal:
        return local(tenant, sorted(self._roles), sorted(groups))

    def _send(self, method: str, path: str, principal: Principal, **body: Any) -> httpx2.Response:
        reply = self._client.request(method, path, headers=self._as(principal), **body)
        if reply.is_error:
            raise _error_of(reply)
        return reply

    @cached_property
    def _client(self) -> httpx2.Client:
        import httpx2

        client = httpx2.Client(base_url=self._url, timeout=LONGEST_S, trust_env=False)
        self._opened.callback(client.close)
        return client

    def _as(self, principal: Principal) -> dict[str, str]:
        """Return the header with this person's key: the environment's, or one that is revoked at the end."""
        if principal not in self._headers and principal.credential:
            named = (key for variable in KEYS if (key := os.environ.get(variable)))
            key = next(key for key in named if self._keys.authenticate(f"Bearer {key}") == principal)
            self._headers[principal] = {"Authorization": f"Bearer {key}"}
        elif principal not in self._headers:
            key = self._keys.create(
                subject=principal.subject or "", tenant=principal.tenant, roles=principal.roles, groups=principal.groups
            )
            self._opened.callback(self._keys.revoke, self._keys.digest_of(key)[:12])
            self._headers[principal] = {"Authorization": f"Bearer {key}"}
        return self._headers[principal]


def _error_of(reply: httpx2.Response) -> SixplyError:
    try:
        problem = reply.json()
        detail, code = str(problem["detail"]), problem["code"]
    except (ValueError, KeyError, TypeError):
        return UpstreamMalformed(f"The server answered {reply.status_code} without saying why. Its log says it.")
    if code == DocumentRefused.code:
        return DocumentRefused(detail, reason=str(problem.get("reason") or "refused"))
    kinds: list[type[SixplyError]] = [SixplyError]
    for kind in kinds:  # it grows while it is walked: the whole tree
        kinds += kind.__subclasses__()
    try:
        return next((kind for kind in kinds if kind.code == code), SixplyError)(detail)
    except TypeError:  # a class that needs more than a text
        return SixplyError(detail)
