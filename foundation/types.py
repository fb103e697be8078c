"""Nouns that every layer shares: who asks, what they may see, and what a call used up."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from itertools import combinations
from typing import Literal

Layer = Literal["foundation", "models", "retrieval", "orchestration", "serving", "observability"]

LAYERS: tuple[Layer, ...] = ("foundation", "models", "retrieval", "orchestration", "serving", "observability")

EVERY_TENANT = "*"
"""Owner of a document that every tenant may read. Never a tenant that a credential can carry."""

UNCLASSIFIED = "unclassified"
"""The class of a document that names none."""

NOBODY = "(nobody)"
"""The group of what nobody may read any more but the owner of the machine. Never a group that a scope has."""

BOTH = " ∩ "
"""Between two classes: for those who may see the one and the other."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller may see. An empty tenant sees nothing at all, not everything."""

    tenant: str
    groups: frozenset[str] = frozenset()
    classes: frozenset[str] | None = None
    """Classes of documents, as the policy gives them to a role; `None`: of every class."""

    @property
    def sees_nothing(self) -> bool:
        """Whether it is the scope of nobody, for which no store need be asked."""
        return self.tenant in ("", EVERY_TENANT)

    def admits(self, tenant: str, groups: frozenset[str]) -> bool:
        """Whether a document owned by `tenant` and restricted to `groups` (empty: unrestricted) may be shown."""
        if self.sees_nothing:
            return False
        return tenant in (self.tenant, EVERY_TENANT) and (not groups or bool(groups & self.groups))

    def admits_class(self, data_class: str) -> bool:
        return self.classes is None or data_class in self.classes or set(data_class.split(BOTH)) <= self.classes

    @property
    def listed_classes(self) -> list[str] | None:
        """The classes that a store compares with, and each two of them together; a store admits no more than two."""
        if self.classes is None:
            return None
        names = sorted(self.classes)
        return names + [BOTH.join(pair) for pair in combinations(names, 2)]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. Tenant, roles and groups come from the credential alone; what the caller may see, from
    these and the policy: `orchestration.effects.policy.Policy.scope`."""

    subject: str
    tenant: str
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    credential: str = field(default="", compare=False, repr=False)
    """Which credential it was, for work that goes on later: whether it still counts is asked by `serving.access.identity.Callers.recheck`.
    It opens nothing."""

    def holds_rights_of(self, other: Principal) -> bool:
        """Whether it has every role and group of `other`: what was made for those may be given to it."""
        return self.tenant == other.tenant and self.roles >= other.roles and self.groups >= other.groups


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or several model calls. `None` means that the provider did not say, which is not zero."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Of the input tokens, those that the provider had kept and sells for less."""
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    """Of the input tokens, those that the provider keeps from now on, which some sell for more."""

    def __add__(self, other: Usage) -> Usage:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Usage(*(None if a is None and b is None else (a or 0) + (b or 0) for a, b in pairs))
