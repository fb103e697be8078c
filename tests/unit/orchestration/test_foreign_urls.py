"""No address that no cited passage contains gets into an answer, however it is written."""

from __future__ import annotations

import html
import itertools

import pytest

from orchestration.language.guard import REMOVED, without_foreign_urls

QUOTES = [
    "Scanners are covered, see https://desk.example/scanners/terms for the details or write to desk@desk.example."
]
TARGETS = [
    "https://evil.example/leak",
    "http://evil.example",
    "HTTPS://EVIL.example/leak",
    "https:/evil.example/leak",
    "https:evil.example/leak",
    "https:\\/\\/evil.example/leak",
    "https:\\\\evil.example/leak",
    "https:///evil.example/leak",
    "//evil.example/leak",
    "///evil.example/leak",
    "/\\evil.example/leak",
    "\\\\evil.example\\leak",
    "ftp://evil.example/leak",
    "wss://evil.example/leak",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "javascript&colon;alert(1)",
    "data:text/html;base64,PHNjcmlwdD4",
    "mailto:eve@evil.example",
    "eve@evil.example",
    "www.evil.example",
    "evil.example/leak?d=secret",
    "evil.example/?d=secret",
    "evil.example:8080/leak",
    "evil.example/#leak",
    "https&NewLine;://evil.example/leak",
    "https://desk.example@evil.example/leak",
    "https://desk.example:pw@evil.example/leak",
    "https://xn--dsk-hoa.example/leak",
    "https://d\u0435sk.example/scanners",
    "https://desk.example.evil.example/scanners",
    "https://desk.ex",
    "https://127.0.0.1/leak",
    "https://[::1]/leak",
    "https://2130706433/leak",
    "//localhost/leak",
    "\uff48\uff54\uff54\uff50\uff53\uff1a\uff0f\uff0fevil.example/leak",
    "https://evil。example/leak",
    "ht\u200btps://evil.example/leak",
    "https:\u2060//evil.example/leak",
    "&#104;ttps://evil.example/leak",
    "https&colon;//evil.example/leak",
    "https&#58;&#47;&#47;evil.example/leak",
    "&amp;#104;ttps://evil.example/leak",
    "https%3A%2F%2Fevil.example/leak",
    "https:&sol;&sol;evil.example/leak",
]
FRAMES = [
    "{}",
    "See {}.",
    "({})",
    "![p]({})",
    "[terms]({})",
    "[1]: {}",
    "<{}>",
    "<img src={}>",
    '<a href="{}">x</a>',
    "**{}**",
    "[x](<{}>)",
    "`{}`",
]
LEAKS = ["", "c?d='..---..", "c?d=(..---..)", "?q=[secret]", '#"secret"', "/..;a=b,c=d"]
VARIANTS = [frame.format(target) for frame, target in itertools.product(FRAMES, TARGETS)] + [
    frame.format(f"{target}/{leak}") for frame, target, leak in itertools.product(FRAMES, TARGETS[:9], LEAKS)
]


def test_there_are_hundreds_of_them() -> None:
    assert len(set(VARIANTS)) > 900


def test_a_foreign_address_is_removed_however_it_is_written() -> None:
    kept = []
    for variant in VARIANTS:
        shown = without_foreign_urls(f"They are covered {variant} for 24 months.", QUOTES)
        plainly = html.unescape(html.unescape(shown)).lower()
        if REMOVED not in shown or any(part in plainly for part in ("evil", "leak", "secret", "..---..", "alert(1)")):
            kept.append((variant, shown))
    assert kept == []


@pytest.mark.parametrize(
    "text",
    [
        "See https://desk.example/scanners/terms.",
        "See (https://desk.example/scanners/terms), it helps.",
        "See [the terms](https://desk.example/scanners/terms).",
        "Write to desk@desk.example, please.",
        "Terms stand at https://desk.example/scanners/ too.",
        "It is 3//4 of 12:30 and/or 5/6, e.g. for node.js v1.2/3 [1][2].",
        "The ratio is 16:9; note: http is a protocol, https: too.",
        "data: 5, tel: see below, Mr. Quill's file: unknown.",
        "50%25 of R&D at A&amp;B, path C:\\temp and src/a.py.",
        "Dr.Smith said 2026.11 was v3.2.1/4.",
        "calls[i](std::move(x)) and calls[0](f, 3:1)",
    ],
)
def test_what_is_cited_or_no_address_stays_to_the_letter(text: str) -> None:
    assert without_foreign_urls(text, QUOTES) == text


@pytest.mark.parametrize("target", ["whatsapp:send?text=leak", "sgnl:leak", "<magnet:?dn=leak>", "ms-msdt:/leak"])
def test_a_link_of_any_scheme_is_none(target: str) -> None:
    assert "leak" not in without_foreign_urls(f"[Read more]({target}) now.", QUOTES)
    kept = "[Read more](note: the second page) of 5:30, file.txt? Yes; 10.0.0.0/24."
    assert without_foreign_urls(kept, QUOTES) == kept
