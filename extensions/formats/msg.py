"""Mail of Outlook, read as the same mail in the format of the internet: its people, its body, its attachments."""

from typing import Any

from extensions.formats.converted import parse_by
from extensions.formats.rtf import text_of
from extensions.office import eml
from extensions.office.ooxml import malformed_document
from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser

# Number of the property that has the body where it is neither text nor a web page (MS-OXPROPS, PidTagRtfCompressed)
_RTF_BODY = 0x1009
_SEALED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted")


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".msg",), f"msg {1 + TEXT_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    from aspose.email_foss.cfb import CFBError, CFBReader
    from aspose.email_foss.msg import MapiMessage, MsgDocument, MsgError, MsgReader

    troubles = (CFBError, MsgError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
    try:
        message = MapiMessage.from_msg_document(MsgDocument.from_reader(MsgReader(CFBReader(content))))
        _settle(message)
        mail = message.to_email_message()
    except troubles as error:
        raise malformed_document(draft.name, "mail of Outlook", error) from error
    if not (message.body or "").strip() and any(part.get_content_type() in _SEALED for part in mail.walk()):
        raise DocumentRefused(f'"{draft.name}" is encrypted. Send the mail as its reader sees it.', reason="encrypted")
    return parse_by(eml.build(draft.limits), mail.as_bytes(), draft.name)


def _settle(message: Any) -> None:
    """Give each mail within a body in text, and make mails that are attached files of their own."""
    from aspose.email_foss.msg import MapiAttachment

    if not (message.body or message.body_html) and (packed := message.get_property_value(_RTF_BODY)):
        from compressed_rtf import decompress

        message.body = text_of(decompress(packed))
    for number, attachment in enumerate(message.attachments):
        if attachment.embedded_message is not None:
            _settle(attachment.embedded_message)
            name, mail = attachment.filename or "message", attachment.embedded_message.to_email_bytes()
            message.attachments[number] = MapiAttachment.from_bytes(f"{name}.eml", mail)
