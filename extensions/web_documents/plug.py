"""Where web addresses plug in: as a source of documents, which `make ingest` finds among the services."""

from extensions.web_documents.fetching import fetch
from extensions.web_documents.settings import WebDocumentsSettings
from retrieval.contract import DocumentSource
from retrieval.documents import ParseLimits
from retrieval.ingest.parsing import limits_of
from retrieval.ingest.preparation import Item
from serving.hooks import Hooks


class WebDocuments(DocumentSource):
    """One address is one document: nothing that it links to is read."""

    prefixes = ("https://", "http://")

    def __init__(self, settings: WebDocumentsSettings, *, max_bytes: int, limits: ParseLimits) -> None:
        self._settings, self._max_bytes, self._limits = settings, max_bytes, limits

    def read(self, address: str, tenant: str) -> list[Item]:
        fetched = fetch(address, self._settings, max_bytes=self._max_bytes, limits=self._limits)
        return [Item(fetched.source(tenant, frozenset()), fetched.content, fetched.name)]


def plug(hooks: Hooks) -> None:
    limits = limits_of(hooks.context)
    max_bytes = hooks.settings.retrieval.parsing.max_bytes
    hooks.services.append(WebDocuments(hooks.section(WebDocumentsSettings), max_bytes=max_bytes, limits=limits))
