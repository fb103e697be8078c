"""Quantities in a text: figures with units, number words, dates and times, in several languages.

A number with two readings, as "1.500" in English and German, keeps both, so that comparisons do not fail for the
notation. CLDR's data (babel) parse numbers of a known language; here it is unknown, and a sentence may mix two.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from foundation.text.tokens import latin_digits

# Spellings of units, by dimension and factor to its smallest unit
_SPELLINGS: dict[str, dict[float, str]] = {
    "time": {
        0.001: "ms millisecond milliseconds millisekunden milisegundos миллисекунд 毫秒",
        1: "s sec secs second seconds sekunde sekunden segundo segundos секунда секунды секунд 秒",
        60: "min mins minute minutes minuten minuto minutos минута минуты минут 分钟",
        3600: "h hr hrs hour hours stunde stunden hora horas час часа часов 小时",
        86400: "day days tag tage tagen día dia días dias день дня дней 天 日",
        604800: "week weeks woche wochen semana semanas неделя недели недель 周 星期",
    },
    "months": {
        1: "month months monat monate monaten mes meses месяц месяца месяцев 个月",
        12: "year years yr yrs jahr jahre jahren año años год года лет 年",
        120: "decade decades jahrzehnt jahrzehnte jahrzehnten década décadas десятилетие десятилетия",
        1200: "century centuries jahrhundert jahrhunderte siglo siglos век века веков 世纪",
    },
    "percent": {1: "% percent percentage pct prozent porciento процент процента процентов 百分"},
    "usd": {1: "$ usd us$ dollar dollars dólar dólares долларов доллара доллар 美元", 0.01: "cent cents"},
    "eur": {1: "€ eur euro euros евро 欧元"},
    "gbp": {1: "£ gbp pound pounds pfund libra libras фунтов фунта 英镑"},
    "length": {
        0.001: "mm millimetre millimetres millimeter millimeters",
        0.01: "cm centimetre centimetres centimeter centimeters",
        1: "m metre metres meter meters metern metro metros метр метра метров 米",
        1000: "km kilometre kilometres kilometer kilometers kilometern kilómetro kilómetros км километр километра километров 公里 千米",
        0.3048: "ft foot feet",
        1609.344: "mi mile miles meile meilen milla millas миля мили миль 英里",
    },
    "mass": {
        1: "g gram grams gramm gramo gramos грамм",
        1000: "kg kilogram kilograms kilogramm kilo kilos кг килограмм 公斤 千克",
        1_000_000: "t tonne tonnes tonnen tonelada toneladas тонн тонны 吨",
        453.592: "lb lbs",
    },
    "bytes": {1: "byte bytes", 1e3: "kb", 1e6: "mb", 1e9: "gb", 1e12: "tb"},
    "tokens": {1: "token tokens"},
}
_UNITS = {
    spelling: (dimension, factor)
    for dimension, units in _SPELLINGS.items()
    for factor, spellings in units.items()
    for spelling in spellings.split()
}

_POWERS = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "millions": 1e6, "m": 1e6, "mn": 1e6, "mio": 1e6, "billion": 1e9,
    "bn": 1e9, "b": 1e9, "trillion": 1e12, "dozen": 12.0, "tausend": 1e3, "millionen": 1e6, "milliarde": 1e9, "milliarden": 1e9,
    "mrd": 1e9, "mil": 1e3, "millón": 1e6, "millones": 1e6, "тысяч": 1e3, "тысячи": 1e3, "тысяча": 1e3, "тыс": 1e3, "миллион": 1e6,
    "миллиона": 1e6, "миллионов": 1e6, "млн": 1e6, "миллиард": 1e9, "миллиарда": 1e9, "миллиардов": 1e9, "млрд": 1e9, "万": 1e4,
    "亿": 1e8, "百万": 1e6, "千": 1e3,
}  # fmt: skip
_WORDS: dict[str, float] = {}
for _list in (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty",
    "null _ zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig",
    "cero _ dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve veinte",
    "ноль _ два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать",
    "_ _ две трёх четырёх пяти шести семи восьми девяти десяти",
    "_ _ двух трех четырех",
    "_ first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
    "_ once twice thrice",
):
    _WORDS |= {word: float(value) for value, word in enumerate(_list.split()) if word != "_"}
for _list in (
    "thirty forty fifty sixty seventy eighty ninety",
    "dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "treinta cuarenta cincuenta sesenta setenta ochenta noventa",
):
    _WORDS |= {word: float(10 * value) for value, word in enumerate(_list.split(), 3)}
_MONTHS: dict[str, int] = {}
for _list in (
    "january february march april may june july august september october november december",
    "jan feb mar apr may jun jul aug sep oct nov dec",
    "_ _ _ _ _ _ _ _ sept",
    "januar februar märz _ mai juni juli _ _ oktober _ dezember",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "январе феврале марте апреле мае июне июле августе сентябре октябре ноябре декабре",
):
    _MONTHS |= {word: place for place, word in enumerate(_list.split(), 1) if word != "_"}

EVERY_MONTH = frozenset(_MONTHS)
_NUMBER = re.compile(r"\d{1,3}(?:([,.'’\u00a0\u202f\u2009 ])\d{3})(?:\1\d{3})*(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)*")
_DECIMAL_COMMA = re.compile(r"\d,\d{1,2}(?!\d)|\.\d{3},\d|\d\.\d{3}\.\d{3}")
_YEAR_BEFORE = re.compile(r"\b(\d\d)\d\d\s?[-/–]\s?$")
# The character before a number that is part of a name: GPT-4, B12
_IN_NAME = re.compile(r"[^\W\d_\u3040-\u9fff][-.]?$")
_TIME = re.compile(
    r"(?<![\d:.])([01]?\d|2[0-4])(?:[:.]([0-5]\d))?\s?(a\.?m\b|p\.?m\b|uhr\b|o['’]clock)|(?<![\d:])([01]?\d|2[0-4]):([0-5]\d)(?::00)?(?![\d:])",
    re.IGNORECASE,
)
_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})(?:[-/]|年)(\d{1,2})(?:(?:[-/]|月)(\d{1,2}))?(?!\d)")
_DAY_FIRST = re.compile(r"(?<![\d.])(\d{1,2})[./](\d{1,2})[./](\d{4})(?!\d)")
_MONTH_DAY = re.compile(r"(?<!\d)(\d{1,2})月(\d{1,2})日")
_NAMED_MONTH = re.compile(
    rf"(?<!\w)(?:(\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+|de\s+)?)?({'|'.join(sorted(_MONTHS, key=len, reverse=True))})\b\.?"
    r"(?:\s+(\d{1,2})(?:st|nd|rd|th)?(?![\d:]))?",
    re.IGNORECASE,
)
# Months that are other words where they are in lower case and name no day
_ALSO_WORDS = ("may", "march", "mar", "mai", "mayo", "jan", "jun")
_BEFORE_MAY = re.compile(
    r"\b(?:in|of|since|until|by|early|late|mid|last|this|next|from|to|and|during)[\s-]$", re.IGNORECASE
)
_AFTER = re.compile(
    r"(?:(?:st|nd|rd|th)\b)?[\s-]?(百万|个月|毫秒|分钟|小时|星期|世纪|美元|欧元|英镑|公里|千米|英里|公斤|千克|[%€$£]|[天日周年秒米吨万亿千]|[^\W\d_]+\$?)"
)
_CURRENCY = re.compile(r"(?:us|US)?([$€£])\s?$|\b(usd|eur|gbp|USD|EUR|GBP)\s$")
_SPELLED = re.compile(
    rf"(?<!\w)(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})(?!\w)(?:[\s-]+(?:and\s+)?(?:{'|'.join(sorted({*_WORDS, *_POWERS} - {'k', 'm', 'b', 'bn', 'mn'}, key=len, reverse=True))})(?!\w))*",
    re.IGNORECASE,
)
_ZH_NUMERAL = re.compile(
    r"(百分之)([零〇一二两三四五六七八九十百千]+)|(?:(?<!百分)(?<![零〇一二两三四五六七八九十百千])|(?<=百分[零〇一二两三四五六七八九十百千]))([零〇一二两三四五六七八九十百千]+)(?=[个天日周年秒米吨万亿千名人次月位种家座条岁美欧英公小分])"
)
_ZH_DIGITS = {
    c: n for n, chars in enumerate(("零〇", "一", "二两", "三", "四", "五", "六", "七", "八", "九")) for c in chars
}
_ZH_POWERS = {"十": 10, "百": 100, "千": 1000}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a text: `text[start:end]`, with its unit."""

    start: int
    end: int
    readings: frozenset[float]
    """The values that the notation may mean, in the smallest unit of the dimension."""
    dimension: str = ""
    """The dimension of its unit; `month`, `day` or `clock` for dates and times; empty: unknown."""
    factor: float = 1.0
    """Size of the written unit in the smallest one."""
    spelled: bool = False
    """Whether it is written as a word: "two"."""


def read_quantities(text: str, *, english: bool = False) -> list[Quantity]:
    """Return the quantities of a text in order. In `english`, "1.125" has one reading, unless another number is written with a
    decimal comma.

    >>> [(q.dimension, sorted(q.readings)) for q in read_quantities("14 days, 1,500 km, 2 pm on March 3")]
    [('time', [1209600.0]), ('length', [1500.0, 1500000.0]), ('clock', [840.0]), ('month', [3.0]), ('day', [303.0])]
    """
    text = latin_digits(text)
    english = english and not _DECIMAL_COMMA.search(text)
    quantities = list(_dates_and_times(text))
    covered = {place for quantity in quantities for place in range(quantity.start, quantity.end)}
    figures = [match for match in _NUMBER.finditer(text) if _is_free(match, covered)]
    alone = [match for match in figures if not _IN_NAME.search(text, max(0, match.start() - 2), match.start())]
    quantities += [_figure(text, match, english=english) for match in alone]
    quantities += [*_read_spelled(text, covered), *_read_chinese(text)]
    return sorted(quantities, key=lambda quantity: (quantity.start, quantity.dimension != "month"))


def _dates_and_times(text: str) -> Iterator[Quantity]:
    times: set[int] = set()
    for match in _TIME.finditer(text):
        times.update(range(*match.span()))
        hour, minute = int(match[1] or match[4]), int(match[2] or match[5] or 0)
        half = (match[3] or "").lower()[:1]
        if half in ("a", "p"):
            hour = hour % 12 + 12 * (half == "p")
        yield Quantity(*match.span(), frozenset({float(hour * 60 + minute)}), "clock")
    for start, end, month, day in _dates(text):
        if times.isdisjoint(range(start, end)):
            yield Quantity(start, end, frozenset({float(month)}), "month")
            if day:
                yield Quantity(start, end, frozenset({float(100 * month + day)}), "day")
    for dates, year in ((_YEAR_FIRST, 1), (_DAY_FIRST, 3)):
        yield from (Quantity(*match.span(year), frozenset({float(match[year])})) for match in dates.finditer(text))


def _read_spelled(text: str, covered: set[int]) -> Iterator[Quantity]:
    for match in _SPELLED.finditer(text):
        if _is_free(match, covered):
            dimension, power, factor, end = _unit_after(text, match.end())
            value = frozenset({_spelled_value(match[0]) * power * factor})
            yield Quantity(match.start(), end, value, dimension, factor, spelled=True)


def _read_chinese(text: str) -> Iterator[Quantity]:
    for match in _ZH_NUMERAL.finditer(text):
        dimension, power, factor, end = _unit_after(text, match.end())
        if match[1]:
            dimension, power, factor = "percent", 1.0, 1.0
        value = frozenset({_zh_value(match[2] or match[3]) * power * factor})
        yield Quantity(match.start(), end, value, dimension, factor, spelled=True)


def _is_free(match: re.Match[str], covered: set[int]) -> bool:
    return covered.isdisjoint(range(*match.span()))


def _dates(text: str) -> Iterator[tuple[int, int, int, int]]:
    for match in _YEAR_FIRST.finditer(text):
        if 1 <= int(match[2]) <= 12:
            yield *match.span(), int(match[2]), int(match[3] or 0)
    for match in _DAY_FIRST.finditer(text):
        day, month = int(match[1]), int(match[2])
        yield *match.span(), *((day, month)[::-1] if month <= 12 else (day, month))
    for match in _MONTH_DAY.finditer(text):
        yield *match.span(), int(match[1]), int(match[2])
    for match in _NAMED_MONTH.finditer(text):
        name, written = match[2], match[1] or match[3]
        before_may = _BEFORE_MAY.search(text, max(0, match.start() - 9), match.start())
        word = name in _ALSO_WORDS or (name.lower() == "may" and not before_may)
        if written or not word:
            yield *match.span(), _MONTHS[name.lower()], int(written or 0)


def _figure(text: str, match: re.Match[str], *, english: bool) -> Quantity:
    dimension, power, factor, end = _unit_after(text, match.end())
    start = match.start()
    readings = _readings(match[0], english=english)
    if short := _YEAR_BEFORE.search(text, max(0, start - 8), start):  # 1998-99
        readings |= {float(short[1] + match[0])} if len(match[0]) == 2 else set()
    if currency := _CURRENCY.search(text, max(0, start - 5), start):
        sign = (currency[1] or currency[2]).lower()
        dimension, start = _UNITS[sign][0], currency.start()
    return Quantity(start, end, frozenset(value * power * factor for value in readings), dimension, factor)


def _readings(number: str, *, english: bool = False) -> set[float]:
    """Return the values that a number has in the notations of different countries.

    >>> sorted(_readings("1.500")), sorted(_readings("1,234.5")), sorted(_readings("10,000,000"))
    ([1.5, 1500.0], [1234.5], [10000000.0])
    """
    plain = re.sub(r"['’\u00a0\u202f\u2009 ]", "", number)
    signs, joined = re.findall("[.,]", plain), float(re.sub("[.,]", "", plain))
    if not signs:
        return {joined}
    decimals = plain.rpartition(signs[-1])[2]
    parted = float(f"{re.sub('[.,]', '', plain.removesuffix(decimals))}.{decimals}")
    if len(signs) > 1:
        return {parted if len(set(signs)) > 1 else joined}
    if len(decimals) == 3 and english:
        return {parted if signs == ["."] else joined}
    return {parted, joined} if len(decimals) == 3 else {parted}


def _unit_after(text: str, end: int) -> tuple[str, float, float, int]:
    """Return dimension, power, unit factor and end of the words after a number: "million km"."""
    power = 1.0
    for _ in range(3):
        match = _AFTER.match(text, end)
        if match is None:
            break
        word = match[1].lower()
        if word in _POWERS and (
            len(word) > 1
            or (match[1] in "kKMBm万亿千" and match.start(1) == end and not match[1].islower())
            or word == "k"
        ):
            power, end = power * _POWERS[word], match.end()
            continue
        if word in _UNITS:
            dimension, unit = _UNITS[word]
            return dimension, power, unit, match.end()
        break
    return "", power, 1.0, end


def _spelled_value(words: str) -> float:
    total = current = 0.0
    for word in re.split(r"[\s-]+", words.lower()):
        if word in _WORDS:
            current += _WORDS[word]
        elif word in _POWERS:
            current = max(current, 1.0) * _POWERS[word]
            if _POWERS[word] >= 1000:
                total, current = total + current, 0.0
    return total + current


def _zh_value(numeral: str) -> float:
    total = digit = 0
    if not any(char in _ZH_POWERS for char in numeral):
        return float("".join(str(_ZH_DIGITS[char]) for char in numeral))
    for char in numeral:
        if char in _ZH_POWERS:
            total, digit = total + max(digit, 1) * _ZH_POWERS[char], 0
        else:
            digit = _ZH_DIGITS[char]
    return float(total + digit)
