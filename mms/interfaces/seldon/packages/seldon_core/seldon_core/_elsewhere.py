"""Names of Seldon's package that are not in a module of this one: where else they are, or why they are nowhere."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, NoReturn

#: Where Seldon's modules import each other's names from.
_MODULES: Final = (
    *("user_model", "utils", "metrics", "flask_utils", "metadata", "env_utils"),
    *("seldon_client", "microservice", "seldon_methods"),
)


class Absent:
    """A name that can be imported. Each use of it fails, with the reason."""

    def __init__(self, name: str, reason: str) -> None:
        self._told = f"{name} is not part of the stand-in for seldon_core: {reason}"

    def __repr__(self) -> str:
        return f"<{self._told}>"

    def _refuse(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise NotImplementedError(self._told)

    __call__ = __iter__ = __getitem__ = __len__ = __contains__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            # Python asks these of anything, such as for a docstring.
            raise AttributeError(name)
        self._refuse()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        self._refuse()


def names_elsewhere(module: str, reason: str, *absent: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module: names of others of the package, and those that are `absent` for `reason`."""

    def find(name: str) -> Any:
        if name in absent:
            return Absent(f"{module}.{name}", reason)
        if not name.startswith("_"):
            for other in _MODULES:
                full_name = f"{__package__}.{other}"
                if full_name != module:
                    found = vars(importlib.import_module(full_name)).get(name)
                    if found is not None:
                        return found
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find
