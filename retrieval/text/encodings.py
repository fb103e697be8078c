"""Text in the encodings of old programs, recognised by its letters.

Where the output changes, raise `TEXT_VERSION` of `retrieval/formats/text_blocks.py`.
"""

import codecs
import re
import string
import unicodedata
from collections import Counter

_MARKS = frozenset("¡¿“”„‘’‚–—…«»‹›€°§£©®™·•²³ºª\xa0")  # noqa: RUF001 - these are meant
# The letters besides ASCII of languages in Latin script, with the encodings in use for them
_ALPHABETS = tuple(
    (frozenset(letters + letters.upper()) | _MARKS, encodings)
    for letters, encodings in (
        ("äöüßàâçéèêëîïôùûœñáíóúå", ("cp1252",)),  # German, French, Spanish, Swedish
        ("àèéìòùîü", ("cp1252",)),  # Italian
        ("áâãàçéêíóôõúü", ("cp1252",)),  # Portuguese
        ("æøåéäöðþáíóúý", ("cp1252",)),  # Danish, Norwegian, Icelandic
        ("ąćęłńóśźż", ("cp1250", "iso8859-2")),  # Polish
        ("áäčďéěíĺľňóôŕřšťúůýžöü", ("cp1250", "iso8859-2")),  # Czech, Slovak
        ("áéíóöőúüű", ("cp1250", "iso8859-2")),  # Hungarian
        ("čćđšž", ("cp1250", "iso8859-2")),  # Croatian, Slovene
        ("ăâîşţ", ("cp1250", "iso8859-2")),  # Romanian
        ("çğıöşüâîûİ", ("cp1254",)),  # Turkish
        ("ąčęėįšųūžāēģīķļņõäöü", ("cp1257",)),  # Lithuanian, Latvian, Estonian
        ("äöüßàâçéèêëîïôùûñáíóúå", ("cp850",)),  # the first, as DOS wrote them
        ("äöüßàâãçéèêëîïôõœùûñáíóúåæø", ("mac_roman",)),  # the western ones, as a Macintosh did
    )
)
_LETTER = "[^\\W\\d_¹²³]"
# Marks in places where only a wrong encoding puts them: Polish "ł", "ż" and "Ł" read as western "³", "¿" and "£", or
# "ö" and "ä" of DOS as quotation marks.
_MISPLACED = re.compile(
    r"[¡¿“”„‚«‹»›€°§£©®™²³ºª](?:"  # noqa: RUF001 - these are meant; first, as a search for one of a set is fast
    rf"(?<={_LETTER}.)(?={_LETTER})"
    rf"|(?<=[²³®ºª])(?={_LETTER})"
    rf"|(?<={_LETTER}{{3}}[ºª])"
    rf"|(?<={_LETTER}[²³])(?<!\b[A-Ya-y].)(?<!\b[cdhkmnNS]m.)(?<!\bft.)(?<!\bin.)"  # they follow units only
    rf"|(?<=£)(?!(?:[km]|bn)\b)(?={_LETTER})"
    r"|(?<=¿)(?!(?:(?![.!?]\s)[^¿]){1,300}\?))"
)
_ASCII = bytes(range(128))
_ASCII_LETTERS = string.ascii_letters.encode()
# Share of the non-ASCII letters that must be of one alphabet; the rest are foreign names
_FITS = 0.98


def decode_unmarked(content: bytes) -> str | None:
    """Decode UTF-16 or UTF-32 without a mark: its characters are readable and of few blocks. Else return `None`."""
    sample = content[:4096]
    blocks_by_encoding: dict[str, int] = {}
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample)  # the sample may end within a character
        except UnicodeDecodeError:
            continue
        readable = sum(letter in "\n\r\t" or unicodedata.category(letter)[0] in "LMNPSZ" for letter in text)
        if "\0" not in text and text and readable >= _FITS * len(text) and any(map(str.isascii, text)):
            blocks_by_encoding[encoding] = len({ord(letter) >> 8 for letter in text})
    if not blocks_by_encoding:
        return None
    return content.decode(min(blocks_by_encoding, key=blocks_by_encoding.__getitem__), "replace")


def decode_latin(content: bytes) -> str | None:
    """Decode a language in Latin script by its alphabet and the fewest misplaced marks, or return `None`."""
    # guesses by frequency mistake French for Baltic and Polish for French; all encodings have one byte per letter
    counts = Counter(content.translate(None, _ASCII))
    plain = len(content) - len(content.translate(None, _ASCII_LETTERS))
    misplaced: dict[str, int] = {}
    best, encoding_found = -1, None
    for alphabet, encodings in _ALPHABETS:
        for encoding in encodings:
            try:
                foreign = dict(zip(bytes(counts).decode(encoding), counts.values(), strict=True))
            except UnicodeDecodeError:
                continue
            fits = sum(count for letter, count in foreign.items() if letter in alphabet)
            letters = sum(count for letter, count in foreign.items() if letter.isalpha() and letter not in _MARKS)
            if fits < _FITS * counts.total() or 2 * letters > plain:
                continue
            if encoding not in misplaced:
                misplaced[encoding] = len(_MISPLACED.findall(content.decode(encoding)))
            if fits - misplaced[encoding] > best:
                best, encoding_found = fits - misplaced[encoding], encoding
    return None if encoding_found is None else content.decode(encoding_found)


def decode_shifts(content: bytes) -> str | None:
    """Decode Japanese, Chinese or Korean in seven bits with escape sequences, as in mails, or return `None`."""
    if b"\x1b$" not in content or not content.isascii():
        return None
    for encoding in ("iso2022_kr",) if b"\x1b$)C" in content else ("iso2022_jp_2", "iso2022_jp_3"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None
