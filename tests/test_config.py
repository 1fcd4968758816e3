import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.config import CascadeConfig, Member, load_config
from semcascade.errors import ConfigError

SECRET = "sk-very-secret-value-0123"


def build(**settings):
    return CascadeConfig.build(**{"ensemble": ["a/x", "b/y"], "target": "c/z", **settings})


def test_short_and_long_form_are_the_same():
    short = build(threshold=0.7)
    long = CascadeConfig.build(
        tiers=[{"name": "ensemble", "members": ["a/x", "b/y"]}, {"name": "target", "members": "c/z"}], threshold=0.7
    )
    assert short == long
    assert [tier.name for tier in short.tiers] == ["ensemble", "target"]


def test_three_tiers_get_names():
    config = CascadeConfig.build(
        tiers=[{"members": ["a", "b"]}, {"members": ["c", "d"], "threshold": 0.9}, {"members": ["e"]}]
    )
    assert [tier.name for tier in config.tiers] == ["tier-1", "tier-2", "target"]


def test_request_parameters_are_gathered():
    member = Member.model_validate({"model": "a/x", "temperature": 0.2, "params": {"safety": "low"}, "samples": 3})
    assert member.params == {"temperature": 0.2, "safety": "low"}
    assert member.samples == 3


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"ensemble": []}, "ensemble", "no members"),
        ({"ensemble": None}, "ensemble", "no members"),
        ({"target": None}, "target", "no member"),
        ({"ensemble": ["a"]}, "ensemble", "samples=2"),
        ({"ensemble": ["a", "a"]}, "ensemble", "twice"),
        ({"ensemble": ["a", ""]}, "ensemble[1].model", "empty"),
        ({"ensemble": ["a", " "]}, "ensemble[1].model", "empty"),
        ({"ensemble": ["a", 3]}, "ensemble[1]", "provider/model"),
        ({"ensemble": 3}, "ensemble", "expected a list"),
        ({"ensemble": ["a", {"model": 3}]}, "ensemble[1].model", "expected a text"),
        ({"ensemble": ["a", {"model": "b", "api_base": "http://[::1/v1"}]}, "ensemble[1].api_base", "no address"),
        ({"similarity": 5}, "similarity", "a name, or a mapping"),
        ({"ensemble": ["a", {"model": "b", "tempratur": 1}]}, "ensemble[1].tempratur", "temperature"),
        ({"ensemble": ["a", {"model": "b", "samples": 0}]}, "ensemble[1].samples", "greater"),
        ({"ensemble": ["a", {"model": "b", "input_cost_per_token": -1}]}, "ensemble[1].input_cost_per_token", "greater"),
        ({"target": {"model": "c", "treshold": 1}}, "target.treshold", "unknown"),
        ({"threshold": 1.2}, "threshold", "less than or equal to 1"),
        ({"threshold": -0.1}, "threshold", "greater than or equal to 0"),
        ({"threshold": "high"}, "threshold", "number"),
        ({"threshold": float("nan")}, "threshold", "than or equal to"),
        ({"escalation_rate": 1.5}, "escalation_rate", "from 0 to 1"),
        ({"threshold": 0.5, "escalation_rate": 0.2}, "threshold", "exclude"),
        ({"treshold": 0.5}, "treshold", "threshold"),
        ({"ensemble": None, "ensembel": ["a", "b"]}, "ensembel", "'ensemble'"),
        ({"selection": "best"}, "selection", "central"),
        ({"timeout": 0}, "timeout", "greater than 0"),
        ({"threshold": True}, "threshold", "bool"),
        ({"timeout": True}, "timeout", "bool"),
        ({"timeout": math.inf}, "timeout", "finite"),
        ({"deadline": True}, "deadline", "bool"),
        ({"deadline": math.inf}, "deadline", "finite"),
        ({"max_retries": True}, "max_retries", "bool"),
        ({"quorum": True}, "quorum", "bool"),
        ({"budget": {"query": {"cost": 1e300}}}, "budget.query.cost", "less than"),
        *(
            ({"ensemble": ["a", {"model": "b", setting: True}]}, f"ensemble[1].{setting}", "bool")
            for setting in ("priority", "samples", "timeout", "max_retries", "input_cost_per_token", "context_window")
        ),
        ({"ensemble": ["a", {"model": "b", "input_cost_per_token": math.inf}]}, "ensemble[1].input_cost_per_token", "less than"),
        ({"ensemble": ["a", {"model": "b", "output_cost_per_token": 1e300}]}, "ensemble[1].output_cost_per_token", "less than"),
        ({"escalation_rate": True}, "escalation_rate", "from 0 to 1"),
        ({"ensemble": {"a", "b"}}, "ensemble", "no order"),
        ({"quorum": 0}, "quorum", "greater than or equal to 1"),
        ({"tiers": [{"members": ["a", "b"]}]}, "tiers", "either"),
        ({"target": ["c", "d"]}, "target", "one member"),
        ({"target": {"model": "c", "api_base": "https://u:p@host/v1"}}, "target.api_base", "api_key_env"),
        ({"target": {"model": "c", "api_base": "https://host/v1?key=abc"}}, "target.api_base", "api_key_env"),
        ({"target": {"model": "c", "api_base": "http://host:99999/v1"}}, "target.api_base", "Port"),
        ({"target": {"model": "c", "api_base": "http://ho st/v1\n"}}, "target.api_base", "space"),
        ({"target": {"model": "c", "extra_headers": ["X"]}}, "target.extra_headers", "a mapping, got list"),
        ({"target": {"model": "c", "extra_headers": {"X": 5}}}, "target.extra_headers", "a text for 'X', got int"),
        ({"target": {"model": "c", "extra_headers": {"X": "a\nY: b"}}}, "target.extra_headers", "'X' holds a line break"),
        ({"target": {"model": "c", "extra_body": "x"}}, "target.extra_body", "a mapping, got str"),
        ({"target": {"model": "c", "preamble": [{"role": "x", "content": "y"}]}}, "target.preamble[0].role", "unknown role"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(settings, field, words):
    with pytest.raises(ConfigError) as caught:
        build_with(settings)
    assert caught.value.field == field
    assert words in str(caught.value)


def build_with(settings):
    base = {"ensemble": ["a/x", "b/y"], "target": "c/z"}
    return CascadeConfig.build({key: value for key, value in {**base, **settings}.items() if value is not None})


def test_secrets_are_in_no_dump(monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    config = build(
        ensemble=[
            {"model": "a", "api_key": SECRET},
            {"model": "b", "api_key_env": "MY_KEY", "extra_headers": {"X-Key": SECRET},
             "extra_body": {"api_key": SECRET, "plugins": [{"id": "web", "api_key": SECRET}]}, "params": {"aws_secret_access_key": SECRET}},
        ]
    )  # fmt: skip
    members = config.tiers[0].members
    assert [member.key() for member in members] == [SECRET, SECRET]
    for dump in (repr(config), str(config), json.dumps(config.to_dict()), config.model_dump_json(exclude={"tiers"})):
        assert SECRET not in dump
    assert SECRET.encode() not in pickle.dumps(config)
    restored = pickle.loads(pickle.dumps(config)).tiers[0].members[1]
    assert restored.key() == SECRET
    assert restored.params["extra_body"] == {"plugins": [{"id": "web"}]}
    assert members[1].params["extra_body"]["plugins"][0]["api_key"] == SECRET


def test_secrets_are_in_no_error():
    with pytest.raises(ConfigError) as caught:
        build(ensemble=["a", {"model": "b", "api_key": [SECRET]}])
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


@given(
    st.lists(st.text("abcdef/", min_size=1).filter(str.strip), min_size=2, max_size=4, unique=True),
    st.floats(0, 1),
    st.sampled_from(["auto", "central", "primary"]),
)
def test_a_dump_builds_the_same_configuration(names, threshold, selection):
    config = CascadeConfig.build(ensemble=names, target="t", threshold=threshold, selection=selection, deadline=5)
    assert CascadeConfig.build(json.loads(json.dumps(config.to_dict()))) == config


def test_keywords_win_over_a_configuration():
    config = build(threshold=0.7)
    assert CascadeConfig.build(config, threshold=0.9).threshold == 0.9
    assert CascadeConfig.build(config, target="d/w").tiers[1].members[0].model == "d/w"
    assert CascadeConfig.build(config, target="d/w").tiers[0] == config.tiers[0]
    assert CascadeConfig.build(config, escalation_rate=0.3).tiers[0].escalation_rate == 0.3


def test_files(tmp_path):
    toml = tmp_path / "c.toml"
    toml.write_text('ensemble = ["a/x", {model = "b/y", temperature = 0.5}]\ntarget = "c/z"\nthreshold = 0.8\n')
    config = load_config(toml, timeout=5)
    assert config.timeout == 5
    assert config.tiers[0].members[1].params == {"temperature": 0.5}
    file = tmp_path / "c.json"
    file.write_text(json.dumps(config.to_dict()))
    assert load_config(file) == config


@pytest.mark.parametrize(("name", "text"), [("c.toml", "a = "), ("c.json", "{"), ("c.json", "[1]"), ("c.toml", None)])
def test_bad_files(tmp_path, name, text):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=name) as caught:
        load_config(path)
    assert caught.value.field == "config"


def test_a_key_is_given_to_the_members_of_one_service_only():
    config = build(ensemble=["openai/a", {"model": "openai/b", "api_key": "own"}], target="openai/c").with_key("given")
    assert [member.key() for member in config.members()] == ["given", "own", "given"]
    with pytest.raises(ConfigError, match="a, b, c") as caught:
        build().with_key("given")
    assert caught.value.field == "api_key"
    assert "given" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"tiers": 5, "escalation_rate": 0.2}, "tiers"),
        ({"tiers": ["a", "b"], "escalation_rate": 0.2}, "tiers[0]"),
        ({"ensemble": [{"model": "a", "params": 5}, "b"], "target": "t"}, "ensemble[0].params"),
    ],
)
def test_nonsense_in_place_of_a_table_is_refused_by_name(settings, field):
    with pytest.raises(ConfigError) as error:
        CascadeConfig.build(settings)
    assert error.value.field == field


@pytest.mark.parametrize("config", [5, "cascade.toml", ["a"]])
def test_what_is_no_configuration_is_refused(config):
    with pytest.raises(ConfigError, match="config: expected a mapping"):
        CascadeConfig.build(config)


def test_secrets_among_parameters_are_in_no_dump_of_pydantic():
    config = build(ensemble=[{"model": "a/x", "extra_headers": {"X": SECRET}, "seed": 1}, "b/y"])
    for dump in (str(config.model_dump()), config.model_dump_json()):
        assert SECRET not in dump
        assert "seed" in dump


def test_keys_from_files_end_with_a_line_break(monkeypatch):
    monkeypatch.setenv("MY_KEY", f"{SECRET}\r\n")
    assert Member(model="a", api_key_env="MY_KEY").key() == Member(model="a", api_key=f" {SECRET}\n").key() == SECRET
    monkeypatch.setenv("MY_KEY", " ")
    assert Member(model="a", api_key_env="MY_KEY").key() is Member(model="a", api_key="").key() is None
