"""Things that are chosen by name: built-in ones, ones that a package brings, ones that a user registers.

A registry is the one kind of process-wide table in this library. It only grows, every change is made under a
lock, and a name that is taken is never silently given to something else.
"""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from semcascade.errors import ConfigError
from semcascade.locks import ForkLock

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Finds things by name.

    Looked up in this order: what comes with the library, what the user registered, what installed packages
    announce as entry points. Nothing is imported before it is asked for.

    Args:
        field: The setting that holds such a name; errors name it.
        builtin: Names that come with the library, each with its "module:attribute".
        group: The entry-point group that packages announce theirs under.
    """

    def __init__(self, field: str, builtin: Mapping[str, str], *, group: str) -> None:
        self.field, self.group = field, group
        self._builtin = dict(builtin)
        self._registered: dict[str, T] = {}
        self._resolved: dict[str, T] = {}
        self._lock = ForkLock()

    def register(self, name: str, item: T) -> None:
        """Make `item` known under `name` in this process.

        Raises:
            ConfigError: If the name is empty, or already stands for something else.
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigError("a name is a text that is not empty", field=self.field)
        with self._lock:
            if name in self._builtin or self._registered.get(name, item) is not item:
                raise ConfigError(f"the name {name!r} is taken; choose another", field=self.field)
            self._registered[name] = item

    def unregister(self, name: str) -> None:
        """Forget what was registered under `name`; unknown names are no error."""
        with self._lock:
            self._registered.pop(name, None)

    def get(self, name: str) -> T:
        """Return what `name` stands for.

        Raises:
            ConfigError: If the name is unknown, or a package's entry point cannot be loaded.
        """
        if name in self._resolved:
            return self._resolved[name]
        if name in self._builtin:
            found: T = pkgutil.resolve_name(self._builtin[name])
            self._resolved[name] = found
            return found
        with self._lock:
            if name in self._registered:
                return self._registered[name]
        return self._from_package(name)

    def comes_along(self, name: str) -> bool:
        """Say whether what `name` stands for comes with the library; such a name is never given to something else."""
        return name in self._builtin

    def names(self) -> tuple[str, ...]:
        """Return every known name, sorted."""
        announced = {point.name for point in entry_points(group=self.group)}
        with self._lock:
            return tuple(sorted({*self._builtin, *self._registered, *announced}))

    def _from_package(self, name: str) -> T:
        for point in entry_points(group=self.group, name=name):
            try:
                loaded: T = point.load()
            except (ImportError, AttributeError) as error:
                raise ConfigError(
                    f"{name!r} of the entry point {point.value!r} cannot be loaded: {error}", field=self.field
                ) from error
            return loaded
        raise self._unknown(name)

    def _unknown(self, name: Any) -> ConfigError:
        names = self.names()
        close = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
        return ConfigError(f"unknown {self.field} {name!r}; {hint}", field=self.field)
