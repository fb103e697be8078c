"""The policy: what `policy.toml` allows, and by which rule. The executor and `make policy` use the same rulings.

What no list names is denied: a tool must be listed by a role of the caller and by the tenant; so must the class of a
document; a model by the tenant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase

from foundation.errors import InvalidSetting, ModelForbidden
from foundation.types import NOBODY, Principal, Scope
from orchestration.settings import EVERYBODY, PolicySettings, TenantRules

_on_behalf_of: ContextVar[str | None] = ContextVar("tenant", default=None)


@contextmanager
def on_behalf_of(tenant: str) -> Iterator[None]:
    """Attribute the calls of chat models inside to this tenant."""
    token = _on_behalf_of.set(tenant)
    try:
        yield
    finally:
        _on_behalf_of.reset(token)


@dataclass(frozen=True, slots=True)
class Ruling:
    allowed: bool
    rule: str
    """The setting that decides, such as `roles.reader`."""
    why: str


class Policy:
    def __init__(self, settings: PolicySettings) -> None:
        self._settings = settings

    def tool(self, name: str, principal: Principal) -> Ruling:
        """Rule on a tool. The tenant comes first: no role allows what the tenant may not use."""
        tenant, rules = self._of_tenant(principal.tenant)
        if not _matches_any(name, rules.tools):
            return _deny(f"{tenant}.tools", f'The tenant "{principal.tenant}" may not use {name}.')
        roles = sorted(principal.roles)
        for role in roles:
            if _matches_any(name, self._settings.roles.get(role, ())):
                return _allow(f"roles.{role}", f'The role "{role}" may use {name}.')
        holders = [role for role, tools in self._settings.roles.items() if _matches_any(name, tools)]
        may = f"It is open to: {', '.join(holders)}." if holders else "No role lists it."
        return _deny(_rules("roles", roles), f"{_phrase_roles(roles)} may not use {name}. {may}")

    def model(self, name: str, tenant: str) -> Ruling:
        section, rules = self._of_tenant(tenant)
        if _matches_any(name, rules.models):
            return _allow(f"{section}.models", f'The tenant "{tenant}" may use the model {name}.')
        why = f'The tenant "{tenant}" may not use the model {name}. Its models: {", ".join(rules.models) or "none"}.'
        return _deny(f"{section}.models", why)

    def data(self, data_class: str, principal: Principal) -> Ruling:
        """Rule on a class of documents."""
        section, rules = self._of_tenant(principal.tenant)
        if not _matches_any(data_class, rules.data):
            return _deny(f"{section}.data", f'The tenant "{principal.tenant}" may not see {data_class} documents.')
        roles = sorted(principal.roles)
        for role in (EVERYBODY, *roles):
            if _matches_any(data_class, self._settings.data.get(role, ())):
                whose = "Everybody" if role == EVERYBODY else f'The role "{role}"'
                return _allow(f"data.{role}", f"{whose} may see {data_class} documents.")
        return _deny(_rules("data", roles), f"{_phrase_roles(roles)} may not see {data_class} documents.")

    def scope(self, principal: Principal) -> Scope:
        """Return the documents that the caller may see. Scopes are made here alone."""
        granted = {name for role in (EVERYBODY, *principal.roles) for name in self._settings.data.get(role, ())}
        at_most = set(self._of_tenant(principal.tenant)[1].data)
        if EVERYBODY in granted:
            granted = at_most
        elif EVERYBODY not in at_most:
            granted &= at_most
        classes = None if EVERYBODY in granted else frozenset(granted)
        return Scope(principal.tenant, principal.groups - {NOBODY}, classes)

    def demand_model(self, name: str) -> None:
        """Check an attempt to call a chat model. Raises ModelForbidden: the tenant of `on_behalf_of` may not use it;
        a fallback model may then answer."""
        tenant = _on_behalf_of.get()
        if tenant is not None and not (ruling := self.model(name, tenant)).allowed:
            raise ModelForbidden(f"{ruling.why} The rule is {ruling.rule} of the policy.")

    def demand_one_of(self, names: Sequence[str], own: Mapping[str, Sequence[str]]) -> None:
        """Check at start that every tenant may use one of these models, or of its `own`. Raises InvalidSetting: a
        tenant may use none."""
        for tenant in dict.fromkeys((EVERYBODY, *self._settings.tenants, *own)):
            candidates = own.get(tenant, names)
            rulings = [self.model(name, tenant) for name in candidates]
            if not any(ruling.allowed for ruling in rulings):
                why = " ".join(ruling.why for ruling in rulings)
                raise InvalidSetting(
                    f"{why} The rule is {rulings[0].rule} of the policy. Configure another model in [models], or "
                    f"change the rule: make policy TENANT='{tenant}' MODEL='{candidates[0]}'"
                )

    def _of_tenant(self, tenant: str) -> tuple[str, TenantRules]:
        tenants = self._settings.tenants
        name = tenant if tenant in tenants else EVERYBODY
        return f"tenants.{name}", tenants.get(name, TenantRules())


def _matches_any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _rules(section: str, roles: Sequence[str]) -> str:
    return ", ".join(f"{section}.{role}" for role in roles) or section


def _phrase_roles(roles: Sequence[str]) -> str:
    return " and ".join(f'The role "{role}"' for role in roles) if roles else "Nobody without a role"


def _allow(rule: str, why: str) -> Ruling:
    return Ruling(allowed=True, rule=rule, why=why)


def _deny(rule: str, why: str) -> Ruling:
    return Ruling(allowed=False, rule=rule, why=why)
