"""Errors that clients are told, with their status in HTTP."""

from __future__ import annotations


class MLServerError(Exception):
    """What a model raises for a client."""

    def __init__(self, msg: str, status_code: int = 400) -> None:
        super().__init__(msg)
        self.status_code = status_code


class InvalidModelURI(MLServerError):
    """The settings name no file of the model, or one that is not there."""

    def __init__(self, name: str, model_uri: str | None = None) -> None:
        at = f" ({model_uri})" if model_uri else ""
        super().__init__(f"Invalid URI specified for model {name}{at}", 422)


class ModelNotFound(MLServerError):
    """There is no model of a name."""

    def __init__(self, name: str, version: str | None = None) -> None:
        at = f" with version {version}" if version is not None else ""
        super().__init__(f"Model {name}{at} not found", 404)


class ModelNotReady(MLServerError):
    """A model has not loaded yet."""

    def __init__(self, name: str, version: str | None = None) -> None:
        at = f" with version {version}" if version is not None else ""
        super().__init__(f"Model {name}{at} is not ready yet.")


class InferenceError(MLServerError):
    """A request cannot be answered."""


class ModelParametersMissing(MLServerError):
    """The settings have no parameters."""

    def __init__(self, model_name: str) -> None:
        super().__init__(f"Parameters missing for model {model_name}")
