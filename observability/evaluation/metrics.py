"""Measures of answers without a judge: comparisons with gold strings and gold documents, checkable by hand."""

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])"
)
_ZEROS = re.compile(r"(?<=\d)\.00(?!\d)")
_THOUSANDS = re.compile(r"(?<=\d)[.,'’](?=\d{3}(?!\d))")
_IN_FIGURES = re.compile(r"(?<=\d)[^\w\s](?=\d)|(?<!\w)[-–−](?=\d)")  # noqa: RUF001 - signs of minus are meant
Numbers = npt.NDArray[np.float64]
RESAMPLES = 2000
# Maximum values drawn in one call of numpy
AT_ONCE = 1_000_000


def tokens(text: str) -> list[str]:
    """Return the words of the normalised text. Amounts are equal with and without trailing zeros and thousands separators.

    >>> tokens("The print-head costs $1,064.00!"), tokens("1.5 mg, not 15 mg")
    (['printhead', 'costs', '1064'], ['1¦5', 'mg', 'not', '15', 'mg'])
    """
    text = _THOUSANDS.sub("", _ZEROS.sub("", unicodedata.normalize("NFKC", text).lower()))
    plain = "".join(
        char
        # what stands within a figure stays, as one sign: without it 1.5 would be 15, and 3-5 days 35
        for char in _IN_FIGURES.sub("¦", text)
        if char not in string.punctuation and not unicodedata.category(char).startswith("P")
    )
    # as SQuAD does (Rajpurkar et al. 2016); in scripts without spaces a character is a word (MLQA)
    return _UNSPACED.sub(r" \1 ", _ARTICLES.sub(" ", plain)).split()


def without_markers(text: str, markers: Iterable[int]) -> str:
    """Return the text without citation markers, which are not part of the answer's words.

    >>> without_markers("Thirty days [1], see [5].", [1])
    'Thirty days , see [5].'
    """
    for marker in set(markers):
        text = text.replace(f"[{marker}]", "")
    return text


def contains(text: str, golds: Iterable[str]) -> bool:
    """Whether the text contains one of the gold strings, word for word after normalisation.

    >>> contains("You have 30 days.", ["30 days", "a month"]), contains("You have 130 days.", ["30 days"])
    (True, False)
    """
    text_words = f" {' '.join(tokens(text))} "
    return any(f" {' '.join(wanted)} " in text_words for gold in golds if (wanted := tokens(gold)))


def token_f1(text: str, golds: Iterable[str]) -> float:
    """Return the harmonic mean of word precision and recall against the best gold string, 0 to 1."""
    words = Counter(tokens(text))
    counts = [Counter(tokens(gold)) for gold in golds]
    # twice what is common over both lengths: the harmonic mean, shortened
    return max((2 * (words & gold).total() / ((words + gold).total() or 1) for gold in counts), default=0.0)


def precision(retrieved: Collection[str], gold: Collection[str]) -> float | None:
    """Return the share of the found documents that are gold; `None` where nothing was found."""
    distinct = set(retrieved)
    return len(distinct & set(gold)) / len(distinct) if distinct else None


def recall(retrieved: Collection[str], gold: Collection[str]) -> float | None:
    """Return the share of the gold documents that were found; `None` where there is no gold document."""
    distinct = set(gold)
    return len(distinct & set(retrieved)) / len(distinct) if distinct else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval and the number of cases. Without cases, all are `None` and `n` is 0."""

    mean: float | None
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(values: Iterable[float | None], *, seed: int = 7, share: bool = True) -> Estimate:
    """Return the mean of the values that are not `None`, and its interval over the choice of cases: Wilson's (1927) of a
    share of zeros and ones, which keeps a width where all are equal; else the percentile bootstrap (Efron 1979).
    """
    numbers = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(numbers):
        return Estimate(None, None, None, 0)
    if share and np.isin(numbers, (0, 1)).all():
        low, high = share_interval(float(numbers.mean()), len(numbers))
    else:
        low, high = np.percentile(resample_means(numbers, seed=seed), [2.5, 97.5])
    return Estimate(float(numbers.mean()), float(low), float(high), len(numbers))


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's (1927) interval of 95 % of a share of `n` cases; of a mean of values between 0 and 1 it is at least that wide.

    >>> [round(end, 2) for end in share_interval(1.0, 2)]
    [0.34, 1.0]
    """
    # by hand: scipy.stats takes 0.7 s to import, a fifth of a short evaluation
    z_squared = NormalDist().inv_cdf(0.975) ** 2
    half = math.sqrt(z_squared * (n * share * (1 - share) + z_squared / 4))
    middle = n * share + z_squared / 2
    return max(0.0, (middle - half) / (n + z_squared)), min(1.0, (middle + half) / (n + z_squared))


def draws(count: int, *, seed: int | np.random.Generator, resamples: int = RESAMPLES) -> Iterator[npt.NDArray[np.int_]]:
    """Yield the places of `resamples` samples with replacement, a row a sample."""
    random = np.random.default_rng(seed)
    # in blocks: all draws at once would take gigabytes for a long list
    rows = max(1, AT_ONCE // count)
    return (random.integers(0, count, (min(rows, resamples - done), count)) for done in range(0, resamples, rows))


def interval_of(
    figure: Callable[[npt.NDArray[np.int_]], Numbers], n: int, *, seed: int
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a figure over the choice of `n` cases, by the percentile bootstrap (Efron 1979); nothing of a single case,
    and of a figure that no sample has. BCa is undefined where no pair differs, which is the best case of a change.
    """
    drawn = np.concatenate([figure(at) for at in draws(n, seed=seed)]) if n > 1 else np.empty(0)
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return None, None
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def resample_means(numbers: npt.NDArray[np.float64], *, seed: int | np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the means of bootstrap samples."""
    return np.concatenate([numbers[block].mean(axis=1) for block in draws(len(numbers), seed=seed)])


def is_same_value(expected: object, actual: object) -> bool:
    """Compare numbers by value and single words by letters. Free text (a reason, a subject) must only be there."""
    try:
        return float(str(expected)) == float(str(actual))
    except ValueError:
        words = tokens(str(expected))
        actual_words = [] if actual is None else tokens(str(actual))
        return bool(actual_words) if len(words) > 1 else words == actual_words
