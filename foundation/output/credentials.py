"""Masking of keys, passwords and tokens: in settings by their names, in any text by their shapes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "**********"
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:(?:api|access|account|auth|private|secret|shared|signing)[_-]?key|key|passw(?:or)?d|pwd|passphrase|secret"
    r"|token|dsn|credentials?|authorization|auth|cookie|signature|connection[_-]string)$|(?:apikey|password|secret|token)$",
    re.IGNORECASE,
)
# Names of header settings, whose values are often credentials
_HEADERS = re.compile(r"(?:^|[_-])headers$", re.IGNORECASE)
_NAME = r"(?:[\w-]*(?:api[_-]?key|passw(?:or)?d|passphrase|secret|token|authorization|signature|credentials?)|key|sig|pwd|dsn)"
# The beginning of a name. Without it, a search at every letter of a long text would take seconds.
_BEGIN = r"(?<![\w-])"
_SHAPES = (
    # name:password@ of an address; a password may hold an @
    (re.compile(r"(?<=://)[^/\s\"'<>?#]+(?=@)"), MASK),
    # ?api_key=... of an address
    (re.compile(rf"(?i)([?&;]{_NAME}=)[^&#\s\"'<>]+"), rf"\1{MASK}"),
    # password=... of a libpq connection, "api_key": "..." of what was quoted; the dots of an example do not count
    (re.compile(r"(?i)\b(passw(?:or)?d\s*=\s*)(?!\.\.\.)[^\s\"'&;,)]+"), rf"\1{MASK}"),
    (re.compile(rf"(?i)([\"']?{_BEGIN}{_NAME}[\"']?\s*[:=]\s*([\"']))(?!\.\.\.)(?:(?!\2).){{4,}}(?=\2)"), rf"\1{MASK}"),
    (re.compile(rf"(?i)({_BEGIN}--{_NAME}[= ])(?!\.\.\.)[^\s\"',\]]{{4,}}"), rf"\1{MASK}"),
    # header values, and keys with a known prefix
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{12,}"), rf"\1 {MASK}"),
    (re.compile(r"\b(?:sixply_|sk-|gh[po]_|xox[abp]-|[spr]k_)[\w-]{16,}"), MASK),
    (re.compile(r"\b(?:api|key|token)[_-](?=[A-Za-z]*\d)[A-Za-z0-9]{16,}\b"), MASK),
    (re.compile(r"\bAKIA[0-9A-Z]{16}\b"), MASK),
    # JSON web tokens, and private keys to their end
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\w+/=\s]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"), MASK),
)


def is_secret(name: str) -> bool:
    """Whether a value with this name must be masked.

    >>> is_secret("api_key"), is_secret("X-Api-Key"), is_secret("max_tokens"), is_secret("keys_file")
    (True, True, False, False)
    """
    return _SECRET_NAME.search(name) is not None


def mask_text(text: str) -> str:
    """Mask the credentials in a text.

    >>> mask_text("https://ada:s3cret@host/x?api_key=abc&page=2 password=s3cret")
    'https://**********@host/x?api_key=**********&page=2 password=**********'
    """
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def mask_values(values: Any, *, name: str = "") -> Any:
    """Mask every secret in nested settings: by its type, by its name, and within texts by its shape."""
    from pydantic import (
        SecretStr,  # imported late: the parsing child needs these errors, but not pydantic
    )

    if isinstance(values, SecretStr):
        return MASK
    if isinstance(values, Mapping):
        within = "secret" if _HEADERS.search(name) else ""
        return {key: mask_values(value, name=within or str(key)) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(_items(values, name)) if not hasattr(values, "_fields") else list(_items(values, name))
    if values in (None, "") or isinstance(values, bool):
        return values
    if is_secret(name):
        return MASK
    return mask_text(values) if isinstance(values, str) else values


def _items(values: list[Any] | tuple[Any, ...], name: str) -> Iterator[Any]:
    """Yield the items, masked; in a command line also the value after `--token`."""
    before = ""
    for value in values:
        flag = before.lstrip("-") if before.startswith("--") else ""
        yield mask_values(value, name=flag or name)
        before = value if isinstance(value, str) else ""
