"""Where services with OpenAI's chat interface are, and which environment variables hold their keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from semcascade.config import Member
from semcascade.errors import AuthenticationError, ModelNotFoundError

__all__ = ["SERVICES", "Endpoint", "Service", "endpoint", "key_variables", "provider_of"]


@dataclass(frozen=True, slots=True)
class Service:
    """One well-known service.

    Attributes:
        base: Its address; None: it has none of its own, as it runs wherever its user runs it.
        keys: Environment variables that may hold its key, the first that is set counts.
        bases: Environment variables that may hold another address of it.
        needs_key: Whether it refuses requests without a key.
    """

    base: str | None
    keys: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    needs_key: bool = True


def _hosted(name: str, base: str, *keys: str) -> Service:
    return Service(base, keys or (f"{name}_API_KEY",), (f"{name}_API_BASE",))


def _own(name: str, base: str | None) -> Service:
    return Service(base, (f"{name}_API_KEY",), (f"{name}_API_BASE",), needs_key=False)


SERVICES: Mapping[str, Service] = {
    "openai": Service("https://api.openai.com/v1", ("OPENAI_API_KEY",), ("OPENAI_API_BASE", "OPENAI_BASE_URL")),
    "cerebras": _hosted("CEREBRAS", "https://api.cerebras.ai/v1"),
    "deepinfra": _hosted("DEEPINFRA", "https://api.deepinfra.com/v1/openai"),
    "deepseek": _hosted("DEEPSEEK", "https://api.deepseek.com/v1"),
    "fireworks_ai": _hosted(
        "FIREWORKS", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"
    ),
    "gemini": _hosted(
        "GEMINI", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", "GOOGLE_API_KEY"
    ),
    "groq": _hosted("GROQ", "https://api.groq.com/openai/v1"),
    "huggingface": _hosted("HF", "https://router.huggingface.co/v1", "HUGGINGFACE_API_KEY", "HF_TOKEN"),
    "mistral": _hosted("MISTRAL", "https://api.mistral.ai/v1"),
    "moonshot": _hosted("MOONSHOT", "https://api.moonshot.ai/v1"),
    "nvidia_nim": _hosted("NVIDIA_NIM", "https://integrate.api.nvidia.com/v1"),
    "openrouter": _hosted("OPENROUTER", "https://openrouter.ai/api/v1"),
    "perplexity": _hosted("PERPLEXITY", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "sambanova": _hosted("SAMBANOVA", "https://api.sambanova.ai/v1"),
    "together_ai": _hosted("TOGETHER_AI", "https://api.together.ai/v1", "TOGETHERAI_API_KEY", "TOGETHER_API_KEY"),
    "xai": _hosted("XAI", "https://api.x.ai/v1"),
    "hosted_vllm": _own("HOSTED_VLLM", None),
    "llamafile": _own("LLAMAFILE", "http://127.0.0.1:8080/v1"),
    "lm_studio": _own("LM_STUDIO", "http://127.0.0.1:1234/v1"),
    "ollama": _own("OLLAMA", "http://127.0.0.1:11434/v1"),
    "ollama_chat": _own("OLLAMA", "http://127.0.0.1:11434/v1"),
}
"""By the prefix of model ids, spelled as LiteLLM spells it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a member is asked.

    Attributes:
        base: Address of the interface, without a slash at its end.
        model: The model's name as the service knows it.
        key: The key to send, if any.
        official: Whether this is OpenAI itself.
    """

    base: str
    model: str
    key: str | None = field(repr=False)
    official: bool = False

    def url(self, path: str) -> str:
        """Return the address of a part of the interface, whatever query the base carries."""
        parts = urlsplit(self.base)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}"))


def provider_of(member: Member) -> str:
    """Return the member's provider, by its id or by its `custom_llm_provider`."""
    return str(member.params.get("custom_llm_provider") or member.provider)


def endpoint(member: Member) -> Endpoint:
    """Return where and with which key a member is asked.

    The prefix of a known service is no part of the model's name; any other is. A key of the environment goes to its
    own service only, never to an `api_base` of the member.

    Raises:
        ModelNotFoundError: If no address is known.
        AuthenticationError: If the key is missing.

    >>> endpoint(Member(model="ollama/llama3.2")).url("chat/completions")
    'http://127.0.0.1:11434/v1/chat/completions'
    >>> endpoint(Member(model="Qwen/Qwen3-8B", api_base="http://127.0.0.1:8000/v1")).model
    'Qwen/Qwen3-8B'
    """
    provider = provider_of(member)
    service = SERVICES.get(provider)
    base = member.api_base or (service and _base(service))
    if not base:
        raise ModelNotFoundError(_no_address(member, provider, service), member=member.name)
    if urlsplit(base).scheme not in {"http", "https"} or not urlsplit(base).hostname:
        raise ModelNotFoundError(
            f"{base!r} is no address; api_base begins with http:// or https://", member=member.name
        )
    if provider.startswith("ollama") and urlsplit(base).path in {"", "/"}:
        base = base.rstrip("/") + "/v1"  # its own interface is at the root, OpenAI's below
    known = service is not None or provider != member.provider
    model = member.model.removeprefix(f"{provider}/") if known else member.model
    return Endpoint(base, model, _key(member, service), official=provider == "openai" and member.api_base is None)


def key_variables(member: Member) -> tuple[str, ...]:
    """Return the environment variables that may hold the member's key."""
    service = SERVICES.get(provider_of(member))
    if member.api_key_env:
        return (member.api_key_env,)
    return () if service is None or member.api_base or member.api_key is not None else service.keys


def _base(service: Service) -> str | None:
    return next(filter(None, map(os.environ.get, service.bases)), service.base)


def _key(member: Member, service: Service | None) -> str | None:
    key = member.key()
    if key:
        return key
    if member.api_key_env:
        raise AuthenticationError(f"the environment variable {member.api_key_env} is not set", member=member.name)
    names = key_variables(member)
    key = next(filter(None, (os.environ.get(name, "").strip() for name in names)), None)
    if key is None and names and service is not None and service.needs_key and not member.params.get("extra_headers"):
        raise AuthenticationError(
            f"no key: set the environment variable {' or '.join(names)}, or give the member api_key_env",
            member=member.name,
        )
    return key


def _no_address(member: Member, provider: str, service: Service | None) -> str:
    if service is not None:
        return f"{provider} runs wherever you run it: give the member api_base, or set {service.bases[0]}"
    return (
        f"no address is known for the model id {member.model!r}; give the member api_base, or write it as "
        f"provider/model with one of {', '.join(SERVICES)}"
    )
