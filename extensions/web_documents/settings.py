"""The section [web_documents]."""

from typing import Literal

from pydantic import IPvAnyNetwork

from foundation.settings import Section


class WebDocumentsSettings(Section):
    """Which addresses `make ingest SRC=https://...` may fetch. A person who names one makes this machine call it."""

    hosts: tuple[str, ...] = ()
    """Allowed hosts, as `example.com`, or `.example.com` for all below it; empty: any public one."""
    networks: tuple[IPvAnyNetwork, ...] = ()
    """Private networks that may be called, such as `10.1.0.0/16`."""
    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    ports: tuple[int, ...] = (443, 80)
