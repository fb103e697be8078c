"""Documents from web addresses: `make ingest SRC=https://...`, public hosts alone, or those that you list."""

from foundation.extensions import Extension

extension = Extension(
    about="Documents from web addresses: `make ingest SRC=https://...`, public hosts alone, or those that you list.",
    settings="extensions.web_documents.settings:WebDocumentsSettings",
    plug="extensions.web_documents.plug:plug",
)
