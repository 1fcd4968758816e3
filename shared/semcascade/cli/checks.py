"""What `semcascade doctor` finds, as plain data: packages, keys, members. Values of keys are never touched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING

from semcascade.cli.weights import missing_weights
from semcascade.decision import FALLBACK, one_line
from semcascade.errors import CascadeError, SemcascadeError

if TYPE_CHECKING:
    from semcascade.config import CascadeConfig, Member

__all__ = [
    "Key",
    "MemberFinding",
    "Package",
    "ask_member",
    "check_member",
    "find_keys",
    "find_packages",
    "members_of",
    "missing_packages",
]

_EXTRAS = ("langchain", "llamaindex", "embeddings", "local")

_PROVIDER_KEYS = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "azure": ("AZURE_API_KEY",),
    "bedrock": ("AWS_ACCESS_KEY_ID",),
    "mistral": ("MISTRAL_API_KEY",),
    "cohere": ("COHERE_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY",),
    "fireworks_ai": ("FIREWORKS_AI_API_KEY",),
    "huggingface": ("HUGGINGFACE_API_KEY", "HF_TOKEN"),
    "perplexity": ("PERPLEXITYAI_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
}
"""Environment variables that LiteLLM reads, for the providers that most people use."""

_TINY_QUESTION = "Reply with the one word: ready"


@dataclass(frozen=True, slots=True)
class Package:
    """One package that semcascade uses.

    Attributes:
        name: Its name on the package index.
        version: What is installed, or None.
        extra: The extra that brings it, or None for what is always needed.
    """

    name: str
    version: str | None
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """One environment variable that may hold a key; its value is not looked at.

    Attributes:
        name: The variable.
        present: Whether it is set and not empty.
        wanted_by: The configured members that use it.
    """

    name: str
    present: bool
    wanted_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberFinding:
    """Whether one member can be asked.

    Attributes:
        tier: Its tier.
        name: Its name.
        model: Its model id.
        problem: Why it cannot answer, and what to do; None where nothing is known to be wrong.
        asked: Whether it was really asked.
        answer: What it answered; untrusted.
        latency_s: Seconds that took.
        cost: US dollars that cost, or None where unknown.
    """

    tier: str
    name: str
    model: str
    problem: str | None = None
    asked: bool = False
    answer: str | None = None
    latency_s: float | None = None
    cost: float | None = None


def find_packages() -> list[Package]:
    """Return the packages that the installed distribution asks for, base first, then extra by extra."""
    try:
        required = metadata.requires("semcascade") or []
    except metadata.PackageNotFoundError:
        required = []
    found: list[Package] = []
    for line in required:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", line)
        if name != "semcascade" and (extra is None or extra.group(1) in _EXTRAS):
            found.append(Package(name, _version(name), extra.group(1) if extra else None))
    return sorted(found, key=lambda package: -1 if package.extra is None else _EXTRAS.index(package.extra))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def missing_packages(config: CascadeConfig | None, packages: Sequence[Package]) -> list[str]:
    """Return the packages that are needed, by all or by how answers are compared, and not installed.

    Raises:
        ConfigError: If the configuration names what does not exist.
    """
    needed = {None, "embeddings"} if config is not None and _embeds_here(config) else {None}
    return [package.name for package in packages if package.extra in needed and not package.version]


def _embeds_here(config: CascadeConfig) -> bool:
    from semcascade.engine.cascade import Cascade
    from semcascade.similarity import get_similarity
    from semcascade.similarity.embedding import Embedding

    Cascade(config)  # refuses unknown names of signals, similarities and transports
    used = [get_similarity(tier.similarity or config.similarity) for tier in config.tiers[:-1]]
    return any(isinstance(similarity, Embedding) and not similarity.remote for similarity in used)


def find_keys(config: CascadeConfig | None) -> list[Key]:
    """Return the variables of the configured members, then those of well-known providers."""
    wanted: dict[str, list[str]] = {}
    for member in config.members() if config else ():
        for name in _key_names(member):
            wanted.setdefault(name, []).append(member.name)
    others = (name for names in _PROVIDER_KEYS.values() for name in names if name not in wanted)
    return [
        Key(name, bool(os.environ.get(name)), tuple(dict.fromkeys(wanted.get(name, ())))) for name in (*wanted, *others)
    ]


def _key_names(member: Member) -> tuple[str, ...]:
    if member.api_key_env:
        return (member.api_key_env,)
    if member.transport == "openai":
        from semcascade.transport.openai_services import key_variables

        return key_variables(member)
    if member.api_key is not None or member.api_base is not None or member.transport not in {None, "litellm"}:
        return ()
    return _PROVIDER_KEYS.get(member.provider, ())


def members_of(config: CascadeConfig) -> Iterator[tuple[str, Member]]:
    """Yield each member with the name of its tier."""
    for tier in config.tiers:
        for member in tier.members:
            yield tier.name, member
    for member in config.fallback:
        yield FALLBACK, member


def check_member(tier: str, member: Member) -> MemberFinding:
    """Say whether a member is sure to fail, without asking it."""
    from semcascade.engine.transports import Transports

    finding = MemberFinding(tier, member.name, member.model)
    try:
        Transports().of(member).check(member)
    except SemcascadeError as error:
        return replace(finding, problem=_why(error, member))
    weights = missing_weights(member)
    if weights is not None:
        return replace(finding, problem=f"its weights are not here; semcascade models pull {weights}")
    return finding


def ask_member(tier: str, member: Member, config: CascadeConfig) -> MemberFinding:
    """Ask a member a tiny question, once, under the configuration's limits of time."""
    from semcascade.config import Tier
    from semcascade.engine.cascade import Cascade

    finding = MemberFinding(tier, member.name, member.model, asked=True)
    alone = Tier(members=(member.model_copy(update={"samples": 1, "max_retries": 0}),), name=tier)
    with Cascade(config.model_copy(update={"tiers": (alone,)})) as cascade:
        cascade.warmup()
        try:
            result = cascade.complete(_TINY_QUESTION)
        except SemcascadeError as error:
            return replace(finding, problem=_why(error, member))
    decision = result.decision
    return replace(finding, answer=result.text, latency_s=decision.latency_s, cost=decision.cost)


def _why(error: SemcascadeError, member: Member) -> str:
    if isinstance(error, CascadeError) and error.failures:
        error = error.failures[-1]
    return one_line(str(error).removeprefix(f"{member.name}: "), 400)
