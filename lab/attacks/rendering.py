"""Documents whose titles, names and sentences are markup, asked for by clients that show Markdown."""

from __future__ import annotations

import re
from typing import Any

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

ACTIVE = re.compile(
    r"(?<!\\)(?:\\\\)*\]\(|(?m:^\s{0,3}\[(?:[^\]\\]|\\.)*\]:)|<[A-Za-z/!?]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|\bhttps?://evil"
)
"""What a client would follow, load or run."""
MARKUP = (
    "![p](https://evil.example/p.png)",
    "[terms](javascript:alert)",
    "[terms\\](javascript:alert)",
    "<script>alert</script>",
    "<img src=x onerror=alert>",
    "\x1b[31m\u202e",
)
SHAPES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "sixply-extractive", "messages": [{"role": "user", "content": ""}]},
    "/v1/messages": {"model": "sixply-extractive", "max_tokens": 500, "messages": [{"role": "user", "content": ""}]},
    "/v1/responses": {"model": "sixply-extractive", "input": ""},
}


def show_markup(victim: Victim) -> Tried:
    """Ask in each vendor's shape what a document with such a title, name and sentence says."""
    tried = Tried()
    person = victim.person("render-ada", "agent", tenant="edges-render")
    for number, markup in enumerate(MARKUP):
        page = (
            f"<title>Lamp{number} {_entities(markup)} &#10;[9]: javascript:alert</title>"
            f"<p>The lamp{number} runs for nine hours {_entities(markup)} and more.</p>"
        )
        victim.upload(person, f"lamp{number} {markup.replace('/', '')}.html", page)
        for path, body in SHAPES.items():
            question = f"How long does the lamp{number} run?"
            asked = (
                {**body, "input": question}
                if "input" in body
                else body | {"messages": [{"role": "user", "content": question}]}
            )
            text = _text(person.post(path, json=asked).json())
            found = ACTIVE.search(text)
            tried.check(held=found is None and "nine hours" in text, otherwise=f"{path}: {text[:200]!r}")
    return tried


def _entities(text: str) -> str:
    return "".join(f"&#{ord(letter)};" for letter in text)


def _text(reply: dict[str, Any]) -> str:
    if "choices" in reply:
        return str(reply["choices"][0]["message"]["content"])
    parts = reply.get("content") or reply.get("output", [{}])[0].get("content", [])
    return "\n".join(str(part.get("text", "")) for part in parts) or str(reply)


def _show_as_it_is() -> None:
    from extensions.openai_api import vendors

    vendors.markdown = vendors.markdown_label = str  # type: ignore[assignment,attr-defined]


ATTACKS = (
    Attack(
        name="markup-of-documents",
        title="a document's title, name or sentence becomes a picture, a link or an element in somebody else's client",
        run=show_markup,
        reopen=_show_as_it_is,
    ),
)
