"""A formula in LaTeX as MathML, which the browser draws and screen readers read; no script and no font is needed for it."""

from __future__ import annotations

import html as entities
from typing import TYPE_CHECKING

from nicegui import html, ui
from nicegui.elements.mixins.text_element import TextElement

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LONGEST = 2_000
# What a formula may become: \\href and \\style would bring addresses and styles of whoever wrote it
TAGS = frozenset(
    [
        "math",
        "mrow",
        "mi",
        "mo",
        "mn",
        "mtext",
        "mspace",
        "mfrac",
        "msqrt",
        "mroot",
        "msup",
        "msub",
        "msubsup",
        "mover",
        "munder",
        "munderover",
        "mtable",
        "mtr",
        "mtd",
        "mstyle",
        "mpadded",
        "mphantom",
    ]
)
ATTRIBUTES = frozenset(
    [
        "display",
        "mathvariant",
        "linethickness",
        "stretchy",
        "fence",
        "separator",
        "largeop",
        "movablelimits",
        "form",
        "minsize",
        "maxsize",
        "columnalign",
        "width",
        "lspace",
        "rspace",
        "accent",
    ]
)


def show_formula(latex: str, *, is_block: bool) -> None:
    """Build a formula in the current slot; one that cannot be read is shown as it was written."""
    from latex2mathml.converter import convert_to_element

    try:
        root = convert_to_element(latex[:LONGEST], display="block" if is_block else "inline")
    except Exception:  # the library raises a class of its own for each mistake, and RecursionError
        root = None
    if root is None or len(latex) > LONGEST:
        html.code(latex)
    else:
        formula = _show(root)
        if is_block:  # a long one is scrolled by the keyboard, too
            formula.props["tabindex"] = "0"


def _show(part: Element) -> ui.element:
    tag = part.tag if part.tag in TAGS else "mrow"
    with ui.element(tag) if len(part) else TextElement(tag=tag, text=entities.unescape(part.text or "")) as element:
        element.props.update({name: value for name, value in part.attrib.items() if name in ATTRIBUTES})
        for child in part:
            _show(child)
    return element
