"""Uploaded files."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fastapi import UploadFile

from foundation.errors import DocumentRefused, InvalidRequest
from foundation.types import Principal
from retrieval.contract import Document
from retrieval.ingest.pipeline import Demand, demand_readable
from retrieval.ingest.preparation import Item

if TYPE_CHECKING:
    from serving.wiring import System


def file_name(file: UploadFile) -> str:
    """Return the file's name without folders. Raises InvalidRequest: the upload has no name."""
    name = PurePosixPath((file.filename or "").replace("\\", "/")).name.replace("\0", "")
    if not name:
        raise InvalidRequest("The upload has no file name; its ending says how the file is read.")
    return name


def media_type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def taken_in(system: System, item: Item, caller: Principal, demand: Demand) -> Document:
    """Store an upload of `caller`. A document that they may not read is neither replaced nor revealed. `demand` is
    called right before it is stored: reading takes long, and they may have been stopped since, or their key revoked.

    Raises:
        DocumentRefused: the file is empty, or cannot be read.
        Forbidden: the caller could not read the document.
        As `demand`: nothing is stored.
    """
    scope = system.policy.scope(caller)
    demand_readable(item.source, scope)
    if not item.content:
        raise DocumentRefused(f"{item.source.uri} is empty. Upload a file with text in it.", reason="empty")
    return system.ingestor.ingest_one(item, scope=scope, demand=demand)
