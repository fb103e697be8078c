"""The policy: what `policy.toml` allows to whom, who approves, and by which rule.

What no list names is denied: a tool must be listed by a role of the caller and by the tenant; so must the class of a
document; a model by the tenant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from foundation.errors import InvalidSetting, ModelForbidden
from foundation.types import NOBODY, Principal, Scope
from models.embedding import served_tenant
from orchestration.language.guard import fold
from orchestration.settings import EVERYBODY, PolicySettings, TenantRules


@dataclass(frozen=True, slots=True)
class Ruling:
    allowed: bool
    rule: str
    """The setting that decides, such as `roles.reader`."""
    why: str


class Policy:
    def __init__(self, settings: PolicySettings) -> None:
        # not the setting's default: rules are merged over defaults, so every role would see everything in addition to its own rule
        if settings.data is None:
            settings = settings.model_copy(update={"data": {EVERYBODY: (EVERYBODY,)}})
        self._settings = settings

    def tool(self, name: str, principal: Principal) -> Ruling:
        roles = sorted(principal.roles)
        ruling = self._by_roles(name, f"use {name}", ("tools", "roles"), roles, principal.tenant)
        if ruling.allowed or ruling.rule.startswith("tenants."):
            return ruling
        holders = [role for role, tools in self._settings.roles.items() if _matches_any(name, tools)]
        may = f"It is open to: {', '.join(holders)}." if holders else "No role lists it."
        return replace(ruling, why=f"{ruling.why} {may}")

    def data(self, data_class: str, principal: Principal) -> Ruling:
        """Rule on a class of documents."""
        roles = (EVERYBODY, *sorted(principal.roles))
        return self._by_roles(data_class, f"see {data_class} documents", ("data", "data"), roles, principal.tenant)

    def _by_roles(self, name: str, act: str, lists: tuple[str, str], roles: Sequence[str], tenant: str) -> Ruling:
        kind, section = lists
        own_section, rules = self._of_tenant(tenant)
        # the tenant comes first: no role allows what the tenant may not use
        if not _matches_any(name, getattr(rules, kind)):
            return Ruling(allowed=False, rule=f"{own_section}.{kind}", why=f'The tenant "{tenant}" may not {act}.')
        for role in roles:
            if _matches_any(name, getattr(self._settings, section).get(role, ())):
                whose = "Everybody" if role == EVERYBODY else f'The role "{role}"'
                return Ruling(allowed=True, rule=f"{section}.{role}", why=f"{whose} may {act}.")
        named = [role for role in roles if role != EVERYBODY]
        rule = ", ".join(f"{section}.{role}" for role in named) or section
        whose = " and ".join(f'The role "{role}"' for role in named) or "Nobody without a role"
        return Ruling(allowed=False, rule=rule, why=f"{whose} may not {act}.")

    def model(self, name: str, tenant: str) -> Ruling:
        section, rules = self._of_tenant(tenant)
        if _matches_any(name, rules.models):
            return Ruling(
                allowed=True, rule=f"{section}.models", why=f'The tenant "{tenant}" may use the model {name}.'
            )
        why = f'The tenant "{tenant}" may not use the model {name}. Its models: {", ".join(rules.models) or "none"}.'
        return Ruling(allowed=False, rule=f"{section}.models", why=why)

    def approver(self, principal: Principal) -> Ruling:
        """Rule on who decides approvals; of what they asked for themselves, `is_own` says whether they may approve it."""
        roles = self._settings.approvers
        why = f"Approvals are decided by the roles: {', '.join(roles) or 'none is configured'}."
        return Ruling(allowed=bool(principal.roles & set(roles)), rule="approvers", why=why)

    def is_own(self, requested_by: str, decider: str | None) -> bool:
        """Whether the decider is the requester, where two people are wanted."""
        return self._settings.four_eyes and is_same_person(requested_by, decider)

    def scope(self, principal: Principal) -> Scope:
        """Return the documents that the caller may see. Scopes are made here alone."""
        rules = self._settings.data or {}
        granted = {name for role in (EVERYBODY, *principal.roles) for name in rules.get(role, ())}
        at_most = set(self._of_tenant(principal.tenant)[1].data)
        if EVERYBODY in granted:
            granted = at_most
        elif EVERYBODY not in at_most:
            granted &= at_most
        classes = None if EVERYBODY in granted else frozenset(granted)
        return Scope(principal.tenant, principal.groups - {NOBODY}, classes)

    def demand_model(self, name: str) -> None:
        """Raises ModelForbidden, after which a fallback may answer: the tenant of `on_behalf_of` may not use this chat model."""
        tenant = served_tenant.get()
        # called for each chunk of a stream, so the text is only built where the model is forbidden
        if tenant is not None and not _matches_any(name, self._of_tenant(tenant)[1].models):
            ruling = self.model(name, tenant)
            raise ModelForbidden(f"{ruling.why} The rule is {ruling.rule} of the policy.")

    def demand_one_of(self, names: Sequence[str], own: Mapping[str, Sequence[str]]) -> None:
        """Raises InvalidSetting, at start: a tenant may use none of these models, nor of its `own`."""
        for tenant in dict.fromkeys((EVERYBODY, *self._settings.tenants, *own)):
            candidates = own.get(tenant, names)
            rulings = [self.model(name, tenant) for name in candidates]
            if not any(ruling.allowed for ruling in rulings):
                why = " ".join(ruling.why for ruling in rulings)
                raise InvalidSetting(
                    f"{why} The rule is {rulings[0].rule} of the policy. Configure another model in [models], or change that "
                    f"rule for {candidates[0]}."
                )

    def _of_tenant(self, tenant: str) -> tuple[str, TenantRules]:
        tenants = self._settings.tenants
        name = tenant if tenant in tenants else EVERYBODY
        return f"tenants.{name}", tenants.get(name, TenantRules())


def is_same_person(requested_by: str, decider: str | None) -> bool:
    # directories differ in the case of a name, and whoever makes keys may write it in other signs
    return fold(decider or "") == fold(requested_by)


def _matches_any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
