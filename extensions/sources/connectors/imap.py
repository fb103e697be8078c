"""A mailbox, over IMAP (RFC 9051). Who may read it says its access list (RFC 4314), where the server has one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from pydantic import Field

from extensions.sources.contract import CursorLost, Listed, Page, Readers
from foundation.components import Context
from foundation.errors import InvalidSetting, UpstreamDown
from foundation.settings import Section

T = TypeVar("T")
PAGE = 500
# identifier of everybody in an access list
ANYONE = "anyone"


class Options(Section):
    host: str
    port: int = Field(default=993, ge=1, le=65_535)
    tls: bool = True
    """Off for a server on this machine alone: the password would be sent in clear text."""
    user: str
    password_env: str
    """The name of the environment variable that has the password."""
    mailbox: str = "INBOX"
    access_list: bool = False
    """Whether the mailbox's access list says who may read its mails; off: `readers`."""
    readers: tuple[str, ...] | None = None
    """Who may read them; unset: everybody of the tenant."""
    timeout_s: float = Field(default=30, gt=0)


class ImapConnector:
    """One connection, opened when it is needed and again after an outage. A mail's key is UIDVALIDITY and UID, which it keeps for life."""

    def __init__(self, options: Options, password: str) -> None:
        import imapclient  # noqa: F401 - a package that is missing is told when the system opens

        self._options, self._password = options, password
        self._lock = threading.Lock()
        self._client: Any = None

    def page(self, cursor: str) -> Page:
        def list_some(client: Any, validity: int) -> Page:
            before, _, last = cursor.partition(":")
            if before and int(before) != validity:
                raise CursorLost
            uids = sorted(uid for uid in client.search("UNDELETED") if uid > int(last or 0))
            readers = self._readers_of(client)
            objects = [Listed(f"{validity}:{uid}", f"{uid}.eml", str(validity), readers) for uid in uids[:PAGE]]
            return Page(objects, f"{validity}:{uids[PAGE - 1]}" if len(uids) > PAGE else "")

        return self._ask(list_some)

    def read(self, key: str, most: int) -> bytes | None:
        def fetch(client: Any, validity: int) -> bytes | None:
            before, _, uid = key.partition(":")
            if int(before) != validity:
                return None
            found = client.fetch([int(uid)], [f"BODY.PEEK[]<0.{most}>"])
            return bytes(found[int(uid)][b"BODY[]<0>"]) if int(uid) in found else None

        return self._ask(fetch)

    def readers(self, keys: Collection[str]) -> Mapping[str, Readers]:
        def find(client: Any, validity: int) -> Mapping[str, Readers]:
            uids = [int(uid) for before, _, uid in (key.partition(":") for key in keys) if int(before) == validity]
            there = (
                {f"{validity}:{uid}" for uid in client.search(["UNDELETED", "UID", ",".join(map(str, uids))])}
                if uids
                else set()
            )
            return dict.fromkeys((key for key in keys if key in there), self._readers_of(client))

        return self._ask(find)

    def close(self) -> None:
        with self._lock:
            self._leave()

    def _readers_of(self, client: Any) -> Readers:
        if not self._options.access_list:
            return None if self._options.readers is None else frozenset(self._options.readers)
        entries = [(_text(who), _text(rights)) for who, rights in client.getacl(self._options.mailbox)]
        # a line with a minus takes rights away from whoever has them by another line
        refused = {who[1:] for who, rights in entries if who.startswith("-") and "r" in rights}
        readers = {who for who, rights in entries if "r" in rights and not who.startswith("-")} - refused
        return None if ANYONE in readers and not refused else frozenset(readers)

    def _ask(self, work: Callable[[Any, int], T]) -> T:
        from imapclient.exceptions import IMAPClientError

        with self._lock:
            for last in (False, True):
                fresh = self._client is None
                try:
                    client = self._client or self._open()
                    validity = int(client.select_folder(self._options.mailbox, readonly=True)[b"UIDVALIDITY"])
                    return work(client, validity)
                except (IMAPClientError, OSError) as error:
                    self._leave()
                    if last or fresh:  # one that was open may have been closed by the server for its silence
                        raise UpstreamDown(
                            f"{self._options.host}:{self._options.port} cannot be read: {error}. Check [[sources.connections]]."
                        ) from error
            raise AssertionError("the second try ends it")

    def _open(self) -> Any:
        from imapclient import IMAPClient

        given = self._options
        client = IMAPClient(given.host, given.port, ssl=given.tls, timeout=given.timeout_s, use_uid=True)
        self._client = client
        client.login(given.user, self._password)
        return client

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                client.shutdown()
            except OSError:
                return


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def build(options: Options, context: Context) -> ImapConnector:
    del context
    password = os.environ.get(options.password_env)
    if not password:
        raise InvalidSetting(
            f"The environment has no {options.password_env}, which is to have the password of {options.user}. Set it."
        )
    return ImapConnector(options, password)
