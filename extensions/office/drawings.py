"""Words and numbers of diagrams and charts, which are alike in Office documents, slides and sheets."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any
from xml.etree import ElementTree as ET

from retrieval.formats.text_blocks import raise_number

# Raise it when the output changes: it is part of the version of each parser that uses this file
DRAWINGS_VERSION = 2
_DML = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_MADE_UP = "description automatically generated"
# Parts of a number format that are shown literally, or only leave room
FORMAT_LITERAL = re.compile(r"\"[^\"]*\"|\\.|[_*].|\[\$[^\]]{0,255}+\]")
FORMAT_CONDITION = re.compile(r"\[[<>=]")


def whole_number(text: str | None) -> int:
    """Return the number; 0 where the text is not one, or too large for a position."""
    return int(text) if text and len(text) < 10 and text.isdecimal() else 0


def parse_xml(content: bytes) -> ET.Element:
    """Return the root element of a part; an empty one where it is damaged."""
    try:
        return ET.fromstring(content)  # noqa: S314 - a package that declares entities was refused
    except ET.ParseError:
        return ET.Element("damaged")


def choose_alternatives(root: Any) -> None:
    """Replace each choice between an old and a new form by the new one, which current programs show."""
    for either in list(root.iter(f"{_MC}AlternateContent")):
        shown = next((choice for choice in either if len(choice)), None)
        parent = either.getparent()
        if parent is not None and shown is not None:
            place = parent.index(either)
            parent[place : place + 1] = list(shown)


def drop_hidden(root: Any) -> None:
    """Remove hidden shapes."""
    for properties in list(root.iter("{*}cNvPr")):
        shape = properties.getparent().getparent()
        if properties.get("hidden") in ("1", "true") and shape is not None and shape.getparent() is not None:
            shape.getparent().remove(shape)


def words(paragraph: Any) -> str:
    """Return the text, fields and formulas of a paragraph in a drawing; a line break is a space."""
    runs, power = list[tuple[bool, str]](), False
    for node in paragraph.iter():
        match str(node.tag).rpartition("}")[2]:
            case "r" | "fld":
                power = False
            case "rPr":
                power = node.get("baseline", "0")[:1] not in "-0"
            case "t":
                runs.append((power, node.text or ""))
            case "br":
                runs.append((False, " "))
    return join_raised(runs)


def join_raised(runs: Iterable[tuple[bool, str]]) -> str:
    """Join pieces of text, of which those that say `True` are raised; one number may be in several of them."""
    together = groupby((run for run in runs if run[1]), key=lambda run: run[0])
    joined = ((power, "".join(text for _, text in group)) for power, group in together)
    return "".join(raise_number(text) if power else text for power, text in joined)


def description(properties: Any) -> str:
    """Return the alternative text of a picture, from its `cNvPr`; empty where a program generated it."""
    description_text = str(properties.get("descr", "")) if properties is not None else ""
    return "" if _MADE_UP in description_text.lower() else description_text


def diagram(content: bytes) -> list[str]:
    """Return the paragraphs of a SmartArt diagram's data part, from its root down."""
    root = parse_xml(content)
    points = {point.get("modelId"): point for point in root.iterfind(".//{*}pt")}
    below = defaultdict(list)
    for link in root.iterfind(".//{*}cxn"):
        if link.get("type", "parOf") == "parOf":
            below[link.get("srcId")].append((whole_number(link.get("srcOrd")), link.get("destId")))
    begins = [name for name, point in points.items() if point.get("type") == "doc"]
    paragraphs: list[str] = []
    seen: set[str | None] = set()
    open_ends: list[str | None] = [*begins]
    while open_ends:
        name = open_ends.pop()
        if name in seen or name not in points:
            continue  # a damaged file may name its own parent as a child
        seen.add(name)
        paragraphs += [words(paragraph) for paragraph in points[name].iter(f"{_DML}p")]
        open_ends += [child for _, child in sorted(below[name], key=lambda link: link[0], reverse=True)]
    return paragraphs


def chart(content: bytes) -> tuple[str, list[list[list[str]]]]:
    """Return a chart's title, and for each of its plots a table: a row of names, then one for each category."""
    root = parse_xml(content)
    title = root.find("{*}chart/{*}title")
    title_text = " ".join(words(paragraph) for paragraph in title.iter(f"{_DML}p")) if title is not None else ""
    tables = []
    for series in [list(plot.iterfind("{*}ser")) for plot in root.iterfind("{*}chart/{*}plotArea/*")]:
        categories = {place: point for line in series for place, point in _points(line, "cat", "xVal")}
        columns = [dict(_points(line, "val", "yVal")) for line in series]
        places = sorted(categories.keys() | {place for column in columns for place in column})
        names = [" ".join(point for _, point in _points(line, "tx")) for line in series]
        rows = [[categories.get(i, ""), *(column.get(i, "") for column in columns)] for i in places]
        tables += [[["", *names], *rows]] if series else []
    return title_text, tables


def _points(series: Any, *kinds: str) -> Iterator[tuple[int, str]]:
    """Yield (index, text) of a series' name, categories or values; of multi-level categories the innermost level."""
    for kind in kinds:
        for held in series.iterfind(f"{{*}}{kind}"):
            level = held.find(".//{*}lvl")
            counted = held.find(".//{*}numCache") is not None or held.find("{*}numLit") is not None
            shares = is_share(held.findtext(".//{*}formatCode") or "")
            for number, point in enumerate((held if level is None else level).iterfind(".//{*}pt")):
                place = point.get("idx", "")
                value = point.findtext("{*}v") or ""
                shown = _figure(value, shares=shares) if counted else value
                yield int(place) if place.isdecimal() else number, shown
            if kind == "tx" and (literal := held.findtext("{*}v")):
                yield 0, literal


def _figure(value: str, *, shares: bool) -> str:
    # Without floating-point noise
    try:
        number = float(value)
    except ValueError:
        return value  # such as `#N/A`
    return f"{number * 100:.10g} %" if shares else f"{number:.15g}"


def is_share(number_format: str) -> bool:
    """Whether a number format shows per cent, unquoted and under all of its conditions."""
    sections = FORMAT_LITERAL.sub("", number_format).split(";")
    return all("%" in section for section in (sections if FORMAT_CONDITION.search(sections[0]) else sections[:1]))
