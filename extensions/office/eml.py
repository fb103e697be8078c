"""Mail: subject, people and date, the body, then every attachment by its name, with its text where a parser reads it."""

import codecs
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any

from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.declared import DECLARED_VERSION, decode_declared
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser, decode
from retrieval.ingest.parsing import parse_here

_HEADERS = ("From", "To", "Cc", "Date")
# Depth to which mails within mails are read; deeper ones are only named
_DEPTH = 3
_ATTACHMENTS = 50
_SEALED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted")


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".eml",), f"eml {5 + TEXT_VERSION + DECLARED_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes, depth: int = 1) -> Parsed:
    if content[:64].count(0) > 16:  # somebody saved it as UTF-16; a single one is a broken sender's
        content = decode(content, draft.name).encode()
    # with anything before it, the first line counts as the body
    content = content.replace(b"\0", b"").removeprefix(codecs.BOM_UTF8).lstrip()
    if not content:
        return draft.finish()
    mail = message_from_bytes(content, policy=policy.compat32)
    draft.add("heading", header(mail, "Subject"), level=1)
    for field in _HEADERS:
        if value := header(mail, field):
            draft.add("paragraph", f"{field}: {value}")
    parts = list(_parts(mail))
    bodies = [part for part in parts if not _is_attached(part)]
    if not bodies and any(part.get_content_type() in _SEALED for part in (mail, *parts)):
        raise DocumentRefused(f'"{draft.name}" is encrypted. Send the mail as its reader sees it.', reason="encrypted")
    for part in bodies:
        payload = part.get_payload(decode=True)
        declared = str(part.get_content_charset() or "utf-8")
        text = decode_declared(payload, draft.name, declared) if isinstance(payload, bytes) else ""
        if text.strip():
            suffix = "html" if part.get_content_subtype() == "html" else "txt"
            draft.include(parse_here(text.encode(errors="replace"), f"{draft.name}.{suffix}", draft.limits), below=1)
    for number, part in enumerate(part for part in parts if _is_attached(part)):
        _add_attachment(draft, part, depth, read=number < _ATTACHMENTS)
    return draft.finish()


def _add_attachment(draft: Draft, part: Message, depth: int, *, read: bool) -> None:
    name = _file_name(part)
    try:
        parsed = _parse_attachment(part, Draft(name, draft.limits), depth) if read else None
        why = "it is one of too many"
    except DocumentRefused as error:
        if error.reason == "too_large":
            raise
        parsed, why = None, error.reason
    draft.add("heading", f"Attachment: {name}" if parsed else f"Attachment: {name} (not read: {why})", level=2)
    if parsed:
        draft.include(parsed, below=2)


def _parse_attachment(part: Message, draft: Draft, depth: int) -> Parsed:
    mail = part.get_content_type() == "message/rfc822" and part.is_multipart()
    inner: Any = part.get_payload(0) if mail else None
    content = inner.as_bytes() if mail else part.get_payload(decode=True)
    content = content if isinstance(content, bytes) else b""
    if not (mail or draft.name.lower().endswith(".eml")):
        return parse_here(content, draft.name, draft.limits)
    if depth >= _DEPTH:
        raise DocumentRefused(f'"{draft.name}" is a mail in too many mails. Send the inner one.', reason="too_deep")
    return _parse(draft, content, depth + 1)


def header(mail: Message, name: str) -> str:
    """Return a header, decoded; a wrongly encoded one as it is."""
    from email.header import decode_header, make_header

    raw = next((str(value) for key, value in mail.raw_items() if key.lower() == name.lower()), "")
    if not raw.isascii():  # not allowed, and common: bytes of whichever encoding the sender's program had
        try:
            raw = decode(raw.encode("ascii", errors="surrogateescape"), name)
        except (UnicodeEncodeError, DocumentRefused):
            raw = str(mail.get(name, ""))
    try:
        return str(make_header([_readable(*chunk) for chunk in decode_header(raw)]))
    except (ValueError, LookupError, DocumentRefused):  # an unknown charset, or invalid base64
        return raw


def _readable(chunk: bytes | str, charset: str | None) -> tuple[bytes | str, str | None]:
    # senders say gb2312 for its supersets, say
    return (decode_declared(chunk, "", charset), "utf-8") if charset and isinstance(chunk, bytes) else (chunk, charset)


def _parts(mail: Message) -> Iterator[Message]:
    """Yield the leaves that a reader sees: of alternatives the plain one, else the richest with text."""
    if mail.get_content_type() == "message/rfc822" or not mail.is_multipart():
        yield mail
        return
    parts: Any = mail.get_payload()
    if mail.get_content_subtype() == "alternative" and parts:
        plain = [it for it in parts if it.get_content_type() == "text/plain" and str(it.get_payload()).strip()]
        pages = [it for it in parts if any(piece.get_content_type() == "text/html" for piece in it.walk())]
        # An invitation's last one is its entry in a calendar
        parts = [*plain[:1], *pages[-1:], parts[-1]][:1]
    for part in parts:
        yield from _parts(part)


def _is_attached(part: Message) -> bool:
    if part.get_content_disposition() == "attachment" or part.get_content_type() == "message/rfc822":
        return True
    prose = part.get_content_subtype() in ("plain", "html")
    return part.get_content_maintype() != "text" or (part.get_filename() is not None and not prose)


def _file_name(part: Message) -> str:
    # A stranger chose it; nothing is stored under it
    raw_name = part.get_filename() or ""
    name = " ".join(collapse_rfc2231_value(raw_name).replace("\\", "/").rpartition("/")[2].split())[-120:]
    if name:
        return name
    if part.get_content_type() == "message/rfc822":
        return "message.eml"
    return f"without a name, {part.get_content_type()}"
