"""What is written beside a model's file: its parameters, metrics, features and other files (model_spec.yaml)."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.files.features import Features

FILE_NAME = "model_spec.yaml"
_METADATA = ("key", "project", "iter", "tree", "description", "hash", "updated", "labels", "tag")
#: The members of `spec`, in their order.
_SPEC = (
    *("src_path", "target_path", "viewer", "inline", "format", "size", "db_key", "extra_data"),
    *("producer", "annotations", "sources", "license", "encoding"),
    *("model_file", "metrics", "parameters", "inputs", "outputs", "framework", "algorithm"),
    *("feature_vector", "feature_weights", "feature_stats", "model_target_file", "model_url"),
)
_DICTS = ("extra_data", "metrics", "parameters")


class _Members:
    """A part of an artifact: members by name, those of newer versions included."""

    def __init__(self, **members: Any) -> None:
        self.__dict__.update(members)

    # Not called for members that are there.
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no {name}")

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"<{type(self).__name__} {shown}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the members that have a value."""
        found = {}
        for name, value in self.__dict__.items():
            plain = value.to_dict() if hasattr(value, "to_dict") else value
            if plain not in (None, "", {}, []):
                found[name] = plain
        return found


class ArtifactMetadata(_Members):
    """Who the artifact is."""

    def __init__(self, **members: Any) -> None:
        super().__init__(**dict.fromkeys(_METADATA))
        self.labels: dict[str, Any] = {}
        self.__dict__.update({name: value for name, value in members.items() if value is not None})


class ModelSpec(_Members):
    """What the artifact is: the model."""

    def __init__(self, **members: Any) -> None:
        super().__init__(**dict.fromkeys(_SPEC))
        for name in _DICTS:
            setattr(self, name, {})
        self.__dict__.update({name: value for name, value in members.items() if value is not None})
        self.inputs = Features(members.get("inputs"))
        self.outputs = Features(members.get("outputs"))


class ModelArtifact:
    """A model's description. The members of `metadata` and `spec` are its own as well."""

    kind = "model"

    def __init__(
        self,
        key: str | None = None,
        body: Any = None,
        format: str | None = None,
        model_file: str | None = None,
        *,
        model_dir: str | None = None,
        metadata: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        status: dict[str, Any] | None = None,
        **members: Any,
    ) -> None:
        """`metadata`, `spec`, `status`: as documents; else their members by name. Raises TypeError."""
        if metadata is None and spec is None:
            metadata = {name: members.pop(name) for name in _METADATA if name in members}
            metadata["key"] = key
            spec = {"format": format, "model_file": str(model_file) if model_file else None}
            spec["src_path"] = model_dir
            unknown = [name for name in members if name not in _SPEC]
            if unknown:
                raise TypeError(f"a ModelArtifact has no {', '.join(unknown)}")
            spec.update(members)
        for name, part in (("metadata", metadata), ("spec", spec), ("status", status)):
            if part is not None and not isinstance(part, dict):
                raise TypeError(
                    f"{name} of a model's spec must be a mapping, not {type(part).__name__}"
                )
        self.metadata = ArtifactMetadata(**(metadata or {}))
        self.spec = ModelSpec(**(spec or {}))
        self.status = _Members(**(status or {}))
        self._body = body

    def __repr__(self) -> str:
        return f"<ModelArtifact {self.metadata.key or self.spec.model_file}>"

    def __getattr__(self, name: str) -> Any:
        # Only for what the object itself does not have.
        if not name.startswith("__"):
            for part in ("spec", "metadata"):
                members = self.__dict__.get(part)
                if members is not None and name in members.__dict__:
                    return members.__dict__[name]
        raise AttributeError(f"a ModelArtifact has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        for part in ("spec", "metadata"):
            members = self.__dict__.get(part)
            if members is not None and name in members.__dict__:
                setattr(members, name, value)
                return
        self.__dict__[name] = value

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> ModelArtifact:
        """Return a document's artifact; older forms have no `metadata` and `spec`. Raises ValueError."""
        if not isinstance(document, dict):
            raise ValueError(f"a model's spec is a mapping, not {type(document).__name__}")
        kind = document.get("kind") or cls.kind
        if kind != cls.kind:
            raise ValueError(f"a model's spec is of kind model, not of kind {kind}")
        if "spec" in document or "metadata" in document:
            parts: dict[str, Any] = {
                name: document.get(name) or {} for name in ("metadata", "spec", "status")
            }
        else:
            metadata = {name: document[name] for name in _METADATA if name in document}
            spec = {
                name: value
                for name, value in document.items()
                if name not in metadata and name not in ("kind", "status")
            }
            parts = {"metadata": metadata, "spec": spec, "status": {}}
        try:
            return cls(**parts)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        metadata = self.metadata.to_dict()
        # A file is the same under all its tags.
        metadata.pop("tag", None)
        return {
            "kind": self.kind,
            "metadata": metadata,
            "spec": self.spec.to_dict(),
            "status": self.status.to_dict(),
        }

    def to_json(self) -> str:
        from mms.bodies.json_text import to_json

        return to_json(self.to_dict()).decode()

    def to_yaml(self) -> str:
        from mms.bodies.json_text import yaml_of_json

        return yaml_of_json(self.to_json())

    @property
    def is_dir(self) -> bool:
        return True

    @property
    def uri(self) -> str:
        """`store://models/<project>/<key>[#<iter>][:<tag>][@<tree>]`."""
        metadata = self.metadata
        key = self.spec.db_key or metadata.key or ""
        uri = f"store://models/{metadata.project or 'default'}/{key}"
        for sign, part in (("#", metadata.iter), (":", metadata.tag), ("@", metadata.tree)):
            if part:
                uri += f"{sign}{part}"
        return uri


def parse_model_spec(text: str | bytes, source: str) -> ModelArtifact:
    """Return the artifact of a model_spec.yaml. Raises ValueError with `source` for what is none."""
    from mms.text.documents import read_yaml

    try:
        return ModelArtifact.from_dict(read_yaml(text))
    except ValueError as error:
        raise ValueError(f"{source} is not a model spec: {error}") from error
