# ruff: noqa: RUF001 - words of many scripts are the subject
"""Contradictions of a claim and its passages: a word changed in a near-copy, a denial, an opposite.

All are found by rules and can be explained to the writer. A claim that the passages merely do not state is left to a judge.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from extensions.claims.figures import are_equal
from extensions.claims.names import is_known
from extensions.claims.texts import Text, tokens_of
from foundation.text.lexical import FUNCTION_WORDS, terms, words

# Share of a claim's terms from which a sentence says nearly the same, so that a difference contradicts
_SAYS_THE_SAME = 0.6
# The same share, where it is of several sentences together
_SAY_TOGETHER = 0.75
# The same share, where both have the denied words
_ABOUT_THE_SAME = 0.45
# Content words on either side of a denial or comparison, by which its place is searched in the passages
_NEIGHBOURS = 4
# Share of them from which it is the same place, and by how much it must be larger than where the passages agree
_SAME_PLACE, _SURELY = 0.4, 0.2
# Words on either side of a term within which a text counts as denying it
_AROUND = 5
# Share of a claim's words from which it is a copy of the sentence with changes
_COPIED = 0.6
# Most words of a change on either side; more make another statement
_MOST_CHANGED = 5
# Most tokens of a sentence that is compared word by word, which takes quadratic time
_MOST_TOKENS = 300
# Number of nearest sentences that a claim may be a copy of
_COPIES = 2
# Words that deny a circumstance and not the predicate
_WITHOUT = frozenset("without ohne sin без".split())  # noqa: SIM905
_CONDITIONS = frozenset("if when unless whether wenn falls ob si cuando если когда".split())  # noqa: SIM905
# Words that a denial before them only limits, so that most of the statement still holds
_NOT_ONLY = frozenset(
    "only just merely simply always necessarily all every everyone guaranteed nur immer sólo solo siempre только всегда 仅 只".split()  # noqa: SIM905
)
_DENIES = re.compile(
    r"\b(?:not|never|none|neither|nor|cannot|without|nobody|nothing(?! but)|nowhere|no)\b|n['’]t\b"
    r"|\b(?:nicht|nie|niemals|kein(?:e[nmrs]?)?|ohne|nichts)\b|\b(?:nunca|jamás|ninguna?|ningún|sin|tampoco)\b"
    r"|\b(?:не|нет|никогда|без|ни)\b|[不没無无未](?!仅|但|过|同|断|久|少|来)",
    re.IGNORECASE,
)
_LEADING_ANSWER = re.compile(
    r"\A\W*(?:(?:yes|no|nein|ja|sí|si|да|нет)\b|是的|不是|不|是)\s*[,.;:!，。–—-]\s*", re.IGNORECASE
)
# Words of negative meaning; near one of them, the rules do not decide
_NEGATIVE_MEANING = re.compile(
    r"\b(?:un(?!it|iv|der|til|ion|iq|less)\w{4,}|in(?:correct|valid|sufficient|complete|active|ability|eligible|accessible|capable)\w*"
    r"|im(?:possible|proper)\w*|dis(?!t|cu|cov|pla|ea|tri)\w{4,}|non\w*|fail\w*|lack\w*|except\w*|exclud\w*|prohibit\w*|forbid\w*"
    r"|prevent\w*|refus\w*|den(?:y|ie\w*)|avoid\w*|stop\w*|reject\w*|restrict\w*|limit\w*|optional\w*|only|unless|until|instead|rather"
    r"|but|although|though|however|hardly|rarely|barely|few|little|no longer|free|missing|absen[tc]e?|lost|los(?:es?|ing)|too|other than"
    r"|difficult|hard|neither|nur|außer|nein|sondern|fehl\w*|s[oó]lo|sino|pero|aunque|только|кроме|но|однако|если)\b|[只仅但除禁拒缺]",
    re.IGNORECASE,
)
# Words and their opposites; a star stands for any ending
_OPPOSITES = """more,greater,higher,larger,bigger/less,fewer,lower,smaller before,earlier/after,later first/last
increas*,elevat*,enhanc*,upregulat*,stimulat*,rais*/decreas*,reduc*,diminish*,suppress*,inhibit*,impair*,attenuat*,downregulat*,lower
above/below most,highest,largest,biggest/least,lowest,smallest always/never maximum/minimum faster/slower longer/shorter
improv*,better/worsen*,worse,impair* best/worst north/south northern/southern east/west eastern/western all/none older/younger
oldest/youngest inside/outside enabl*/disabl*,prevent* allow*,permit*/prohibit*,forbid*,prevent* accept*/reject*,refus* open/closed
includ*/exclud* win/lose won/lost true/false rise/fall rose,grew/fell up/down upper/lower left/right male,males/female,females
positive,positively/negative,negatively strong/weak stronger/weaker required,mandatory/optional start/end begin/end rich/poor
early/late cheap/expensive cheaper/expensive fastest/slowest longest/shortest earliest/latest hot/cold old/new
married/divorced buy/sell gain/lose support/oppos* superior/inferior major/minor effective/ineffective
related/unrelated dependent/independent activat*/inactivat*,deactivat* harmful/beneficial sensitive/resistant
mehr/weniger höher/niedriger größer/kleiner vor/nach erste/letzte über/unter immer/nie maximal/minimal nord/süd ost/west
más/menos mayor/menor antes/después primero/último norte/sur siempre/nunca máximo/mínimo
больше/меньше выше/ниже более/менее первый/последний раньше/позже всегда/никогда север/юг максимум/минимум"""
_OPPOSITE: dict[str, frozenset[str]] = {}
for _group in _OPPOSITES.replace("*", "").split():
    _sides = [frozenset(side.split(",")) for side in _group.split("/")]
    for _side, _word in ((side, word) for side in _sides for word in side):
        _OPPOSITE[_word] = _OPPOSITE.get(_word, frozenset()).union(*_sides) - _side
_STEMS = tuple(re.findall(r"([a-z]+)\*", _OPPOSITES))
# Pairs that tell an order or a whole, which many texts have side by side
_PAIRED = frozenset("before earlier after later all none".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Change:
    """A claim's words in place of those of its passages; `finding` is `figure`, `name` or `denied`."""

    finding: str
    claimed: str
    stated: str


def change_in_copies(claim: Text, sentences: Sequence[Text], evidence: Text) -> Change | None:
    """Return the change in a claim that is nearly a copy of one of the sentences."""
    own = tokens_of(_LEADING_ANSWER.sub("", claim.text))
    for sentence in sentences[:_COPIES]:
        for changed, original in _differences(own, sentence.tokens):
            if finding := _finding(changed, original, claim=claim, sentence=sentence, evidence=evidence):
                return Change(finding, changed.in_context, original.in_context)
    return None


@dataclass(frozen=True, slots=True)
class _Part:
    words: list[str]
    start: int
    following: list[str]
    in_context: str


def _differences(own: list[str], theirs: list[str]) -> Iterator[tuple[_Part, _Part]]:
    if not own or len(own) > _MOST_TOKENS or len(theirs) > _MOST_TOKENS:
        return
    claimed, stated = [word.lower() for word in own], [word.lower() for word in theirs]
    codes = SequenceMatcher(None, claimed, stated, autojunk=False).get_opcodes()
    if sum(b - a for tag, a, b, _, _ in codes if tag == "equal") < _COPIED * len(own):
        return

    def part(tokens: list[str], start: int, end: int) -> _Part:
        return _Part(tokens[start:end], start, tokens[end : end + 1], _join_tokens(tokens[max(0, start - 1) : end + 1]))

    for tag, a, b, c, d in codes:
        if tag != "equal" and b - a <= _MOST_CHANGED and d - c <= _MOST_CHANGED:
            yield part(own, a, b), part(theirs, c, d)


def _finding(changed: _Part, original: _Part, *, claim: Text, sentence: Text, evidence: Text) -> str:
    if _is_denied(changed, original, claim):
        return "denied"
    numbers = [word for word in changed.words if word[0].isdigit()]
    others = [word for word in original.words if word[0].isdigit()]
    if numbers and others and all(_is_missing_from(number, numbers, claim, sentence) for number in others):
        return "figure"
    keys = {_opposite_key(word.lower()) for word in original.words}
    if any(_OPPOSITE.get(_opposite_key(word.lower()), frozenset()) & keys for word in changed.words):
        return "denied"
    unknown = any(_is_name(word) and not is_known(word, evidence) for word in changed.words)
    return "name" if unknown and _has_name(original, sentence, evidence) else ""


def _is_denied(changed: _Part, original: _Part, claim: Text) -> bool:
    """Whether exactly one of the two is a denial, and they are otherwise the same."""
    if _denies(changed.words) == _denies(original.words) or _CONDITIONS & {word.lower() for word in claim.tokens}:
        return False
    both = [*changed.words, *original.words]
    hedged = _NOT_ONLY & {word.lower() for word in [*both, *changed.following, *original.following]}
    same = _content(changed.words) == _content(original.words)
    return same and not hedged and not _NEGATIVE_MEANING.search(" ".join(both))


def _has_name(part: _Part, sentence: Text, evidence: Text) -> bool:
    # A capital at the beginning of a sentence alone makes no name
    names = [word for word in part.words if _is_name(word)]
    if part.start == 0 and names[:1] == sentence.tokens[:1]:
        inside = re.search(rf"[^\W\d_A-Z],? {re.escape(names[0])}\b", evidence.text)
        return len(names) > 1 or inside is not None or any(map(_is_name, part.following))
    return bool(names)


def _denies(tokens: Sequence[str]) -> bool:
    return len(_DENIES.findall(_join_tokens(tokens))) % 2 == 1


def _content(tokens: Sequence[str]) -> frozenset[str]:
    undenied = _DENIES.sub(" ", _join_tokens(tokens)).lower()
    return terms(undenied) - {"n", "t", "not"}


def _join_tokens(tokens: Sequence[str]) -> str:
    return re.sub(r"(?<=[\u3040-\u9fff]) (?=[\u3040-\u9fff])", "", " ".join(tokens))


def _is_name(word: str) -> bool:
    return word[:1].isupper() and word.lower() not in FUNCTION_WORDS


def denial(claim: Text, sentences: Sequence[Text], around: Text, evidence: Text) -> Text | None:
    """Return the sentence that contradicts the claim because exactly one of the two denies the predicate. `around` are the
    sentences with their neighbours.
    """
    stated = Text(_LEADING_ANSWER.sub("", claim.text))
    near = [s for s in sentences if s.share(stated) >= _ABOUT_THE_SAME and not s.text.rstrip().endswith(("?", "？"))]
    alike = [sentence for sentence in near if sentence.share(stated) >= _SAYS_THE_SAME]
    own = _scopes(stated.text)
    for scope in own:
        same = [sentence for sentence in near if scope <= sentence.terms]
        denied = any(_denied_around(scope, sentence, whole=False) for sentence in same)
        if same and not denied and not _denied_around(scope, evidence):
            return same[0]
    said = (
        bool(sentences and own)
        and around.share(stated) >= _SAY_TOGETHER
        and not _NEGATIVE_MEANING.search(sentences[0].text)
    )
    if said and not _DENIES.search(around.text) and not _has_opposite(stated.words, around):
        return sentences[0]
    if alike and own and not any(_denies_at_all(sentence.text) for sentence in near):
        single_terms = [frozenset({term}) for scope in own for term in scope]
        return None if any(_denied_around(term, evidence) for term in single_terms) else alike[0]
    return alike[0] if alike and _leaves_out_a_denial(stated, alike[0], near[1:]) else None


def _leaves_out_a_denial(claim: Text, sentence: Text, others: Sequence[Text]) -> bool:
    return any(
        len(scope) > 1
        and scope <= claim.terms
        and not _denied_around(scope, claim)
        and not any(scope <= other.terms and not _denied_around(scope, other) for other in others)
        for scope in _scopes(sentence.text)
    )


def denial_of_stated(claim: Text, sentences: Sequence[Text]) -> Text | None:
    """Return the sentence that best has the words around a denial of the claim, where no such place has a denial itself."""
    text = _LEADING_ANSWER.sub("", claim.text) if len(claim.tokens) <= _MOST_TOKENS else ""
    for match in _DENIES.finditer(text):
        before, after = text[: match.start()], text[match.end() :]
        hedged = before.endswith("might ") or _NOT_ONLY.intersection(words(after)[:2])
        if hedged or match[0].lower() in _WITHOUT or _CONDITIONS.intersection(words(before)):
            continue
        left, right = ([term for term in Text(side).token_terms if len(term) > 1] for side in (before, after))
        scope = frozenset(left[-_NEIGHBOURS:] + right[:_NEIGHBOURS])
        stated = _stated_undenied(scope, sentences) if left and right and len(scope) > _NEIGHBOURS else None
        if stated and not _has_opposite(words(after)[:3], stated):
            return stated
    return None


def _has_opposite(own: Sequence[str], text: Text) -> bool:
    """Whether the text has the opposite of one of the words: "does not increase" may be "reduces"."""
    opposites = {other for word in own for other in _OPPOSITE.get(_opposite_key(word), ())}
    return not opposites.isdisjoint(map(_opposite_key, text.words))


def _stated_undenied(scope: frozenset[str], sentences: Sequence[Text]) -> Text | None:
    places = []
    for sentence in (s for s in sentences if 2 * len(scope & s.terms) > len(scope)):
        content = [place for place, term in enumerate(sentence.token_terms) if term]
        for at, begin in enumerate(content):
            end = content[min(at + 2 * _NEIGHBOURS, len(content) - 1)] + 1
            share = len(scope.intersection(sentence.token_terms[begin:end])) / len(scope)
            places.append((share, sentence, sentence.tokens[max(0, begin - 2) : end + 2]))
    best = max((share for share, _, _ in places), default=0.0)
    if best <= 0.5 or any(_DENIES.search(_join_tokens(near)) for share, _, near in places if share >= best - 0.25):
        return None
    return next(sentence for share, sentence, _ in places if share == best)


def _denies_at_all(text: str) -> bool:
    return bool(_DENIES.search(text) or _NEGATIVE_MEANING.search(text))


def _scopes(text: str) -> list[frozenset[str]]:
    """Return for each denial its terms: of the two content words after it, else of the one before it."""
    scopes = []
    for match in _DENIES.finditer(text):
        following = words(text[match.end() : match.end() + 60])[:5]
        joined = text.endswith(("or ", "oder "), 0, match.start())
        if match[0].lower() in _WITHOUT or joined or (following and following[0] in _NOT_ONLY):
            continue
        # Sorted, since the order of a set differs between processes, and with it the finding
        after = [term for word in following if word != "t" for term in sorted(terms(word))]
        preceding = words(text[max(0, match.start() - 40) : match.start()])[-3:]
        before = [term for word in preceding for term in sorted(terms(word))]
        if scope := frozenset(after[:2] or before[-1:]):
            scopes.append(scope)
    return scopes


def _denied_around(scope: frozenset[str], text: Text, *, whole: bool = True) -> bool:
    """Whether the text has a denial or a word of negative meaning within a few words of the scope: of all its terms
    (`whole`), or of one.
    """
    for place, term in enumerate(text.token_terms):
        if term not in scope:
            continue
        begin, end = max(0, place - _AROUND), place + _AROUND
        near = not whole or scope <= {term, *text.token_terms[begin:end]}
        if near and _denies_at_all(" ".join(text.tokens[begin:end])):
            return True
    return False


def change_in_context(claim: Text, near: Text, evidence: Text) -> Change | None:
    """Return a number or comparing word that replaces another between the same words, and is not of the same thing elsewhere."""
    if len(claim.tokens) > _MOST_TOKENS:
        return None
    lowered = [token.lower() for token in near.tokens]
    for place, token in enumerate(claim.tokens):
        key, is_number = _opposite_key(token.lower()), token[0].isdigit()
        if not is_number and key not in _OPPOSITE:
            continue
        contexts = _contexts(claim.tokens, place, both_sides=not is_number)
        stated = [
            lowered[at]
            for left, right in contexts
            for at in range(len(left), len(lowered) - len(right))
            if lowered[at - len(left) : at] == left and lowered[at + 1 : at + 1 + len(right)] == right
        ]
        same = is_number and claim.tokens[place - 1].lower() not in FUNCTION_WORDS and place > 0
        if not stated or token.lower() in stated or (same and f" {claim.tokens[place - 1]} {token} " in evidence.text):
            continue
        if is_number and all(word[0].isdigit() and _is_missing_from(word, [token], claim, near) for word in stated):
            return Change("figure", token, stated[0])
        opposites = [word for word in stated if _opposite_key(word) in _OPPOSITE.get(key, frozenset())]
        if opposites:
            return Change("denied", token, opposites[0])
    return None


def _is_missing_from(number: str, claimed: Sequence[str], claim: Text, near: Text) -> bool:
    """Whether no number of the claim equals `number`. Short years (99 for 1999) and other units (48 hours for 2 days) are equal."""
    if any(token == number or (len(token) > 1 and number.endswith(token)) for token in claim.tokens):
        return False
    return not any(
        (len(number) > 1 and figure.endswith(number)) or are_equal(figure, claim, number, near) for figure in claimed
    )


def _contexts(tokens: Sequence[str], place: int, *, both_sides: bool) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the words before and after `place` by which it is found in another text: two before, two after, or one
    on each side. At least one of them is no function word and does not compare ("less than 30").
    """
    lowered = [token.lower() for token in tokens]
    for before, after in ((1, 1),) if both_sides else ((2, 0), (0, 2), (1, 1)):
        left, right = lowered[max(0, place - before) : place] if before else [], lowered[place + 1 : place + 1 + after]
        telling = any(word not in FUNCTION_WORDS and word not in _OPPOSITE and len(word) > 1 for word in left + right)
        if telling and (len(left), len(right)) == (before, after):
            yield left, right


def opposite(claim: Text, sentences: Sequence[Text]) -> Change | None:
    """Return a word whose opposite is next to the same words in a sentence, where none has the word itself among them."""
    short = [sentence for sentence in sentences if len(sentence.tokens) <= _MOST_TOKENS]
    for place, word in enumerate(claim.tokens[:_MOST_TOKENS]):
        key = _opposite_key(word.lower())
        if key not in _OPPOSITE or key in _PAIRED or _denies(claim.tokens[max(0, place - 3) : place]):
            continue
        before, after = _neighbours(claim, place, _NEIGHBOURS)
        scope, compares = frozenset([*before, *after]), "than" in claim.word_set
        same, turned, other = 0.0, 0.0, ""
        for sentence in (s for s in short if len(scope & s.terms) >= _SAME_PLACE * len(scope) >= 1):
            for at, stated in enumerate(sentence.tokens):
                found = _opposite_key(stated.lower())
                agrees = found == key or _OPPOSITE[key] & _OPPOSITE.get(found, frozenset())
                left, right = (
                    _neighbours(sentence, at, _NEIGHBOURS + 2) if agrees or found in _OPPOSITE[key] else ([], [])
                )
                share = len(scope.intersection([*left, *right])) / len(scope)
                beside = (left and left[-1:] == before[-1:]) or (right and right[:1] == after[:1])
                if agrees or _denies(sentence.tokens[max(0, at - 3) : at]):
                    same = max(same, share)
                # "Larger than" from the one side is "smaller" from the other
                elif beside and share > turned and compares <= ("than" in sentence.word_set):
                    turned, other = share, stated
        if turned >= _SAME_PLACE and turned - same > _SURELY:
            return Change("denied", word, other)
    return None


def _neighbours(text: Text, place: int, count: int) -> tuple[list[str], list[str]]:
    before, after = (list(filter(None, part)) for part in (text.token_terms[:place], text.token_terms[place + 1 :]))
    return before[-count:], after[:count]


def _opposite_key(word: str) -> str:
    return word if word in _OPPOSITE else next((stem for stem in _STEMS if word.startswith(stem)), word)
