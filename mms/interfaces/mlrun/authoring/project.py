"""A stand-in for projects of MLRun: names of functions, kept in this process alone.

Nearly all of MLRun's pages on serving make their functions with `project.set_function()`.
"""

from __future__ import annotations

import os
from typing import Any

from mms.interfaces.mlrun.authoring.function import ServingFunction
from mms.interfaces.mlrun.authoring.functions import (
    Deployed,
    code_to_function,
    deploy_function,
    import_function,
)
from mms.interfaces.mlrun.errors import MLRunNotFoundError


class Project:
    """The serving functions of one name."""

    def __init__(self, name: str, context: str = "./") -> None:
        """`context`: the folder that functions' files are looked for in."""
        self.name = name
        self.context = context
        self._functions: dict[str, ServingFunction] = {}

    def __repr__(self) -> str:
        return f"<Project {self.name} of {', '.join(self._functions) or 'no functions'}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"projects have no {name} here: they are names for serving functions, without MLRun's service behind them"
        )

    def set_function(
        self,
        func: Any = None,
        name: str = "",
        kind: str = "serving",
        image: str | None = None,
        handler: str | None = None,
        **options: Any,
    ) -> ServingFunction:
        """Add a function: one that is made, or the file of its code (.py, .ipynb) or document (.yaml)."""
        if isinstance(func, ServingFunction):
            function = func
            function.metadata.project = self.name
        elif str(func or "").endswith((".yaml", ".yml")):
            function = import_function(os.path.join(self.context, str(func)))
            function.metadata.project = self.name
        else:
            path = os.path.join(self.context, str(func)) if func else ""
            function = code_to_function(
                name, self.name, filename=path, kind=kind, image=image, handler=handler or ""
            )
        self._functions[name or function.metadata.name] = function
        return function

    def get_function(self, key: str, **_: Any) -> ServingFunction:
        """Return a function of the project. Raises MLRunNotFoundError."""
        if key not in self._functions:
            known = ", ".join(self._functions) or "none"
            raise MLRunNotFoundError(f"project {self.name} has no function {key}, only {known}")
        return self._functions[key]

    def deploy_function(self, function: Any, mock: bool | None = None, **options: Any) -> Deployed:
        """Deploy a function, or the one of a name; with `mock` for `function.invoke` in this process."""
        if isinstance(function, str):
            function = self.get_function(function)
        return deploy_function(function, mock=mock, **options)

    def save(self, *_: Any, **__: Any) -> Project:
        """Keep nothing, as there is no database, and return the project."""
        return self


#: By name: whoever asks for one again gets the same.
_PROJECTS: dict[str, Project] = {}


def get_or_create_project(name: str, context: str = "./", **_: Any) -> Project:
    """Return the project of a name, made where there is none."""
    if name not in _PROJECTS:
        _PROJECTS[name] = Project(name, context)
    return _PROJECTS[name]


def new_project(name: str, context: str = "./", **_: Any) -> Project:
    """Return an empty project, in the place of one of its name."""
    _PROJECTS[name] = Project(name, context)
    return _PROJECTS[name]
