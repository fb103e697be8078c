"""A notifier that sends a signed POST to your address, for a chat, a pager or a ticket.

    [orchestration.notifier]
    use = "webhook"
    url = "https://hooks.example.com/approvals"

The secret comes from the environment, SIXPLY__ORCHESTRATION__NOTIFIER__SECRET. Headers and signature are those of the Standard
Webhooks specification 1.0; the id is that of the approval: after a crash the same may be announced twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from foundation.clock import Clock
from foundation.components import Context
from foundation.errors import UpstreamRejected
from foundation.settings import Section
from models.resilience.http_clients import clients, on_loopback
from models.resilience.vendor_errors import translate_errors
from orchestration.actions import ApprovalNotice
from orchestration.contract import ApprovalNotifier

if TYPE_CHECKING:
    import httpx2

# Prefix of a secret in base64, by the specification; any other secret is used as it is
BASE64 = "whsec_"
LEAST_SECRET = 24
REPLY_BYTES = 64 << 10


class Options(Section):
    url: str
    """The address: https, or http on this machine."""
    secret: SecretStr
    """A secret of at least 24 characters, shared with the receiver."""
    timeout_s: float = Field(default=5, gt=0, le=60)

    @field_validator("url")
    @classmethod
    def _demand_https(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in ("https", "http"):
            raise ValueError("it is no address; write https://host/path")
        if parts.scheme == "http" and not on_loopback(url):
            raise ValueError("http leaves this machine unencrypted; write https://")
        if parts.username or parts.password:
            raise ValueError("it holds a password; the signature by `secret` takes its place")
        return url

    @field_validator("secret")
    @classmethod
    def _demand_length(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        if len(text) < LEAST_SECRET:
            raise ValueError(f"it has fewer than {LEAST_SECRET} characters; make one: openssl rand -hex 24")
        if text.startswith(BASE64):
            try:
                base64.b64decode(text.removeprefix(BASE64), validate=True)
            except binascii.Error:
                raise ValueError(f"it begins with {BASE64} and is not base64 after that") from None
        return secret


class WebhookNotifier:
    """Posts notices. It follows no redirects, which would let the receiver choose who gets them."""

    def __init__(self, options: Options, clock: Clock, client: httpx2.Client) -> None:
        self._url, self._clock, self._client = options.url, clock, client
        secret = options.secret.get_secret_value()
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


def build(options: Options, context: Context) -> ApprovalNotifier:
    waits = options.timeout_s
    client, _ = clients(connect_s=waits, read_s=waits, keep_alive=False, max_bytes=REPLY_BYTES)
    return WebhookNotifier(options, context.clock, client)
