"""What must not be shown: keys, passwords and tokens, in settings by their names and in any text by their shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "**********"
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:(?:api|access|account|auth|private|secret|shared|signing)[_-]?key|key|passw(?:or)?d|pwd|passphrase|secret"
    r"|token|dsn|credentials?|authorization|auth|cookie|signature|connection[_-]string)$|(?:apikey|password|secret|token)$",
    re.IGNORECASE,
)
_HEADERS = re.compile(r"(?:^|[_-])headers$", re.IGNORECASE)
"""What is sent along with a request is a credential more often than not."""
_NAME = r"(?:[\w-]*(?:api[_-]?key|passw(?:or)?d|passphrase|secret|token|authorization|signature|credentials?)|key|sig|pwd|dsn)"
_BEGIN = r"(?<![\w-])"
"""Of a name. Looked for at every letter, a long text of a caller that an error quotes would take seconds."""
_SHAPES = (
    # name:password@ of an address; a password may hold an @
    (re.compile(r"(?<=://)[^/\s\"'<>?#]+(?=@)"), MASK),
    # ?api_key=... of an address
    (re.compile(rf"(?i)([?&;]{_NAME}=)[^&#\s\"'<>]+"), rf"\1{MASK}"),
    # password=... of a libpq connection, "api_key": "..." of what was quoted; the dots of an example are none
    (re.compile(r"(?i)\b(passw(?:or)?d\s*=\s*)(?!\.\.\.)[^\s\"'&;,)]+"), rf"\1{MASK}"),
    (re.compile(rf"(?i)([\"']?{_BEGIN}{_NAME}[\"']?\s*[:=]\s*([\"']))(?!\.\.\.)(?:(?!\2).){{4,}}(?=\2)"), rf"\1{MASK}"),
    (re.compile(rf"(?i)({_BEGIN}--{_NAME}[= ])(?!\.\.\.)[^\s\"',\]]{{4,}}"), rf"\1{MASK}"),
    # what a header carries, and keys that say of themselves that they are some
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{12,}"), rf"\1 {MASK}"),
    (re.compile(r"\b(?:sixply_|sk-|ghp_|xox[abp]-)[\w-]{16,}"), MASK),
)


def is_secret(name: str) -> bool:
    """Whether what has this name is never shown.

    >>> is_secret("api_key"), is_secret("X-Api-Key"), is_secret("max_tokens"), is_secret("keys_file")
    (True, True, False, False)
    """
    return _SECRET_NAME.search(name) is not None


def mask_text(text: str) -> str:
    """The text without the credentials that stand in it.

    >>> mask_text("https://ada:s3cret@host/x?api_key=abc&page=2 password=s3cret")
    'https://**********@host/x?api_key=**********&page=2 password=**********'
    """
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def mask_values(values: Any, *, name: str = "") -> Any:
    """Settings, however deep, with every secret replaced: by its type, by its name, and inside of a text by its shape."""
    from pydantic import (
        SecretStr,  # the child that parses files has the errors of this tree, and should not wait for it
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
    """Of a command line, also what follows `--token`."""
    before = ""
    for value in values:
        flag = before.lstrip("-") if before.startswith("--") else ""
        yield mask_values(value, name=flag or name)
        before = value if isinstance(value, str) else ""
