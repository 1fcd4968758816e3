"""What member ids name, and the presets that name them."""

from pathlib import Path

import pytest

from semcascade.config import CascadeConfig
from semcascade.errors import ConfigError, LocalModelError
from semcascade.presets import preset, preset_names
from semcascade.transport.local.catalogue import CATALOGUE, find, resolve

HASH = "ab" * 32


@pytest.mark.parametrize("name", ["smollm2", "gemma3-270m"])
def test_known_names_are_pinned_and_licensed(name):
    model = resolve(f"local/{name}")
    assert model is CATALOGUE[name] is find(name)
    hashes = [model.sha256, *(wheel.sha256 for wheel in model.wheels)]
    assert all(len(bytes.fromhex(value)) == 32 for value in hashes)
    assert len(set(hashes)) == len(hashes)
    assert model.licence
    assert model.licence_url.startswith("https://")
    assert model.download_size == sum(wheel.size for wheel in model.wheels)


@pytest.mark.parametrize(
    "model_id,path",
    [
        ("local//models/a.gguf", "/models/a.gguf"),
        ("local/./a.gguf", "a.gguf"),
        ("local/../a.gguf", "../a.gguf"),
        ("local/sub/A.GGUF", "sub/A.GGUF"),
        ("local/./no-ending", "no-ending"),
    ],
)
def test_paths(model_id, path):
    assert resolve(model_id) == Path(path)


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert resolve("local/~/a.gguf") == tmp_path / "a.gguf"


def test_hub_address():
    model = resolve(f"local/hf://some-one/tiny-GGUF@v1.0/sub/tiny.Q4.gguf#sha256={HASH.upper()}")
    assert (model.hub.repo, model.hub.revision, model.hub.path) == ("some-one/tiny-GGUF", "v1.0", "sub/tiny.Q4.gguf")
    assert model.sha256 == HASH
    assert model.size is None
    assert model.file == f"tiny.Q4-{HASH[:12]}.gguf"


@pytest.mark.parametrize(
    "name,words",
    [
        ("local/gpt-5", "smollm2, gemma3-270m"),
        ("hf://someone/tiny/tiny.gguf", "lacks its hash"),
        (f"hf://someone/tiny.gguf#sha256={HASH}", "not an address"),
        (f"hf://someone/tiny/../../x.bin#sha256={HASH}", "not an address"),
        ("hf://someone/tiny/tiny.gguf#sha256=12", "not an address"),
    ],
)
def test_refusals_say_what_is_known(name, words):
    with pytest.raises(LocalModelError, match=words):
        resolve(name)


def test_a_hub_path_cannot_leave_the_cache():
    assert find(f"hf://a/b/../../../etc/x.gguf#sha256={HASH}").file == f"x-{HASH[:12]}.gguf"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_valid_configuration(name):
    config = CascadeConfig.build(preset(name))
    assert CascadeConfig.build(config.to_dict()).to_dict() == config.to_dict()


def test_the_local_preset_has_three_distinct_members_and_another_target():
    config = CascadeConfig.build(preset("local"))
    ensemble, target = config.tiers
    assert len(ensemble.members) == 3
    shown = {(member.preamble[1]["content"], str(member.params)) for member in ensemble.members}
    assert len(shown) == 3
    assert {member.model for member in ensemble.members} == {"local/smollm2"}
    assert target.members[0].model == "local/gemma3-270m"
    for member in config.members():
        assert member.provider == "local"
        resolve(member.model)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ConfigError, match="known are local"):
        preset("cloud")
