"""Numbers of headings, clauses and list items in Word ("3.2", "(b)"), which it stores as rules instead of text.

The rules are those of ECMA-376, part 1, 17.9. python-docx gives access to their XML, and does not count.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from extensions.office.drawings import parse_xml, whole_number

# Raise it when the output changes: it is part of the version of each parser that uses this file
NUMBERING_VERSION = 0
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROMAN = {1000: "m", 900: "cm", 500: "d", 400: "cd", 100: "c", 90: "xc", 50: "l", 40: "xl", 10: "x", 9: "ix", 5: "v", 4: "iv", 1: "i"}  # fmt: skip
# Word's own limit
_LARGEST = 32_767
# Most levels of a list, as in Word
_LEVELS = 9
# Most characters of a number. Nobody cites a longer one, and a hostile file may repeat it in each line.
_LONGEST = 80


def numbers(document: Any) -> Iterator[tuple[Any, str]]:
    """Yield each numbered paragraph of a python-docx document with its number, such as "3.2", but no bullets."""
    lists = _lists(document)
    styles = _styles(document, lists)
    counts: defaultdict[str, dict[int, int]] = defaultdict(dict)
    started: set[str] = set()
    for paragraph in document.element.body.iter(f"{_W}p") if lists else ():
        name, at = value_of(paragraph, "pPr/numPr/numId"), value_of(paragraph, "pPr/numPr/ilvl")
        if not name:  # what a paragraph leaves open its style says
            name, of_style = styles.get(value_of(paragraph, "pPr/pStyle"), ("", ""))
            at = at or of_style
        level = _number(at)
        if name not in lists or level not in lists[name].levels:
            continue
        # A deleted, moved or hidden paragraph does not count
        if any(is_on(paragraph, f"pPr/rPr/{mark}") for mark in ("del", "moveFrom", "vanish")):
            continue
        rules, count = lists[name].levels, counts[lists[name].counted_with]
        for anew in lists[name].anew if name not in started else ():
            count.pop(anew, None)
        started.add(name)
        count[level] = count[level] + 1 if level in count else rules[level].start
        for below, rule in rules.items():
            if level < min(below, rule.follows):
                count.pop(below, None)
        if shown := _format_number(rules, level, count):
            yield paragraph, shown


@dataclass(frozen=True, slots=True)
class _Level:
    start: int
    kind: str
    # Template with %1 for the number of the top level, and so on
    text: str
    # Number of top levels after any of which it restarts
    follows: int
    # Whether the numbers of all levels are shown in digits
    digits: bool
    style: str


@dataclass(frozen=True, slots=True)
class _List:
    levels: Mapping[int, _Level]
    # Name of the counter; lists with the same one continue each other
    counted_with: str
    # Levels that restart with this list
    anew: tuple[int, ...]


def related_roots(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the kind of each related part, such as "footnotes", and its root element."""
    for relation in document.part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if kind in ("numbering", "footnotes", "endnotes") and not relation.is_external:
            yield kind, parse_xml(relation.target_part.blob)


def _lists(document: Any) -> dict[str, _List]:
    root = next((root for kind, root in related_roots(document) if kind == "numbering"), None)
    if root is None:
        return {}
    rules = {rule.get(f"{_W}abstractNumId", ""): rule for rule in root.iterfind(f"{_W}abstractNum")}
    of_style = {value_of(rule, "styleLink"): rule for rule in rules.values()}
    # Once each, however many lists follow the rule
    levels_of: dict[Any, dict[int, _Level]] = {rule: {} for rule in rules.values()}
    for rule, levels in levels_of.items():
        for level in rule.iterfind(f"{_W}lvl"):
            if (at := _number(level.get(f"{_W}ilvl"))) < _LEVELS:
                levels[at] = _level(level)
    lists = {}
    for number in root.iterfind(f"{_W}num"):
        rule = rules.get(value_of(number, "abstractNumId"))
        if rule is None:
            continue
        rule = of_style.get(value_of(rule, "numStyleLink") or "none", rule)
        levels = dict(levels_of[rule])
        anew = []
        for change in number.iterfind(f"{_W}lvlOverride"):
            at, level = _number(change.get(f"{_W}ilvl")), change.find(f"{_W}lvl")
            start = value_of(change, "startOverride")
            if level is not None and at < _LEVELS:
                levels[at] = _level(level)
            if start and at in levels:
                levels[at] = replace(levels[at], start=_number(start))
                anew.append(at)
        lists[number.get(f"{_W}numId", "")] = _List(levels, rule.get(f"{_W}abstractNumId", ""), tuple(anew))
    return lists


def _level(element: Any) -> _Level:
    follows = value_of(element, "lvlRestart")
    return _Level(
        start=_number(value_of(element, "start") or "0"),
        kind=value_of(element, "numFmt") or "decimal",
        text=value_of(element, "lvlText"),
        follows=_number(follows) if follows else _LARGEST,
        digits=element.find(f"{_W}isLgl") is not None,
        style=value_of(element, "pStyle"),
    )


def styles_by_descent(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield each style's id, the id of its base, and its element; a base comes before its styles."""
    styles = {
        style.get(f"{_W}styleId", ""): (value_of(style, "basedOn"), style)
        for style in document.styles.element.iterfind(f"{_W}style")
    }
    seen: set[str] = set()
    for last in list(styles):
        name, chain = last, []
        while name in styles and name not in seen:  # one may be based on itself
            seen.add(name)
            chain.append((name, *styles[name]))
            name = styles[name][0]
        yield from reversed(chain)


def _styles(document: Any, lists: Mapping[str, _List]) -> dict[str, tuple[str, str]]:
    places: dict[str, tuple[str, str]] = {}
    for style, based_on, element in styles_by_descent(document):
        name, level = places.get(based_on, ("", ""))
        if own := value_of(element, "pPr/numPr/numId"):
            levels = lists[own].levels.items() if own in lists else ()
            name, level = own, next((str(at) for at, rule in levels if rule.style == style), "")
        places[style] = (name, value_of(element, "pPr/numPr/ilvl") or level)
    return places


def is_on(element: Any, path: str) -> bool:
    """Whether a toggle property is present below an element, and not off."""
    mark = element.find("/".join(f"{_W}{step}" for step in path.split("/")))
    return mark is not None and mark.get(f"{_W}val", "true") not in ("0", "false", "off")


def _format_number(rules: Mapping[int, _Level], level: int, count: Mapping[int, int]) -> str:
    text = rules[level].text
    if rules[level].kind == "bullet" or len(text) > _LONGEST:
        return ""
    parts: dict[str, str | None] = {}
    for place in set(re.findall("%([1-9])", text)):
        at = int(place) - 1
        if rule := rules.get(at):
            parts[place] = _spell(count.get(at, rule.start), "decimal" if rules[level].digits else rule.kind)
    if None in parts.values():
        return ""
    shown = re.sub("%([1-9])", lambda match: parts.get(match[1]) or "", text).strip()
    return shown if len(shown) <= _LONGEST else ""


def _spell(number: int, kind: str) -> str | None:
    match kind:
        case "decimal":
            return str(number)
        case "decimalZero":
            return f"{number:02}"
        case "lowerLetter" | "upperLetter":  # after z comes aa, then bb
            times, letter = divmod(number - 1, len(_LETTERS))
            letters_shown = _LETTERS[letter] * (times + 1)
        case "lowerRoman" | "upperRoman":
            letters_shown = ""
            for value, letters in _ROMAN.items():
                times, number = divmod(number, value)
                letters_shown += letters * times
        case "none":
            return ""
        case _:
            return None
    return letters_shown.upper() if kind.startswith("upper") else letters_shown


def value_of(element: Any, path: str) -> str:
    """Return the value (`w:val`) of an element below this one; empty where there is none."""
    child = element.find("/".join(f"{_W}{step}" for step in path.split("/")))
    return str(child.get(f"{_W}val", "")) if child is not None else ""


def _number(text: str | None) -> int:
    return min(whole_number(text), _LARGEST)
