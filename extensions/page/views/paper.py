"""The text of a document as a page: headings, paragraphs, lists, code and tables, with the cited span marked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from nicegui import html

from retrieval.documents import Block, Parsed, Table
from retrieval.formats.text_blocks import cell_spans
from serving.api.documents import DocumentText

# elements of blocks, and of several of one kind; headings are below that of the panel, whatever their level
ELEMENTS = {"heading": html.h3, "paragraph": html.p, "item": html.li, "row": html.div, "code": html.pre}
KINDS = dict.fromkeys(ELEMENTS, html.div) | {"item": html.ul}
# Most columns, and cells, of what is shown as tables: a short text may be thousands of rows of nearly empty cells, each an element
WIDEST, CELLS = 50, 3_000
Span = tuple[int, int]


class Paper:
    """A part of a document's text; `marked` are the characters that are cited. It shows nothing before `build`."""

    def __init__(self, shown: DocumentText, parsed: Parsed, marked: Span) -> None:
        self._shown, self._marked = shown, marked
        places = [place for place, it in enumerate(parsed.blocks) if it.end > shown.start and it.start < shown.end]
        self._blocks = [parsed.blocks[place] for place in places]
        self._rows = dict(find_rows(parsed, range(places[0], places[-1] + 1))) if places else {}
        self._page: int | None = None

    def build(self) -> None:
        for (kind, first), alike in groupby(fill_gaps(self._shown, self._blocks), key=self._kind):
            if first is not None:
                self._build_table(list(alike))
                continue
            with KINDS[kind]().classes(f"of-{kind}"):
                for block in alike:
                    self._say_page(block)
                    with ELEMENTS[block.kind]().classes(f"level-{block.level}" if block.level else ""):
                        self._show_text(block.start, block.end)

    def _kind(self, block: Block) -> tuple[str, int | None]:
        row = self._rows.get((block.start, block.end))
        return block.kind, row[0].first if row else None

    def _say_page(self, block: Block) -> None:
        if block.page not in (None, self._page):
            self._page = block.page
            html.span(f"Page {block.page}").classes("page")

    def _build_table(self, blocks: Sequence[Block]) -> None:
        self._say_page(blocks[0])
        rows = [self._rows[block.start, block.end] for block in blocks]
        names, width = rows[0][0].names, max(len(cells) for _, cells in rows)
        heads = [*names, *[""] * (width - len(names))]
        with html.div().classes("scroll").props('tabindex=0 role=group aria-label="Table"'), html.table():
            if names:
                with html.thead(), html.tr():
                    for name in heads:
                        html.th(name).props("scope=col") if name else html.td()
            with html.tbody():
                for block, (_, cells) in zip(blocks, rows, strict=True):
                    with html.tr():
                        self._show_row(block, cells, len(heads))

    def _show_row(self, block: Block, cells: Sequence[Span], width: int) -> None:
        if self._marks(block.start, block.end) and not any(self._marks(*cell) for cell in cells):
            with html.td().props(f"colspan={width}"):  # the name of a column is cited, and stands in the line alone
                self._show_text(block.start, block.end)
            return
        for cell in [*cells, *[(block.end, block.end)] * (width - len(cells))]:
            with html.td():
                self._show_text(*cell)

    def _marks(self, start: int, end: int) -> bool:
        return max(start, self._marked[0]) < min(end, self._marked[1])

    def _show_text(self, start: int, end: int) -> None:
        for element, text in zip((html.span, html.mark, html.span), self._cut(start, end), strict=True):
            if text:
                element(text)

    def _cut(self, start: int, end: int) -> tuple[str, ...]:
        """Return what of these characters stands before the cited span, in it and behind it."""
        edges = [start, *(min(max(at, start), end) for at in self._marked), end]
        text, first = self._shown.text, self._shown.start
        return tuple(text[at - first : to - first] for at, to in pairwise(edges))

    def cited_lines(self, page: int) -> list[str]:
        """Return what is cited as it stands on the page: a row of a table without the names of its columns."""
        cited = [it for it in self._blocks if self._marks(it.start, it.end) and it.page in (None, page)]
        rows = [
            self._rows[it.start, it.end][1] if (it.start, it.end) in self._rows else [(it.start, it.end)]
            for it in cited
        ]
        return [" ".join(filter(None, (self._cut(*cell)[1] for cell in row))) for row in rows]


def find_rows(parsed: Parsed, places: range) -> Iterator[tuple[Span, tuple[Table, list[Span]]]]:
    """Yield the span of each row of a table among the blocks at these places, with its table and the spans of its cells; at most `CELLS`."""
    shown = 0
    for table in parsed.tables:
        own = range(max(table.first, places.start), min(table.first + len(table.widths), places.stop))
        width = max(map(len, (table.names, *(table.widths[place - table.first] for place in own))))
        if width > WIDEST:
            continue
        for place in own:
            shown += width
            if shown > CELLS:
                return
            block = parsed.blocks[place]
            cells = cell_spans(table.names, table.widths[place - table.first])
            yield (block.start, block.end), (table, [(block.start + start, block.start + end) for start, end in cells])


def fill_gaps(shown: DocumentText, blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield the blocks of the shown text, cut at its ends, and what stands between two of them as paragraphs."""
    at = shown.start
    for block in [*blocks, Block("paragraph", shown.end, shown.end)]:
        start, end = max(block.start, shown.start), min(block.end, shown.end)
        if shown.text[at - shown.start : start - shown.start].strip():
            yield Block("paragraph", at, start)
        if end > start:
            yield replace(block, start=start, end=end)
        at = end
