"""Words that mean the same in a house, read from a file that people write: they are used as they stand there, and nothing is derived."""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from extensions.synonyms.periods import find_periods
from foundation.errors import InvalidRequest, InvalidSetting
from foundation.settings import Section
from foundation.text.lexical import words


class Group(Section):
    """Words or phrases that mean the same."""

    same: tuple[str, ...] = Field(min_length=2)
    tenants: tuple[str, ...] = ()
    """Whose they are; none: every tenant's."""


_GROUPS = TypeAdapter(tuple[Group, ...])


def read_groups(file: Path) -> tuple[Group, ...]:
    """Return the groups of a file; none where it is not there. Raises InvalidSetting: it has something else."""
    if not file.exists():
        return ()
    try:
        held = tomllib.loads(file.read_text(encoding="utf-8"))
        groups = _GROUPS.validate_python(held.pop("words", ()))
    except (OSError, ValueError, ValidationError) as error:
        raise InvalidSetting(f"{file} cannot be read: {error}. {_FORM}") from error
    if held or not all(words(name) for group in groups for name in group.same):
        raise InvalidSetting(f"{file} has other keys than [[words]], or a word without letters. {_FORM}")
    return groups


_FORM = 'Each entry is [[words]] with same = ["guarantee", "warranty"], and tenants = ["acme"] where they are not everybody\'s.'


def add_group(file: Path, same: Sequence[str], tenant: str) -> None:
    """Write a group behind the others. Raises InvalidRequest: it has fewer than two words. InvalidSetting: the file has something else."""
    named = [name for each in same if (name := each.strip()) and words(name)]
    if len(named) < 2:
        raise InvalidRequest(
            f'"{"=".join(same)}" is not two words or more that mean the same. Write guarantee=warranty.'
        )
    held = read_groups(file)
    group = Group(same=tuple(named), tenants=(tenant,) if tenant else ())
    if group in held:
        return
    before = file.read_text(encoding="utf-8").rstrip() + "\n\n" if file.exists() else ""
    whose = f"tenants = {json.dumps(list(group.tenants))}\n" if group.tenants else ""
    file.write_text(f"{before}[[words]]\nsame = {json.dumps(named, ensure_ascii=False)}\n{whose}", encoding="utf-8")


@dataclass(frozen=True)
class HouseWords:
    """Implements `retrieval.contract.Rewording`."""

    groups: Sequence[Group]
    periods: bool = True

    def widen(self, question: str, tenant: str) -> str:
        others = [other for _, rest in self._said(question, tenant) for other in rest]
        return " ".join([question, *dict.fromkeys(others)])

    def fit(self, question: str, tenant: str, texts: Sequence[str]) -> str:
        said = [*self._said(question, tenant)]
        texts_in_words = [_in_words(text) for text in texts] if said else []

        def is_written(name: str) -> bool:
            return any(_in_words(name) in text for text in texts_in_words)

        for name, rest in said:
            written = next(filter(is_written, rest), None)
            if written and not is_written(name):
                question = written.join(_pattern(name).split(question))
        return question

    def _said(self, question: str, tenant: str) -> Iterator[tuple[str, list[str]]]:
        """Yield what the question says of each group, the longest, with the others of the group."""
        asked = _in_words(question)
        groups = [group.same for group in self.groups if not group.tenants or tenant in group.tenants]
        for same in [*groups, *(find_periods(question) if self.periods else ())]:
            said = [name for name in same if _in_words(name) in asked and _pattern(name).search(question)]
            if said:
                longest = max(said, key=len)
                yield longest, [name for name in same if name not in said]


def _in_words(text: str) -> str:
    return f" {' '.join(words(text))} "


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
