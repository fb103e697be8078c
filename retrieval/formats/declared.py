"""Texts that declare their encoding, as pages and mails do, and often a wrong one."""

import codecs
import re
from contextlib import suppress

from retrieval.formats.text_blocks import BOMS, decode

# Part of the version of each parser that reads such texts
DECLARED_VERSION = 0
_SAID_AND_MEANT = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}


def decode_declared(content: bytes, name: str, declared: str) -> str:
    """Decode a text by the encoding that it declares where that is known and fits, else as `decode` does, which also raises."""
    if not content.startswith(tuple(mark for mark, _ in BOMS)):
        # By its superset, as in browsers (WHATWG, Encoding Standard)
        with suppress(LookupError, UnicodeError, ValueError):
            codec = codecs.lookup(declared).name
            return _utf8_after_all(content, content.decode(_SAID_AND_MEANT.get(codec, codec)))
    return decode(content, name)


def _utf8_after_all(content: bytes, text: str) -> str:
    """Return `content` as UTF-8 where it can be nothing else, whatever was declared; else `text`, read as declared."""
    with suppress(UnicodeDecodeError):
        utf8 = content.decode("utf-8")
        # By chance only a few characters are: a letter and a sign at a word's end ("CAFÉ®"), or narrow kana
        runs = re.findall(r"[^\x00-\x7f]+", text)
        by_chance = all(re.fullmatch(r"[^\W\d_][®™©°»”’…–—]|[\uff61-\uff9f]+", run) for run in runs)
        letters = set(re.findall(r"[^\x00-\x7f]", utf8))
        if letters and (len(letters) > 3 or not by_chance):
            return utf8
    return text
