"""Which transport serves which member."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from semcascade.abilities import Ability
from semcascade.config import Member
from semcascade.errors import ConfigError
from semcascade.transport.base import Transport

__all__ = ["Transports"]


class Transports:
    """Finds the transport of a member; the library's own are made at first use.

    Args:
        default: Serves every member that names no transport of its own; LiteLLM unless given.
        named: The user's own transports, by the names that members call them.
    """

    def __init__(self, default: Transport | None = None, named: Mapping[str, Transport] | None = None) -> None:
        self.default, self.named = default, dict(named or {})
        self._made: dict[str, Transport] = {}

    def of(self, member: Member) -> Transport:
        """Return the member's transport.

        Raises:
            ConfigError: If the member names a transport that nobody gave.
        """
        name = member.transport
        if name is None:
            if member.provider in self.named:
                return self.named[member.provider]
            if self.default is not None:
                return self.default
            name = "local" if member.provider == "local" else "litellm"
        if name in self.named:
            return self.named[name]
        if name not in self._made:
            self._made[name] = _make(name, member, self.named)
        return self._made[name]

    def abilities(self, member: Member) -> dict[Ability, bool]:
        """Return what is known of what the member can do: its settings, then what its transport says."""
        return {**self.of(member).abilities(member), **member.abilities}

    def check_priced(self, members: Iterable[Member], cap: str) -> None:
        """Refuse members that a cap on cost cannot hold.

        Args:
            members: Who may be asked.
            cap: The setting's name.

        Raises:
            ConfigError: If nobody knows beforehand what asking one of them costs.
        """
        for member in members:
            if not self.of(member).knows_price(member):
                raise ConfigError(
                    f"the price of {member.name!r} is not known, so that its cost cannot be capped; "
                    "give it input_cost_per_token and output_cost_per_token",
                    field=cap,
                )

    async def aclose(self) -> None:
        """Close the transports that were made here; the user's own stay open."""
        made, self._made = self._made, {}
        for transport in made.values():
            await transport.aclose()


def _make(name: str, member: Member, named: Iterable[str]) -> Transport:
    if name == "litellm":
        from semcascade.transport.litellm import LiteLLMTransport

        return LiteLLMTransport()
    if name == "local":
        from semcascade.transport.local import LocalTransport

        return LocalTransport()
    if name == "openai":
        from semcascade.transport.openai import OpenAITransport

        return OpenAITransport()
    known = ", ".join(sorted({"litellm", "local", "openai", *named}))
    raise ConfigError(
        f"{name!r} of member {member.name!r} is not known; known are {known}; give others as transports={{name: ...}}",
        field="transport",
    )
