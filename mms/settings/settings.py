"""The settings of a server: the values of its options, where they come from, and what follows from them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mms.interfaces import INTERFACES
from mms.settings.values import OptionValues, all_options, interface_settings
from mms.text.address import Address
from mms.text.brief import one_line

_T = TypeVar("_T")


@dataclass
class Settings(OptionValues):
    """The values of all options, and what does not come from one."""

    #: The values of the options that interfaces have, by their classes.
    of_interfaces: dict[type, Any] = field(
        default_factory=lambda: {kind: kind() for kind in interface_settings()}
    )

    #: All entries of the file as text, unknown ones included, with what overrides them; plugins see these.
    raw: dict[str, str] = field(default_factory=dict)
    #: (level of Python's logging, text) to be logged once logging is set up.
    notices: list[tuple[int, str]] = field(default_factory=list)
    #: Where each value comes from, by option; an absent one is the built-in default.
    sources: dict[str, str] = field(default_factory=dict)
    config_file: str | None = None
    #: The interface whose server the command that started this one stands for; None: this one.
    stands_for: str | None = None
    #: What was written down by an earlier server is neither read nor written.
    ignores_snapshots: bool = False
    #: What is said of models of `load_models` by (name, url), in keys of `model-config.yaml`; it goes before that file.
    startup_options: dict[tuple[str | None, str], dict[str, Any]] = field(default_factory=dict)
    #: The version of a model whose archive names none; None: it has no versions.
    default_version: str | None = None
    log_config: str | None = None
    #: Started for SageMaker: the config file or the environment names SAGEMAKER_ variables.
    is_sagemaker: bool = False
    #: The config file takes its values from SAGEMAKER_ variables, as the packaged one does.
    has_sagemaker_config: bool = False
    temp_dir: str = "/tmp"
    log_dir: str = "logs"
    #: Names of log files, by those that MMS has for them.
    log_file_names: Mapping[str, str] = field(default_factory=dict)
    metrics_dir: str = "logs"

    def of(self, kind: type[_T]) -> _T:
        """Return the settings of an interface by their class."""
        found = self.of_interfaces[kind]
        assert isinstance(found, kind)
        return found

    def get(self, name: str) -> Any:
        """Return the value of a setting by its name, be it the server's or an interface's."""
        return getattr(self._owner_of(name), name)

    def put(self, name: str, value: Any) -> None:
        """Set the value of a setting by its name."""
        setattr(self._owner_of(name), name, value)

    def _owner_of(self, name: str) -> object:
        owners = (own for own in self.of_interfaces.values() if hasattr(own, name))
        return next(owners, self)

    @property
    def response_timeout_s(self) -> float:
        """For a load and for one batch."""
        if self.debug:
            return float("inf")
        if self.default_response_timeout_seconds >= 0:
            return float(self.default_response_timeout_seconds)
        return self.default_response_timeout * 60.0

    @property
    def has_secrets(self) -> bool:
        """Whether the server knows what workers are not meant to."""
        return bool(
            self.private_key_file
            or self.keystore
            or self.keys_file
            or self.blacklist_env_vars
            or self.worker_env_allow
        )

    @property
    def is_gpu_number_override(self) -> bool:
        """Whether `number_of_gpu` comes from its variable, which no detection limits."""
        return self.sources.get("number_of_gpu") == "MMS_NUMBER_OF_GPU"

    @property
    def is_single_listener(self) -> bool:
        return self.inference_address.endpoint == self.management_address.endpoint

    @property
    def addresses(self) -> dict[str, Address]:
        """All addresses that are listened on, by the settings that name them."""
        return {
            name: address
            for name, option in all_options().items()
            if option.kind.name == "address" and (address := self.get(name)) is not None
        }

    @property
    def listening(self) -> list[Address]:
        """All addresses that are listened on."""
        return list(self.addresses.values())

    @property
    def has_grpc(self) -> bool:
        """Whether gRPC is listened for anywhere."""
        names = ["grpc_address", *(interface.grpc_management_setting for interface in INTERFACES)]
        return any(self.get(name) is not None for name in names if name)

    def quoted(self, name: str) -> str:
        """Return `<where it stands>: <name>=<value>` for a message about a setting."""
        source = self.sources.get(name)
        text = one_line(self.raw[name]) if source else self.get(name)
        return f"{source}: {name}={text}" if source else f"{name}={text}"

    @property
    def startup_models(self) -> list[tuple[str | None, str]]:
        """(name, location) of what a start loads; a name may be missing, and ALL is (None, "ALL").

        Names that were written down may have any character.
        """
        models = list(self.startup_options)
        for entry in (self.load_models or "").split(","):
            name, equals, location = entry.strip().partition("=")
            if not equals or "://" in name:
                # A url may have an equals sign of its own.
                name, location = "", entry.strip()
            if location.strip():
                models.append((name.strip() or None, location.strip()))
        return models

    def worker_count_at_startup(self, gpu_count: int, cpu_count: int) -> int:
        """Return the number of workers of each model that is loaded at start."""
        if self.debug:
            return 1
        return self.default_workers_per_model or gpu_count or cpu_count

    def describe(self, *, gpu_count: int, cpu_count: int, home: str) -> str:
        """Return the configuration as MMS logs it, a line for each label but those of a Java virtual machine."""
        rows = [
            ("MMS Home", home),
            ("Current directory", os.getcwd()),
            ("Temp directory", self.temp_dir),
            ("Number of GPUs", gpu_count),
            ("Number of CPUs", cpu_count),
            ("Python executable", sys.executable),
            ("Config file", self.config_file),
            ("Inference address", self.inference_address),
            ("Management address", self.management_address),
            ("Model Store", self.model_store),
            ("Initial Models", self.load_models),
            ("Log dir", self.log_dir),
            ("Metrics dir", self.metrics_dir),
            ("Default workers per model", self.worker_count_at_startup(gpu_count, cpu_count)),
            ("Blacklist Regex", self.blacklist_env_vars or None),
            ("Maximum Response Size", self.max_response_size),
            ("Maximum Request Size", self.max_request_size),
            ("Preload model", str(self.preload_model).lower()),
        ]
        return "\n".join(f"{label}: {'N/A' if value is None else value}" for label, value in rows)
