"""Types that all layers share: callers, their scopes, and token usage."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from itertools import combinations
from typing import Literal

Layer = Literal["foundation", "models", "retrieval", "orchestration", "serving", "observability"]

LAYERS: tuple[Layer, ...] = ("foundation", "models", "retrieval", "orchestration", "serving", "observability")

# The owner of a document that every tenant may read. No credential can have this tenant.
EVERY_TENANT = "*"

# The class of a document without one
UNCLASSIFIED = "unclassified"

# The group of documents that only the owner of the machine may still read. No scope has it.
NOBODY = "(nobody)"

# Joins two classes of a document that is for those who may see both
BOTH = " ∩ "


@dataclass(frozen=True, slots=True)
class Scope:
    """The documents that a caller may see. An empty tenant sees nothing."""

    tenant: str
    groups: frozenset[str] = frozenset()
    classes: frozenset[str] | None = None
    """Classes of documents that the policy allows; `None`: every class."""

    @property
    def sees_nothing(self) -> bool:
        """Whether the scope is empty, so that no store need be queried."""
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
        """The classes and all pairs of them, for comparison in a store; `None`: every class. A document has at most two."""
        if self.classes is None:
            return None
        names = sorted(self.classes)
        return names + [BOTH.join(pair) for pair in combinations(names, 2)]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller, described by the credential alone. `Policy.scope` makes its `Scope` of it."""

    subject: str
    tenant: str
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    credential: str = field(default="", compare=False, repr=False)
    """Identifies the credential, so that later work can check that it is still valid
    (`serving.access.identity.KeyStore.recheck`). It grants nothing."""

    def holds_rights_of(self, other: Principal) -> bool:
        """Whether it has every role and group of `other`, so that results made for `other` may be shown to it."""
        return self.tenant == other.tenant and self.roles >= other.roles and self.groups >= other.groups


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or several model calls. `None`: not reported by the provider, which is not zero."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Input tokens that the provider read from its cache, at a lower price."""
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    """Input tokens that the provider wrote into its cache, for which some charge more."""

    def __add__(self, other: Usage) -> Usage:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Usage(*(None if a is None and b is None else (a or 0) + (b or 0) for a, b in pairs))
