"""What the rules of the policy make of tools, models and documents, and by which of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extensions.development.scripted_chat import ScriptedChat
from foundation.errors import InvalidRequest, InvalidSetting, ModelForbidden, UpstreamDown
from foundation.types import Principal, Scope
from models.resilience.resilient_chat import resilient
from models.settings import ResilienceSettings
from orchestration.effects.policy import Policy, Ruling
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from orchestration.settings import PolicySettings, TenantRules
from serving.cli.main import app
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.orchestration import World

RULES = PolicySettings(
    roles={"reader": ("find_*",), "agent": ("find_order", "refund")},
    data={"*": ("public",), "agent": ("internal",), "board": ("*",)},
    tenants={
        "north": TenantRules(tools=("find_*",), models=("small-*",), data=("public", "secret")),
        "*": TenantRules(models=("small-*", "big")),
    },
)
POLICY = Policy(RULES)


def caller(*roles: str, tenant: str = "south") -> Principal:
    return Principal("ada", tenant, frozenset(roles), frozenset({"staff"}))


@pytest.mark.parametrize(
    ("tool", "who", "allowed", "rule"),
    [
        ("find_order", caller("reader"), True, "roles.reader"),
        ("refund", caller("reader"), False, "roles.reader"),
        ("refund", caller("reader", "agent"), True, "roles.agent"),
        ("refund", caller("agent", "board"), True, "roles.agent"),
        ("format_disk", caller("agent", "reader"), False, "roles.agent, roles.reader"),
        ("find_order", caller(), False, "roles"),
        ("refund", caller("agent", tenant="north"), False, "tenants.north.tools"),
        ("find_order", caller("agent", tenant="north"), True, "roles.agent"),
    ],
)
def test_a_tool_needs_a_role_that_lists_it_and_a_tenant_that_may_use_it(
    tool: str, who: Principal, *, allowed: bool, rule: str
) -> None:
    ruling = POLICY.tool(tool, who)
    assert (ruling.allowed, ruling.rule) == (allowed, rule)
    assert tool in ruling.why


def test_a_denial_says_who_may() -> None:
    assert POLICY.tool("refund", caller("reader")).why.endswith("It is open to: agent.")
    assert POLICY.tool("format_disk", caller("reader")).why.endswith("No role lists it.")


def test_a_tenant_has_its_own_models_or_those_of_every_tenant() -> None:
    assert POLICY.model("big", "south") == Ruling(
        allowed=True, rule="tenants.*.models", why='The tenant "south" may use the model big.'
    )
    denied = POLICY.model("big", "north")
    assert (denied.allowed, denied.rule) == (False, "tenants.north.models")
    assert "Its models: small-*." in denied.why


@pytest.mark.parametrize(
    ("who", "classes"),
    [
        (caller("reader"), {"public"}),
        (caller("agent"), {"public", "internal"}),
        (caller("agent", tenant="north"), {"public"}),
        (caller("board", tenant="north"), {"public", "secret"}),
        (caller("board"), None),
        (caller(), {"public"}),
    ],
)
def test_a_scope_has_the_classes_that_role_and_tenant_both_may_see(who: Principal, classes: set[str] | None) -> None:
    expected = None if classes is None else frozenset(classes)
    assert POLICY.scope(who) == Scope(who.tenant, frozenset({"staff"}), expected)
    for one in ("public", "internal", "secret", "unclassified"):
        assert POLICY.data(one, who).allowed is POLICY.scope(who).admits_class(one), one


@pytest.mark.parametrize("decider", ["both", "BOTH", "\uff42oth", "\uff22\uff2f\uff34\uff28", "bo\u200bth"])
def test_whoever_asked_is_the_same_person_in_every_spelling_that_looks_the_same(decider: str) -> None:
    assert POLICY.is_own("both", decider)
    assert not POLICY.is_own("both", "bob")


def test_without_rules_every_class_is_seen_and_no_tool_is_called() -> None:
    policy = Policy(PolicySettings())
    assert policy.scope(caller("reader")).classes is None
    assert policy.model("anything", "south").allowed
    assert not policy.tool("find_order", caller("reader")).allowed


# -- models, at each call ----------------------------------------------------------------------------------------------

RIGHT = "A parcel may weigh at most 30 kilograms [1]."


@pytest.fixture
def world(data_dir: Path) -> Iterator[World]:
    """Two doubles: the tenant north may use the second one alone."""
    made = World(data_dir, agents="quoting")
    rules = Policy(PolicySettings(tenants={"north": TenantRules(models=("house",)), "lost": TenantRules(models=())}))
    models = [ScriptedChat(model_name=name, replies=(RIGHT,)) for name in ("cloud", "house")]
    made.chat = resilient(models[0], models[1:], ResilienceSettings(), made.clock, rules.demand_model)
    yield made
    made.close()


async def written(world: World, tenant: str) -> tuple[Answer, list[str]]:
    request = AnswerRequest(question="How many kilograms may a parcel weigh at most?", compose="generative")
    given = await answering.answer(world.agent(), request, Principal("ada", tenant, frozenset({"clerk"})))
    return given, [charge.model for charge in world.till.charges if charge.kind == "chat"]


async def test_a_model_that_the_tenant_may_not_use_is_not_called_and_the_next_one_answers(world: World) -> None:
    given, charged = await written(world, "north")
    assert (given.path, given.degraded) == ("generative", ("answered by the fallback model house",))
    assert charged == ["house"]
    assert world.chat.primary.seen == []  # type: ignore[attr-defined]


async def test_a_tenant_that_may_use_both_gets_the_first(world: World) -> None:
    given, charged = await written(world, "south")
    assert (given.degraded, charged) == ((), ["cloud"])


async def test_a_tenant_without_any_model_is_told_the_rule_and_nothing_is_called(world: World) -> None:
    with pytest.raises(ModelForbidden, match=r"may not use the model cloud.*tenants\.lost\.models.*the model house"):
        await written(world, "lost")
    assert world.till.charges[:-1] == []  # the machine's own time is the last


async def test_where_the_allowed_model_is_down_that_is_what_failed(world: World) -> None:
    world.chat.candidates[1].replies = (UpstreamDown("It refused."),)  # type: ignore[attr-defined]
    with pytest.raises(UpstreamDown, match="may not use the model cloud"):
        await written(world, "north")


@pytest.mark.parametrize(("section", "model"), [("north", "scripted"), ('"*"', "hashing")])
def test_a_model_that_a_tenant_may_not_use_is_refused_at_start(tmp_path: Path, section: str, model: str) -> None:
    stacks.stack(tmp_path, '[orchestration]\npolicy_file = "policy.toml"\n')
    other = {"scripted": "hashing", "hashing": "scripted"}[model]
    (tmp_path / "policy.toml").write_text(f'[tenants.{section}]\nmodels = ["{other}", "none"]')
    name = section.strip('"')
    told = rf"may not use the model {model}.*The rule is tenants\.{name.replace('*', chr(92) + '*')}\.models"
    with pytest.raises(InvalidSetting, match=told), open_system(load(tmp_path / "stack.toml")):
        pass


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["policy", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_command_names_the_rule_and_config_lists_all_of_them(tmp_path: Path) -> None:
    assert "denied by roles.reader" in said("--role", "reader", "--tool", "refund")
    told = json.loads(said("--role", "reader", "--class", "confidential", "--model", "big", "--json", "-"))
    assert {name: one["allowed"] for name, one in told["rulings"].items()} == {"data_class": False, "model": True}
    (tmp_path / "stack.toml").write_text('[orchestration]\npolicy_file = "rules.toml"')
    (tmp_path / "rules.toml").write_text('[roles]\nclerk = ["refund"]')
    given = ("--stack", str(tmp_path / "stack.toml"), "--role", "clerk", "--tool", "refund")
    assert "allowed by roles.clerk" in said(*given)
    with pytest.raises(InvalidRequest, match=r"Say what it is about: TOOL=refund.*make config lists all rules\."):
        said()
    listed = CliRunner().invoke(app, ["config", "--stack", str(tmp_path / "stack.toml"), "--json", "-"])
    rules = json.loads(listed.output)
    assert rules["orchestration.policy.roles.clerk"] == {"value": "('refund',)", "from": "rules.toml"}
    assert rules["orchestration.policy.calls_per_run"] == {"value": "100", "from": "default"}
