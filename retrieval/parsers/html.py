"""Web pages: the main content with its headings, lists and tables; navigation, banners and footers are left out."""

import re
from collections.abc import Collection, Iterator
from copy import deepcopy
from itertools import accumulate, chain, groupby, takewhile, zip_longest
from typing import Any

from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.declared import DECLARED_VERSION, decode_declared
from retrieval.formats.tables import TABLES_VERSION, add_table, begins_with_figure, names_periods
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser, clean, raise_number

_DECLARED = re.compile(
    rb"<(?:meta[^>]{0,1000}?charset|\?xml[^>]{0,1000}?encoding)\s*=\s*(?:[\"']\s*)?([\w.:-]+)", re.IGNORECASE
)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")  # lxml refuses one in text that is decoded already
_NOT_CONTENT = ("script", "style", "noscript", "template", "nav", "aside", "form", "dialog", "button", "select", "svg")
_FURNITURE = re.compile(
    r"(?:^|[\s_-])(?:cookies?|consent|breadcrumbs?|navbar|nav|sidebar|site-?(?:header|footer)|skip-?link|newsletter)"
    r"(?:$|[\s_-])"
)
_HIDING = re.compile(
    r"(?i)(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?:font-size|opacity)\s*:\s*0(?:\.0*)?(?![\d.]))"
)
# What themes write into the link to a heading; private characters are their icons
_PERMALINK = re.compile(r"[\[(]?[#¶§🔗⚓∞»…\ue000-\uf8ff\ufe0f]*[\])]?")
_ROLES = ("navigation", "banner", "contentinfo", "search", "complementary", "dialog", "menu", "alert")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(
    """address article blockquote body center dd details div dl dt figcaption figure footer header h1 h2 h3 h4 h5 h6 hr li
    main ol p pre section summary table tbody td tfoot th thead tr ul""".split()  # noqa: SIM905 - reads best as text
)
# Most columns of a table whose spans are filled; trafilatura's time is quadratic in the cells of a row
_MOST_COLUMNS = 100
# Most characters of a cell that is repeated; a longer one is a paragraph beside its rows, not their name
_REPEATED = 200
# Most rows that name columns without being marked: a title, a group, the periods
_MOST_HEADS = 3
# Least share of the words outside of links that trafilatura must keep; it loses whole sections of short pages
_ENOUGH = 0.7


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser(
        (".html", ".htm", ".xhtml"), f"html {13 + TEXT_VERSION + TABLES_VERSION + DECLARED_VERSION}", _parse, limits
    )


def _parse(draft: Draft, content: bytes) -> Parsed:
    from lxml import etree, html

    declared = _DECLARED.search(content[:4096])
    text = decode_declared(content, draft.name, declared[1].decode("ascii") if declared else "")
    source = _XML_DECLARATION.sub("", clean(text))
    if not source.strip():
        return draft.finish()
    try:
        document = html.document_fromstring(source, parser=html.HTMLParser(remove_comments=True, remove_pis=True))
    except etree.LxmlError as error:
        raise DocumentRefused(f'"{draft.name}" is not HTML: {error}. Save it anew.', reason="malformed") from error
    if (
        _without_hidden(document)
        | _write_signs(document)
        | _without_spans(document, draft.name, draft.limits.characters // 10)
    ):
        source = str(html.tostring(document, encoding="unicode"))
    title, body = document.findtext(".//title"), _body(document)
    content_tree = _main_content(source)
    if content_tree is None or _has_losses(content_tree, body):
        _walk(draft, body)
    else:
        _keep_first_heading(draft, content_tree, body)
        _walk(draft, content_tree)
    return draft.finish(title=None if draft.has_heading(level=1) else title)


def _main_content(source: str) -> Any:
    """Return the tree that trafilatura keeps; `None`: nothing."""
    import trafilatura
    from trafilatura.settings import DEFAULT_CONFIG

    # its fallbacks for short pages flatten the structure, so the least size is 1
    config = deepcopy(DEFAULT_CONFIG)
    config["DEFAULT"]["min_extracted_size"] = "1"
    extracted: Any = trafilatura.bare_extraction(
        source, fast=True, include_comments=False, include_tables=True, include_formatting=True, config=config
    )
    return _as_html(extracted.body) if extracted is not None and len(extracted.body) else None


def _has_losses(content: Any, body: Any) -> bool:
    own = len(" ".join(body.itertext()).split()) - sum(len("".join(link.itertext()).split()) for link in body.iter("a"))
    # Of a page without article, main or div it keeps only paragraphs and tables. A div may be the site's, as its footer
    bare = [part for part in body if part.tag in ("ol", "ul", *_HEADINGS)]
    lines = [line for part in bare for line in part.iter("li", *_HEADINGS) if line.find(".//a") is None]
    flattened = len(lines) > 1 and next(content.iter("li", *_HEADINGS), None) is None
    return flattened or len(" ".join(content.itertext()).split()) < _ENOUGH * own


def _as_html(content: Any) -> Any:
    """Rename trafilatura's tags to those of HTML. The content of a cell stays its text, and so does inline code."""
    inside_cells = set(content.iterfind(".//cell//*"))
    for element in content.iter():
        rend, parent = element.get("rend", ""), element.getparent()
        match element.tag:
            case "row":
                element.tag = "tr"
            case "cell":
                element.tag = "th" if element.get("role") == "head" else "td"
            case "lb":
                element.tag = "br"
            case "code" if parent is content or parent.tag in ("blockquote", "div"):
                element.tag = "pre"
            case "quote":
                element.tag = "blockquote"
            case "head" | "list" | "item" if element not in inside_cells:
                usual = {"head": "h2", "list": "ul", "item": "li"}[element.tag]
                element.tag = rend if rend in (*_HEADINGS, "ol") else usual
    return content


def _write_signs(document: Any) -> bool:
    """Write the numbers of lists and raised digits as text, since trafilatura drops their markup; return whether there were any."""
    items = [item for numbered in document.iter("ol") for item in _number_items(numbered)]
    powers = [inner for power in document.iter("sup") for inner in power.iter()]
    for inner in powers:
        inner.text = raise_number(inner.text or "")
    return bool(items or powers)


def _without_hidden(document: Any) -> bool:
    elements = [element for element in document.iter() if isinstance(element.tag, str)]
    hidden = [
        it for it in elements if it.tag == "del" or it.get("hidden") is not None or _HIDING.search(it.get("style", ""))
    ]
    for heading in document.iter(*_HEADINGS):
        words = _text(heading)
        # A heading that is only the sign is content, as in a list of operators
        hidden += [
            link for link in heading.iterchildren("a") if _PERMALINK.fullmatch(_text(link)) and _text(link) != words
        ]
    for element in hidden:
        if element.getparent() is not None:
            element.drop_tree()
    return bool(hidden)


def _body(document: Any) -> Any:
    mains = document.findall(".//main")
    body = next(iter(mains if len(mains) == 1 else document.findall("body")), document)
    for element in list(body.iter()):
        if element is not body and element.getparent() is not None and _is_furniture(element):
            element.drop_tree()
    return body


def _is_furniture(element: Any) -> bool:
    if element.tag in _NOT_CONTENT or element.get("role") in _ROLES:
        return True
    if element.tag in ("header", "footer"):  # an article's own header holds its title
        return not any(above.tag in ("article", "main", "section") for above in element.iterancestors())
    return _FURNITURE.search(f"{element.get('class', '')} {element.get('id', '')}".lower()) is not None


def _keep_first_heading(draft: Draft, content: Any, body: Any) -> None:
    # trafilatura takes a first heading other than h1 for the site's name, and drops it
    first: Any = next(body.iter("h1", "h2", "h3", "h4"), None)
    words = _text(first) if first is not None else ""
    if words and not any(_text(block) == words for block in content.iter("head", *_BLOCKS)):
        draft.add("heading", words, level=int(first.tag[1]))


def _walk(draft: Draft, parent: Any, kind: str = "paragraph") -> None:
    loose: list[str] = [parent.text or ""]
    for element in parent:
        if element.tag in _BLOCKS or any(inner.tag in _BLOCKS for inner in element.iterdescendants()):
            draft.add(kind, "".join(loose))
            loose = [element.tail or ""]
            _walk_one(draft, element)
        else:
            loose += ["\n" if element.tag == "br" else _words(element), element.tail or ""]
    draft.add(kind, "".join(loose))


def _walk_one(draft: Draft, element: Any) -> None:
    if element.tag in _HEADINGS:
        draft.add("heading", _words(element), level=int(element.tag[1]))
    elif element.tag == "pre":
        draft.add("code", "".join(element.itertext()))
    elif element.tag == "table" and _holds_data(element):
        rows = list(element.iter("tr"))
        words = [[_words(cell) for cell in row.iterchildren("td", "th")] for row in rows]
        add_table(draft, words, header=(bool(rows) and _is_head(rows[0])) or None)
    else:
        in_item = element.tag == "p" and element.getparent().tag == "li"
        _walk(draft, element, "item" if in_item or element.tag == "li" else "paragraph")


def _number_items(numbered: Any) -> Iterator[Any]:
    # Other steps may refer to the number
    number = _whole_number(numbered, "start", least=0)
    for item in numbered.iterchildren("li"):
        number = _whole_number(item, "value", number, least=0)
        begin = item
        while not (begin.text or "").strip() and len(begin) and begin[0].tag in _BLOCKS:
            begin = begin[0]
        if "".join(item.itertext()).strip():
            begin.text = f"{number}. {(begin.text or '').lstrip()}"
            yield item
        number += 1


def _words(element: Any) -> str:
    for inner in element.iterdescendants("br", "head", *_BLOCKS):
        inner.tail = f" {inner.tail or ''}"
    return "".join(element.itertext())


def _text(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def _holds_data(table: Any) -> bool:
    return next(table.iterdescendants("table", "h1", "h2", "h3", "h4", "ul", "ol"), None) is None


def _is_head(row: Any) -> bool:
    return all(cell.tag == "th" for cell in row.iterchildren())


def _heads(rows: list[Any]) -> list[Any]:
    """Return the rows of column names. Statements of accounts mark none: theirs end with the one that names the periods, and are marked."""
    if marked := list(takewhile(_is_head, rows)):
        return marked
    heads = []
    for row in [row for row in rows if _text(row)][:_MOST_HEADS]:
        heads.append(row)
        words = [_text(cell) for cell in row.iterchildren("td", "th")]
        if names_periods(["", *words]):
            for cell in chain.from_iterable(heads):
                cell.tag = "th"
            return heads
        if any(map(begins_with_figure, words)):
            break
    return []


def _without_spans(document: Any, name: str, most: int) -> bool:
    """Fill the spans of tables and join their header rows; return whether there were any. Raises DocumentRefused."""
    any_spans, written = False, 0
    for table in list(document.iter("table")):
        if table.xpath(".//table") and table.xpath(".//*[@rowspan]"):
            _make_text(table)
            any_spans = True
            continue
        rows = list(table.iter("tr"))
        spans = table.xpath(".//*[@rowspan or @colspan]")
        widest = _widest(rows) if spans and _holds_data(table) else 0
        if not 0 < widest <= _MOST_COLUMNS:
            continue
        any_spans = True
        heads = _heads(rows)
        groups = groupby(rows, key=lambda row: row.getparent())  # a cell reaches no further than its group
        for size in chain.from_iterable(_fill(list(group), frozenset(heads), widest) for _, group in groups):
            written += size
            if written > most:
                raise DocumentRefused(
                    f'"{name}" has cells that reach over so many others that they would repeat more than {most:,} '
                    f"characters. Split its tables.",
                    reason="too_large",
                )
        if 1 < len(heads) < len(rows):
            columns = zip_longest(*([" ".join(cell.itertext()) for cell in row] for row in heads), fillvalue="")
            names = (" ".join(dict.fromkeys(filter(None, column))) for column in columns)
            heads[0][:] = [_make_cell(heads[0], "th", column_name) for column_name in names]
            for row in heads[1:]:
                row.getparent().remove(row)
    return any_spans


def _make_text(table: Any) -> None:
    """Turn a table around others into text: which of its rows a merged cell is of is lost where they are taken out of it."""
    own = [part for part in table.iter("thead", "tbody", "tfoot", "tr", "td", "th") if _table_of(part) is table]
    for part in (table, *own):
        part.tag = "div"


def _table_of(part: Any) -> Any:
    return next(part.iterancestors("table"))


def _fill(rows: list[Any], heads: Collection[Any], widest: int) -> Iterator[int]:
    # A cell over several rows is repeated in each that has text of its own, so that a row can be understood alone. One
    # over several columns stays in the first and, in a header, is repeated in each.
    above: dict[int, tuple[int, str]] = {}  # by column, the row in which it ends and its words
    for place, row in enumerate(rows):
        own = list(row.iterchildren("td", "th"))
        spread = len(own) > 1 and row in heads  # a name over all columns is that of the table
        if shown := any(words.strip() for cell in own for words in cell.itertext()):
            above = {column: held for column, held in above.items() if held[0] > place}
        below: dict[int, tuple[int, str]] = {}
        cells: list[Any] = []
        for number, cell in enumerate(own, start=1):
            while shown and len(cells) in above:
                cells.append(_make_cell(row, cell.tag, above[len(cells)][1]))
            wide = min(_whole_number(cell, "colspan"), max(widest - len(cells) - (len(own) - number), 1))
            words = _text(cell)
            again = words if len(words) <= _REPEATED else ""
            reach = [again, *[again if spread else ""] * (wide - 1)]
            below |= {
                len(cells) + at: (place + _whole_number(cell, "rowspan"), words_below)
                for at, words_below in enumerate(reach)
            }
            cells += [cell, *(_make_cell(row, cell.tag, repeated) for repeated in reach[1:])]
            for attribute in ("rowspan", "colspan"):
                cell.attrib.pop(attribute, None)
        if shown:
            cells += [
                _make_cell(row, "td", above.get(at, (0, ""))[1]) for at in range(len(cells), max(above, default=-1) + 1)
            ]
            row[:] = cells
            yield sum(len(cell.text or "") + 1 for cell in set(cells).difference(own))
        above |= below


def _widest(rows: list[Any]) -> int:
    # It bounds `colspan`, which a page may set to anything
    change = [0] * (len(rows) + 1)
    for place, row in enumerate(rows):
        for cell in row.iterchildren("td", "th"):
            change[place] += 1
            change[min(place + _whole_number(cell, "rowspan"), len(rows))] -= 1
    return max(accumulate(change))


def _whole_number(element: Any, attribute: str, default: int = 1, *, least: int = 1) -> int:
    number = element.get(attribute, "")[:5]
    return max(int(number), least) if number.isdecimal() else default


def _make_cell(row: Any, tag: str, words: str) -> Any:
    cell = row.makeelement(tag)
    cell.text = words
    return cell
