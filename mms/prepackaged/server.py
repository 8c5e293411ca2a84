"""What all servers of saved models have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from mms.prepackaged.model_folder import ModelFolder


class SavedModelServer(ABC):
    """A component of Seldon's contract: made with keyword parameters, loaded once in the worker, then called.

    `model_uri` is a local folder or file; None is the archive's own folder. Files are looked at in `load` and
    `init_metadata` alone, so that a wrong path is an error of the load.
    """

    def __init__(self, model_uri: str | None = None) -> None:
        self.model_uri = model_uri
        self.is_loaded = False

    def __repr__(self) -> str:
        state = "loaded" if self.is_loaded else "not loaded"
        return f"<{type(self).__name__} of {self.model_uri or 'the archive'}, {state}>"

    def load(self) -> None:
        """Safe to call again: a loaded model stays. Raises ModelNotLoaded and MissingLibrary."""
        if not self.is_loaded:
            self.open_model(ModelFolder(self.model_uri))
            self.is_loaded = True

    def predict(self, X: Any, names: Any = None) -> Any:
        """Raises UnfitInput for what the model cannot take."""
        if not self.is_loaded:
            self.load()
        return self.answer(X, names)

    def init_metadata(self) -> dict[str, Any]:
        return ModelFolder(self.model_uri).read_metadata()

    @abstractmethod
    def open_model(self, folder: ModelFolder) -> None: ...

    @abstractmethod
    def answer(self, X: Any, names: Any) -> Any: ...
