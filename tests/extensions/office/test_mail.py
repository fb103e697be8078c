"""Mail: what a reader is shown, attachments by name and with their text, and mails that were made to harm."""

from __future__ import annotations

import base64
from dataclasses import replace
from email.message import EmailMessage

import pytest

from foundation.errors import DocumentRefused
from foundation.extensions import find_modules
from retrieval.documents import Parsed, ParseLimits
from retrieval.ingest.parsing import parse_here
from tests.contracts import parser_samples

OFFICE = find_modules("retrieval.parsers", ["office"])


def parse(content: bytes, limits: ParseLimits | None = None) -> Parsed:
    return parse_here(content, "a.eml", replace(limits or ParseLimits(), parsers=OFFICE))


def blocks(parsed: Parsed) -> list[tuple[str, int, str]]:
    return [(block.kind, block.level, parsed.text[block.start : block.end]) for block in parsed.blocks]


def mail(text: str = "The parcel is late.") -> EmailMessage:
    made = EmailMessage()
    made["Subject"] = "Späte Pakete"
    made["From"] = "Ada <ada@example.com>"
    made["To"] = "desk@example.com"
    made["Date"] = "Tue, 03 Mar 2026 10:00:00 +0000"
    made.set_content(text)
    return made


def test_subject_people_date_and_body_are_kept_in_this_order() -> None:
    parsed = parse(mail("The parcel is late.\n\nPlease look.").as_bytes())

    assert parsed.title == "Späte Pakete"
    assert blocks(parsed) == [
        ("heading", 1, "Späte Pakete"),
        ("paragraph", 0, "From: Ada <ada@example.com>"),
        ("paragraph", 0, "To: desk@example.com"),
        ("paragraph", 0, "Date: Tue, 03 Mar 2026 10:00:00 +0000"),
        ("paragraph", 0, "The parcel is late."),
        ("paragraph", 0, "Please look."),
    ]


def test_of_two_forms_of_a_body_one_is_read_and_a_page_alone_is_read_as_a_page() -> None:
    both = mail("Plain words.")
    both.add_alternative("<p>Rich words.</p>", subtype="html")
    alone = EmailMessage()
    alone.set_content("<h2>Delays</h2><p>Rich <b>words</b>.</p>", subtype="html")

    assert "Rich" not in parse(both.as_bytes()).text
    assert blocks(parse(alone.as_bytes())) == [("heading", 3, "Delays"), ("paragraph", 0, "Rich words.")]


def test_an_invitation_without_plain_words_is_read_as_its_page() -> None:
    made = mail("\n")
    made.add_alternative("<p>We meet at noon.</p>", subtype="html")
    made.add_alternative("BEGIN:VCALENDAR\nSUMMARY:Meeting\nEND:VCALENDAR", subtype="calendar")

    text = parse(made.as_bytes()).text

    assert "We meet at noon." in text
    assert "VCALENDAR" not in text


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n\n", b"\xef\xbb\xbf\r\n"])
def test_a_mark_or_blank_lines_before_the_first_header_cost_nothing(before: bytes) -> None:
    assert parse(before + mail().as_bytes()) == parse(mail().as_bytes())


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_headers_that_are_not_encoded_as_they_must_be_are_read(encoding: str) -> None:
    parsed = parse("Subject: Größe für Köln\nFrom: Jörg <j@example.com>\n\nWords.\n".encode(encoding))

    assert (parsed.title, "From: Jörg <j@example.com>" in parsed.text) == ("Größe für Köln", True)


def test_attachments_are_named_and_read_and_keep_their_pages_and_headings() -> None:
    made = mail()
    made.add_attachment(parser_samples.pdf(pages=2), maintype="application", subtype="pdf", filename="terms.pdf")
    made.add_attachment(b"\x00\x01", maintype="image", subtype="png", filename="photo.png")
    parsed = parse(made.as_bytes())
    told = [text for kind, _, text in blocks(parsed) if kind == "heading"]

    assert told[:3] == ["Späte Pakete", "Attachment: terms.pdf", parser_samples.TITLE]
    assert told[-1] == "Attachment: photo.png (not read: unsupported)"
    assert {block.page for block in parsed.blocks} == {None, 1, 2}


def test_a_damaged_attachment_costs_the_mail_nothing_else() -> None:
    made = mail()
    made.add_attachment(b"PK broken", maintype="application", subtype="zip", filename="list.xlsx")

    text = parse(made.as_bytes()).text
    assert "The parcel is late." in text
    assert "list.xlsx (not read: malformed)" in text


def test_a_name_with_a_path_is_cut_to_its_last_part() -> None:
    made = mail()
    made.add_attachment(b"Words.", maintype="text", subtype="plain", filename="../../etc/cron.d/words.txt")

    assert "Attachment: words.txt" in parse(made.as_bytes()).text


def test_a_mail_in_a_mail_is_read_and_one_too_deep_is_only_named() -> None:
    made = mail("Innermost words.")
    for level in range(4):
        outer = mail(f"Level {level}.")
        outer.add_attachment(made)
        made = outer
    text = parse(made.as_bytes()).text

    assert "Level 3." in text
    assert "Level 2." in text
    assert "Innermost" not in text
    assert "(not read: too_deep)" in text


def test_only_so_many_attachments_are_read() -> None:
    made = mail()
    for number in range(60):
        made.add_attachment(b"Words.", maintype="text", subtype="plain", filename=f"{number}.txt")
    text = parse(made.as_bytes()).text

    assert text.count("Words.") == 50
    assert "Attachment: 59.txt (not read: it is one of too many)" in text


def test_a_sealed_mail_is_refused_as_encrypted() -> None:
    made = EmailMessage()
    made["Subject"] = "Secret"
    made.set_content(b"\x30\x82", maintype="application", subtype="pkcs7-mime")

    with pytest.raises(DocumentRefused) as refused:
        parse(made.as_bytes())
    assert refused.value.reason == "encrypted"


def test_wrong_and_unknown_character_sets_do_not_lose_the_body() -> None:
    head = "Subject: =?nonsense?b?!?= x\nContent-Type: text/plain; charset={}\nContent-Transfer-Encoding: 8bit\n\n"
    body = "Gebühr für Übergröße ist fällig."

    assert body in parse(head.format("klingon").encode() + body.encode()).text
    assert body in parse(head.format("us-ascii").encode() + body.encode("cp1252")).text
    assert body in parse((head.format("utf-8") + body).encode("utf-16")).text


@pytest.mark.parametrize(
    "content",
    [
        b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(3000)),
        b"Content-Type: message/rfc822\n\n" * 3000,
    ],
)
def test_endless_nesting_ends_in_an_error_that_the_child_reports(content: bytes) -> None:
    with pytest.raises((DocumentRefused, RecursionError)):
        parse(content + b"\nhello")


def test_a_subject_in_more_than_the_character_set_that_it_names_is_read() -> None:
    coded = base64.b64encode("这个是什么 再看東".encode("gb18030")).decode()
    assert parse(f"Subject: Re: =?gb2312?B?{coded}?=\n\nHello.".encode()).title == "Re: 这个是什么 再看東"


def test_a_body_in_another_character_set_than_it_names_is_read() -> None:
    written = 'Content-Type: text/plain; charset="gb2312"\nContent-Transfer-Encoding: 8bit\n\n你们看看这个是什么'
    assert "你们看看这个是什么" in parse(written.encode()).text


def test_a_stray_nul_costs_the_mail_nothing_and_one_saved_as_utf_16_is_read() -> None:
    made = mail().as_bytes()
    for content in (made + b"\nThe \0end.", made.decode().encode("utf-16")):
        assert "The parcel is late." in parse(content).text
