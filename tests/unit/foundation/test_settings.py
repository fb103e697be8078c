"""Settings come from files and the environment, are checked, and say where each value came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from foundation.components import checked_options
from foundation.errors import InvalidSetting, UnknownSetting
from foundation.settings import CODE, RETENTION, flatten, make_data_dir
from foundation.types import Principal
from observability.settings import ALLOWED, ObservabilitySettings
from orchestration.effects.policy import Policy
from retrieval.settings import WEIGHTS, GroundingSettings
from serving.settings import Loaded, context_of, load

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def stack(tmp_path):
    def written(text: str, **arguments) -> Loaded:
        path = tmp_path / "stack.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, **arguments)

    return written


def test_the_stack_of_the_repository_is_valid():
    assert load(ROOT / "stack.toml").settings.models.chat.use == "llama_cpp"


def test_an_empty_file_gives_the_defaults_and_says_so(stack):
    loaded = stack("")
    assert loaded.settings.retrieval.vectors.use == "exact"
    assert {origin for _, _, origin in loaded.rows()} == {"default"}


def test_each_source_overrides_the_one_before_and_is_remembered(stack, monkeypatch):
    text = """
    [foundation]
    seed = 1
    threads = 1
    [serving.http]
    port = 1
    host = "127.0.0.2"
    [profiles.test.serving.http]
    port = 2
    host = "127.0.0.3"
    """
    monkeypatch.setenv("SIXPLY__SERVING__HTTP__PORT", "3")
    loaded = stack(text, profile="test", overrides={"foundation": {"seed": 4}})
    found = {key: (value, origin) for key, value, origin in loaded.rows()}
    assert found["foundation.threads"] == ("1", "stack.toml")
    assert found["serving.http.host"] == ("127.0.0.3", "profile test")
    assert found["serving.http.port"] == ("3", "environment")
    assert found["foundation.seed"] == ("4", "command line")
    assert found["serving.http.grace_s"] == ("15.0", "default")


def test_a_key_that_is_missing_is_told_with_those_that_stand_in_its_place(stack):
    with pytest.raises(
        InvalidSetting, match=r'"orchestration\.tools\.0\.use" .* needed and not set\. Found beside it: key, uze\.$'
    ):
        stack('[[orchestration.tools]]\nuze = "memory"\nkey = "sesame"')


def test_the_policy_has_a_file_of_its_own_below_every_other_source(stack, tmp_path, monkeypatch):
    (tmp_path / "rules.toml").write_text(
        'calls_per_run = 3\n[roles]\nclerk = ["refund"]\n[tenants.north]\ntools = []\n'
    )
    monkeypatch.setenv("SIXPLY__ORCHESTRATION__POLICY__CALLS_PER_RUN", "4")
    loaded = stack('[orchestration]\npolicy_file = "rules.toml"')
    policy = loaded.settings.orchestration.policy
    assert (policy.roles, policy.tenants["north"].tools) == ({"clerk": ("refund",)}, ())
    assert (policy.tenants["north"].models, policy.calls_per_run) == (("*",), 4)
    assert loaded.origins["orchestration.policy.roles.clerk"] == "rules.toml"
    assert loaded.origins["orchestration.policy.calls_per_run"] == "environment"


@pytest.mark.parametrize(
    ("rules", "seen"), [('[data]\nclerk = ["public"]', {"public"}), ("[data]", set()), ("calls_per_run = 3", None)]
)
def test_a_role_sees_no_more_than_the_classes_that_its_rule_names(stack, tmp_path, rules, seen):
    (tmp_path / "rules.toml").write_text(rules)
    loaded = stack('[orchestration]\npolicy_file = "rules.toml"')
    policy = Policy(loaded.settings.orchestration.policy)
    clerk = Principal("acme", "u-1", roles=frozenset({"clerk"}))
    assert policy.scope(clerk).classes == (seen if seen is None else frozenset(seen))
    assert policy.data("secret", clerk).allowed is (seen is None)


def test_a_file_that_the_stack_names_lies_beside_it_wherever_one_starts(stack, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = '[observability]\ngolden_set = "."\noutcomes_file = "/etc/outcomes.toml"\n'
    # names may have dots
    text += "".join(
        f'[orchestration.prompts.tenants."{tenant}"]\nfolder = "prompts/north"\n'
        for tenant in ("north", "north.example")
    )
    profiles = ("eu.west", "serving")  # a name may be that of a section
    text += "".join(f'[profiles."{name}".observability]\noutcomes_file = "eu.toml"\n' for name in profiles)
    settings = stack(text).settings
    assert settings.observability.golden_set == tmp_path
    assert settings.observability.outcomes_file == Path("/etc/outcomes.toml")
    assert {one.folder for one in settings.orchestration.prompts.tenants.values()} == {tmp_path / "prompts" / "north"}
    for name in profiles:
        assert stack(text, profile=name).settings.observability.outcomes_file == tmp_path / "eu.toml"
    other, default = stack('[observability]\nservice_name = "ferry"').settings.observability, ObservabilitySettings()
    assert (other.outcomes_file, other.golden_set) == (default.outcomes_file, default.golden_set)
    assert not default.outcomes_file.is_absolute()
    assert context_of(stack("").settings).stack_dir == tmp_path, "for what a part reads, such as the document of an API"


def test_rules_in_two_places_are_refused(stack, tmp_path):
    (tmp_path / "rules.toml").write_text("")
    with pytest.raises(InvalidSetting, match=r"Move them into that file, where .* is \[roles\]"):
        stack('[orchestration]\npolicy_file = "rules.toml"\n[orchestration.policy.roles]\nclerk = []')


def test_a_policy_that_is_missing_or_has_an_unknown_key_says_which(stack, tmp_path):
    with pytest.raises(InvalidSetting, match=r"policy_file names rules\.toml, and there is no"):
        stack('[orchestration]\npolicy_file = "rules.toml"')
    (tmp_path / "rules.toml").write_text("[rolls]\nclerk = []")
    with pytest.raises(UnknownSetting, match=r'"orchestration\.policy\.rolls" \(rules\.toml\).*Did you mean "roles"'):
        stack('[orchestration]\npolicy_file = "rules.toml"')
    (tmp_path / "rules.toml").write_text("[tenants.north]\nmodel = []")
    with pytest.raises(UnknownSetting, match=r'"orchestration\.policy\.tenants\.north\.model"'):
        stack('[orchestration]\npolicy_file = "rules.toml"')


def test_the_profile_can_come_from_the_environment(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY_PROFILE", "test")
    assert stack("[profiles.test.foundation]\nseed = 9").settings.foundation.seed == 9


def test_an_unknown_profile_is_refused_with_what_exists(stack):
    with pytest.raises(UnknownSetting, match=r'no profile "tset"\. Found: test\. Did you mean "test"\?'):
        stack("[profiles.test.foundation]\nseed = 9", profile="tset")


def test_one_environment_variable_does_not_reset_its_neighbours(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY__MODELS__CHAT__TEMPERATURE", "0.5")
    chat = stack('[models.chat]\nuse = "openai_compatible"\nmodel = "m"').settings.models.chat
    assert chat.use == "openai_compatible"
    assert chat.options["model"] == "m"
    assert str(chat.options["temperature"]) == "0.5"


def test_an_option_without_its_part_belongs_to_the_default_part_or_to_the_one_of_another_source(stack, monkeypatch):
    chat = stack("[models.chat]\nmax_tokens = 7").settings.models.chat
    assert (chat.use, chat.options) == ("llama_cpp", {"max_tokens": 7})
    monkeypatch.setenv("SIXPLY__MODELS__CHAT__USE", "openai_compatible")
    chat = stack('[models.chat]\nmodel = "m"').settings.models.chat
    assert (chat.use, chat.options) == ("openai_compatible", {"model": "m"})


def test_a_part_that_is_exchanged_takes_its_options_along(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY__MODELS__CHAT__USE", "scripted")
    chat = stack('[models.chat]\nuse = "openai_compatible"\nmodel = "m"').settings.models.chat
    assert (chat.use, chat.options) == ("scripted", {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[modles]\n", r'Unknown setting "modles" \(stack\.toml\)\. Found: .*Did you mean "models"\?'),
        ("[serving.http]\nprot = 1", r'Unknown setting "serving\.http\.prot".*Did you mean "port"\?'),
        ("[observability.compare]\npased = 1", r'"observability\.compare\.pased" \(.*Did you mean "passed"\?'),
        ("[serving.quotas.caller.requests]\nweek = 1", r'"serving\.quotas\.caller\.requests\.week".*Found: day, hour'),
        ('[retrieval.grounding.weights]\n"" = 1', r'"retrieval\.grounding\.weights\." .*Found: behind,'),
        ("[foundation.retention]\nspan_days = 1", r'"foundation\.retention\.span_days".*Did you mean "spans_days"\?'),
        ("[orchestration.budget]\nday = { eur = 1 }", r'"orchestration\.budget\.day\.eur".*Found: tokens, usd'),
        ("[retrieval.ranking]\ntopk = 1", r'"retrieval\.ranking\.topk".*Did you mean "top_k"\?'),
    ],
)
def test_an_unknown_key_is_named_with_what_exists_and_the_nearest(stack, text, says):
    with pytest.raises(UnknownSetting, match=says):
        stack(text)


def test_what_is_set_of_a_mapping_lies_over_its_defaults(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY__OBSERVABILITY__COMPARE__PASSED", "0.2")
    loaded = stack("[observability.compare]\nleaked = 0.1\n[retrieval.grounding.weights]\nrank = 0.5")
    assert loaded.settings.observability.compare == {**ALLOWED, "passed": 0.2, "leaked": 0.1}
    assert loaded.settings.retrieval.grounding.weights == {**WEIGHTS, "rank": 0.5}
    assert GroundingSettings(weights={"rank": 0.5}).weights == {**WEIGHTS, "rank": 0.5}
    monkeypatch.setenv("SIXPLY__FOUNDATION__RETENTION__APPROVALS_DAYS", "365")
    assert stack("[foundation.retention]\nspans_days = 184").settings.foundation.retention == {
        **RETENTION, "spans_days": 184, "approvals_days": 365,
    }  # fmt: skip
    budget = stack("[orchestration.budget]\nday = { usd = 20 }\ntenants.north.tokens = 9").settings.orchestration.budget
    assert (budget.day, budget.tenant_day, budget.tenants) == ({"usd": 20}, {}, {"north": {"tokens": 9}})
    with pytest.raises(InvalidSetting, match=r'"orchestration\.budget\.day\.usd" .*valid number.*\(found \'x\'\)'):
        stack('[orchestration.budget]\nday = { usd = "x" }')
    with pytest.raises(InvalidSetting, match=r"less than or equal to 36500 \(found 1000000\)"):  # before the first year
        stack("[foundation.retention]\nspans_days = 1_000_000")
    with pytest.raises(
        InvalidSetting, match=r'"retrieval\.grounding\.weights\.rank" .*less than or equal to 1 \(found 2\)'
    ):
        stack("[retrieval.grounding.weights]\nrank = 2")


def test_an_unknown_layer_in_the_environment_is_refused(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY__MODLES__CHAT__USE", "scripted")
    with pytest.raises(UnknownSetting, match=r'SIXPLY__MODLES__CHAT__USE names no layer: "modles".*"models"\?'):
        stack("")


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("SIXPLY_MODELS__CHAT__USE", "SIXPLY__MODELS__CHAT__USE"),
        ("SIXPLY_SERVING_HTTP_MAX_BODY_BYTES", "SIXPLY__SERVING__HTTP__MAX_BODY_BYTES"),
        ("SIXPLY_FOUNDATION_DATA_DIR", "SIXPLY__FOUNDATION__DATA_DIR"),
        ("SIXPLY_MODELS__CHAT__API_KEY", "SIXPLY__MODELS__CHAT__API_KEY"),
    ],
)
def test_a_variable_with_too_few_underscores_is_refused_with_the_right_name(stack, monkeypatch, name, right):
    monkeypatch.setenv(name, "x")
    with pytest.raises(UnknownSetting, match=rf"^{name} sets nothing.*Say {right}\."):
        stack("")


def test_an_unknown_key_in_the_environment_names_the_environment(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY__SERVING__HTTP__PROT", "1")
    with pytest.raises(UnknownSetting, match=r'"serving\.http\.prot" \(environment\)'):
        stack("")


def test_a_value_that_does_not_fit_names_key_origin_and_value(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY__SERVING__HTTP__PORT", "99999")
    with pytest.raises(InvalidSetting, match=r'"serving\.http\.port" \(environment\) does not fit: .*99999'):
        stack("")


def test_a_part_without_a_name_is_refused(stack):
    with pytest.raises(InvalidSetting, match=r"models\.chat\.use"):
        stack('[models.chat]\nuse = ""')


def test_a_missing_file_says_where_to_look(tmp_path):
    with pytest.raises(InvalidSetting, match=r"No configuration at .*stack\.toml\. Run from the repository's root"):
        load(tmp_path / "stack.toml")


@pytest.mark.parametrize("content", [b"[models", b"\xff\xfe\x00"])
def test_a_file_that_is_not_toml_is_refused(tmp_path, content):
    path = tmp_path / "stack.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidSetting, match="is not valid TOML"):
        load(path)


def test_a_folder_instead_of_a_file_is_refused(tmp_path):
    with pytest.raises(InvalidSetting, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize("key", ["api_key", "password", "client_secret", "auth_token", "dsn"])
def test_secrets_are_masked_everywhere(stack, monkeypatch, key):
    monkeypatch.setenv(f"SIXPLY__MODELS__CHAT__{key.upper()}", "hunter2hunter2")
    loaded = stack('[models.chat]\nuse = "openai_compatible"')
    shown = [repr(loaded), str(loaded.settings), loaded.settings.model_dump_json(), str(list(loaded.rows()))]
    assert loaded.settings.models.chat.options[key].get_secret_value() == "hunter2hunter2"
    assert not any("hunter2" in text for text in shown)


def test_a_secret_in_a_list_of_parts_is_masked_too(stack):
    loaded = stack('[[models.fallbacks]]\nuse = "openai_compatible"\napi_key = "hunter2hunter2"')
    assert "hunter2" not in str(list(loaded.rows())) + repr(loaded)


def test_a_secret_does_not_stand_in_the_text_of_an_error(stack):
    with pytest.raises(InvalidSetting) as refused:
        stack('[models.chat]\nuse = 5\napi_key = "hunter2hunter2"')
    assert "hunter2" not in str(refused.value)


def test_a_part_written_as_a_bare_name_is_refused_with_its_key(stack):
    with pytest.raises(InvalidSetting, match=r'"models\.chat" .*does not fit: .*\(found .llama_cpp.\)'):
        stack('[models]\nchat = "llama_cpp"')


def test_settings_are_frozen_all_the_way_down(stack):
    settings = stack("").settings
    for section, name in [(settings, "models"), (settings.serving.http, "port"), (settings.models.chat, "use")]:
        with pytest.raises(ValidationError):
            setattr(section, name, None)


def test_an_empty_section_is_a_value_of_its_own():
    assert list(flatten({"a": {}, "b": {"c": {"d": 1}}})) == [("a", {}), ("b.c.d", 1)]


def test_a_file_may_begin_with_the_mark_that_some_editors_write(stack):
    assert stack("\ufeff[foundation]\nseed = 1").settings.foundation.seed == 1


@pytest.mark.parametrize("text", ["profiles = 3", "[profiles]\ntest = 3"])
def test_a_profile_that_is_no_table_is_refused(stack, text):
    with pytest.raises(InvalidSetting, match=r"\[profiles\.test\] is no table"):
        stack(text, profile="test")


def test_a_variable_that_is_no_json_is_refused_without_its_value(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY__MODELS__CHAT", '{"api_key": "hunter2hunter2"')
    with pytest.raises(InvalidSetting, match=r"no JSON .* one of .*SIXPLY__MODELS__CHAT.*: Expecting") as refused:
        stack("")
    assert "hunter2" not in str(refused.value)


def test_a_value_that_does_not_fit_is_told_with_the_source_that_set_it(stack, monkeypatch):
    monkeypatch.setenv("SIXPLY__SERVING", "3")
    with pytest.raises(InvalidSetting, match=r'"serving" \(environment\)'):
        stack("[serving.http]\nport = 1")


@pytest.mark.parametrize("folder", ["", ".", ".."])
def test_a_data_folder_around_the_current_one_is_refused(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSetting, match=r"it holds the folder that you are in\. Choose another"):
        make_data_dir(Path(folder))


@pytest.mark.parametrize("folder", [Path("/"), CODE.parent, CODE])
def test_a_data_folder_around_the_code_is_refused(folder):
    with pytest.raises(InvalidSetting, match="it holds the system's own code"):
        make_data_dir(folder)


def test_a_data_folder_named_in_full_may_be_the_current_one_and_needs_none(tmp_path, monkeypatch):
    data, below, gone = tmp_path / "data", tmp_path / "data" / "below", tmp_path / "gone"
    for here in (data, below, gone):  # as systemd's WorkingDirectory and docker exec's -w have it
        here.mkdir()
        monkeypatch.chdir(here)
        if here == gone:
            gone.rmdir()
        assert make_data_dir(data) == data
    monkeypatch.chdir(tmp_path)


def test_a_data_folder_that_is_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InvalidSetting, match=r"loop cannot be made or written: .*[lL]oop.*\. Choose another"):
        make_data_dir(tmp_path / "loop")


def test_a_data_folder_relative_to_the_root_is_refused_since_var_is_the_systems_own(monkeypatch):
    monkeypatch.chdir("/")
    with pytest.raises(InvalidSetting, match="it is relative to /, where systemd and cron start"):
        make_data_dir(Path("var"))


def test_a_data_folder_that_is_empty_is_closed_and_one_of_others_left_as_it_is(tmp_path):
    empty, shared, group, used = (tmp_path / name for name in ("empty", "shared", "group", "used"))
    for folder, mode in ((empty, 0o755), (shared, 0o1777), (group, 0o2770), (used, 0o755)):
        folder.mkdir()
        folder.chmod(mode)
    (used / "page.html").write_text("x")
    (used / "page.html").chmod(0o644)
    modes = [make_data_dir(folder).stat().st_mode & 0o7777 for folder in (empty, shared, group, used)]
    assert modes == [0o700, 0o1777, 0o2770, 0o755]
    assert (used / "page.html").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_number_that_is_none_is_refused(stack, value):
    with pytest.raises(InvalidSetting, match=r'"serving\.http\.grace_s" .*finite number'):
        stack(f"[serving.http]\ngrace_s = {value}")


def test_tables_and_lists_of_a_parts_options_are_json_in_a_variable(stack, monkeypatch):
    chat = {
        "USE": "openai_compatible",
        "MODEL": "[x]",
        "PROFILE": '{"tool_calling": true}',
        "EXTRA": '{"stop": ["a", "b"]}',
    }
    for name, value in chat.items():
        monkeypatch.setenv(f"SIXPLY__MODELS__CHAT__{name}", value)
    part = stack("").settings.models.chat
    assert part.options == {"model": "[x]", "profile": {"tool_calling": True}, "extra": {"stop": ["a", "b"]}}
    assert checked_options("models.chat", part)
    monkeypatch.setenv("SIXPLY__MODELS__CHAT__PROFILE", "{tool_calling: true}")
    with pytest.raises(InvalidSetting, match=r'option "profile" .* In a variable it is JSON, such as'):
        checked_options("models.chat", stack("").settings.models.chat)
