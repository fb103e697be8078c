"""Notices as a signed POST to your address, for a chat, a pager or a ticket.

    extensions = ["notifier"]

    [notifier]
    url = "https://hooks.example.com/approvals"

The secret comes from the environment, SIXPLY__NOTIFIER__SECRET. Headers and signature are those of the Standard Webhooks
specification 1.0; the id is that of the approval: after a crash the same may be announced twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from extensions.notifier.notice import ApprovalNotice
from extensions.notifier.settings import BASE64, NotifierSettings
from foundation.clock import Clock
from foundation.errors import UpstreamRejected
from models.resilience.http_clients import clients
from models.resilience.vendor_errors import translate_errors

if TYPE_CHECKING:
    import httpx2

# Most bytes of a reply
REPLY_BYTES = 64 << 10


class WebhookNotifier:
    """Posts notices. It follows no redirects, which would let the receiver choose who gets them."""

    def __init__(self, settings: NotifierSettings, clock: Clock, client: httpx2.Client) -> None:
        self._url, self._clock, self._client = settings.url, clock, client
        secret = settings.secret.get_secret_value()
        self._key = base64.b64decode(secret.removeprefix(BASE64)) if secret.startswith(BASE64) else secret.encode()

    def announce(self, notice: ApprovalNotice) -> None:
        body = notice.model_dump_json()
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {
            "content-type": "application/json",
            "webhook-id": notice.approval_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(self._key, notice.approval_id, timestamp, body),
        }
        host = urlsplit(self._url).hostname
        with translate_errors(f"the webhook at {host}"):
            response = self._client.post(self._url, content=body.encode(), headers=headers)
        if not response.is_success:
            expected = "was expected to answer 2xx. Look at its log; redirects are not followed."
            raise UpstreamRejected(f"The webhook at {host} answered {response.status_code} and {expected}")

    def close(self) -> None:
        self._client.close()


def sign(key: bytes, message_id: str, timestamp: str, body: str) -> str:
    """Return the header `webhook-signature` of the specification: version 1, HMAC-SHA256 in base64."""
    digest = hmac.digest(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def open_webhook(settings: NotifierSettings, clock: Clock) -> WebhookNotifier:
    waits = settings.timeout_s
    client, _ = clients(connect_s=waits, read_s=waits, keep_alive=False, max_bytes=REPLY_BYTES)
    return WebhookNotifier(settings, clock, client)
