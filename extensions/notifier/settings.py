"""[notifier]: who is told that an approval waits."""

import base64
import binascii
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from foundation.settings import Section
from models.resilience.http_clients import on_loopback

# Prefix of a secret in base64, by the specification; any other secret is used as it is
BASE64 = "whsec_"
LEAST_SECRET = 24


class NotifierSettings(Section):
    url: str = ""
    """The address: https, or http on this machine."""
    secret: SecretStr = SecretStr("")
    """A secret of at least 24 characters, shared with the receiver."""
    timeout_s: float = Field(default=5, gt=0, le=60)
    link: str = ""
    """The link in a notice, such as `https://desk.example.com/#/approvals/{approval_id}`; empty: none."""

    @field_validator("url")
    @classmethod
    def _demand_https(cls, url: str) -> str:
        if not url:
            return url
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
        if not text:
            return secret
        if len(text) < LEAST_SECRET:
            raise ValueError(f"it has fewer than {LEAST_SECRET} characters; make one: openssl rand -hex 24")
        if text.startswith(BASE64):
            try:
                base64.b64decode(text.removeprefix(BASE64), validate=True)
            except binascii.Error:
                raise ValueError(f"it begins with {BASE64} and is not base64 after that") from None
        return secret
