"""What the planned agent reads of English alone: whether a sentence refers to one before it."""

import re

# Opening pronouns that refer back; not "It is necessary to ..." and "This guide ...", which name their subject
_REFERS_BACK = re.compile(
    r"\W*(?:(?:it|they|he|she)\b(?!(?:['’]s| is| was) \w+ (?:to|that)\b)|(?:its|their)\b|(?:this|that|these|those) "
    r"(?:is|are|was|were|has|have|had|can|may|must|will|does|do|means?|happens?|applies|apply)\b)",
    re.IGNORECASE,
)


def refers_back(sentence: str) -> bool:
    """Whether the sentence opens with an English pronoun for something named before.

    >>> refers_back("They can be returned."), refers_back("This is free."), refers_back("It is enough to wait.")
    (True, True, False)
    """
    return _REFERS_BACK.match(sentence) is not None
