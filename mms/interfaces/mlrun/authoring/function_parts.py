"""What a function is made of, besides its graph's steps."""

from __future__ import annotations

import os
from typing import Any

DEFAULT_PROJECT = "default"
#: What a function is given for Kubernetes; a process on this machine has no use for it.
OF_KUBERNETES = (
    *("gpu", "with_limits", "with_requests", "with_node_selection", "from_image"),
    *("set_env_from_secret", "set_label", "set_categories", "with_service_type"),
    *("with_priority_class", "with_preemption_mode", "with_security_context", "with_sidecar"),
    *("with_annotations", "with_tolerations", "add_trigger", "add_v3io_stream_trigger"),
    *(
        "with_v3io",
        "set_config",
        "set_state_thresholds",
        "mount_v3io",
        "set_image_pull_configuration",
    ),
    *(
        "add_volume",
        "with_requirements",
        "with_commands",
        "skip_image_enrichment",
        "disable_default_http_trigger",
    ),
    "enable_default_http_trigger",
)


class Metadata:
    """Of a function: who it is. Attributes may be added."""

    def __init__(self, name: str = "", project: str = "", tag: str = "") -> None:
        self.name = name
        self.project = project or os.environ.get("MLRUN_DEFAULT_PROJECT") or DEFAULT_PROJECT
        self.tag = tag
        self.labels: dict[str, str] = {}
        self.annotations: dict[str, str] = {}
        self.hash: str | None = None

    def __repr__(self) -> str:
        return f"<Metadata of {self.project}/{self.name}>"


class ServingSpec:
    """What a function is made of. Attributes that only Kubernetes reads may be set, too."""

    def __init__(self) -> None:
        self.graph: Any = None
        #: Of the function, for `context.get_param`.
        self.parameters: dict[str, Any] = {}
        self.load_mode: str | None = None
        self.graph_initializer: Any = None
        self.error_stream: str | None = None
        self.default_content_type: str | None = None
        #: Of models that are added without one.
        self.default_class: str | None = None
        self.secret_sources: list[dict[str, Any]] = []
        self.track_models: bool | None = None
        self.tracking_policy: Any = None
        self.function_refs: dict[str, Any] = {}
        #: The file with the function's classes.
        self.command: str = ""
        self.code: str | None = None
        self.workdir: str | None = None
        self.env: dict[str, str] = {}
        self.image = ""
        self.description = ""
        #: Seconds that models have to load in.
        self.readiness_timeout: int | None = None
        #: Of these come the workers of each model.
        self.replicas: int | None = None
        self.min_replicas: int | None = None
        self.http_workers: int | None = None
        self.max_replicas: int | None = None
        self.config: dict[str, Any] = {}
        self.default_handler = ""


class FunctionStatus:
    """Where a deployed function answers."""

    def __init__(self) -> None:
        self.state = ""
        self.address = ""
        self.management_address = ""

    def __repr__(self) -> str:
        return f"<FunctionStatus {self.state or 'not deployed'} {self.address}>"
