"""Which models there are, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mms.limits.networks import Networks
from mms.settings.option import (
    BOOLEAN,
    HANDLER,
    MODEL_STORE,
    MODELS,
    NETWORKS,
    NUMBER,
    POSITIVE,
    POSITIVE_NUMBER,
    REGEXES,
    TEXT,
    WRITTEN_FILE,
    WRITTEN_FOLDER,
    choice,
    option,
)

_MODELS = "Models"


@dataclass
class ModelOptions:
    """Which models there are, and where they come from."""

    model_store: str | None = option(
        MODEL_STORE,
        _MODELS,
        "The folder of archives. Without it only urls (http, https, s3, gs) can be registered.",
    )
    models_dir: str | None = option(
        MODEL_STORE,
        _MODELS,
        "A folder that is followed: an archive that appears in it is loaded, one that changes takes the place of its "
        "former model once it has loaded, and the model of one that goes is unregistered.",
        is_own=True,
    )
    models_dir_interval_s: float = option(
        POSITIVE_NUMBER,
        _MODELS,
        "How often it is looked at.",
        "2",
        unit="seconds",
        is_own=True,
    )
    models_file: str | None = option(
        TEXT,
        _MODELS,
        "A file that says which models are to be there, with their parameters. It is followed: models are registered, "
        "changed and unregistered until what is served is what it says.",
        is_own=True,
    )
    models_file_interval_s: float = option(
        POSITIVE_NUMBER,
        _MODELS,
        "How often it is looked at.",
        "2",
        unit="seconds",
        is_own=True,
    )
    load_models: str | None = option(
        TEXT,
        _MODELS,
        "Models to load at start: `[name=]location` with commas between them, or ALL. A location is an archive of the "
        "model store or a url (http, https, s3, gs).",
    )
    models: dict[str, dict[str, dict[str, Any]]] | None = option(
        MODELS,
        _MODELS,
        'How single models run: `{"name": {"version": {"minWorkers": 1, "maxWorkers": 4, '
        '"batchSize": 8, "maxBatchDelay": 50, "responseTimeout": 120}}}`. Weaker than a `model-config.yaml` in the '
        "archive and than a registration's parameters.",
        is_own=True,
    )
    default_service_handler: str | None = option(
        HANDLER, _MODELS, "The handler where neither the registration nor the manifest names one."
    )
    default_model: str | None = option(
        TEXT,
        _MODELS,
        "The model that is served at the root, of those whose interface has routes there. Without it: the only one of "
        "its interface, if there is just one.",
        is_own=True,
    )
    preload_model: bool = option(
        BOOLEAN, _MODELS, "Load each model once and fork its workers.", "false"
    )
    initialize_errors: str | None = option(
        choice("fail", "ignore"),
        _MODELS,
        "An exception in a class's `initialize` fails the load, or is ignored and tried again at requests, as MMS "
        "does. Without a value: ignore when started for SageMaker, else fail.",
        is_own=True,
    )
    allowed_urls: tuple[str, ...] | None = option(
        REGEXES,
        _MODELS,
        "Urls outside the model store that clients may name, for models, nodes of graphs and records; one must match "
        "the whole url. Without it: all where management listens on loopback or a Unix socket, else none.",
        is_own=True,
    )
    allowed_private_addresses: Networks | None = option(
        NETWORKS,
        _MODELS,
        "Addresses that such urls may lead to though they are not public: networks, and the words `loopback`, "
        "`private`, `link-local`, `any` and `none`. Without it: loopback where management listens on loopback or a "
        "Unix socket, else none.",
        is_own=True,
    )
    max_download_size: int = option(
        POSITIVE, _MODELS, "Size of one download.", str(64 * 2**30), unit="bytes", is_own=True
    )
    require_signature: bool = option(
        BOOLEAN,
        _MODELS,
        "Serve only archives that one of `trusted_keys` has signed; see docs/archive-format.md.",
        "false",
        is_own=True,
    )
    trusted_keys: str | None = option(
        TEXT,
        _MODELS,
        "Public keys of those who may sign: PEM files, and folders with files `.pub` or `.pem`, with commas between "
        "them. They are read again for each model.",
        is_own=True,
    )
    max_archive_size: int = option(
        POSITIVE,
        _MODELS,
        "Unpacked size of an archive.",
        str(128 * 2**30),
        unit="bytes",
        is_own=True,
    )
    max_archive_ratio: float = option(
        NUMBER,
        _MODELS,
        "Unpacked size of an archive for each byte of its file, where it unpacks to more than 256 MiB; 0: no limit.",
        "250",
        is_own=True,
    )
    max_archive_entries: int = option(
        POSITIVE,
        _MODELS,
        "Files and folders of an archive.",
        "100000",
        is_own=True,
    )
    download_timeout_s: float = option(
        NUMBER,
        _MODELS,
        "Time for one download, redirects included; 0: no limit.",
        "3600",
        unit="seconds",
        is_own=True,
    )
    model_cache: str | None = option(
        WRITTEN_FOLDER,
        _MODELS,
        "A folder that keeps what each `model_uri` was fetched to over restarts. Without it the files go with the "
        "last model that uses them.",
        is_own=True,
    )
    state_file: str | None = option(
        WRITTEN_FILE,
        _MODELS,
        "A file that keeps what is registered, with its workers and parameters, for the next start; its folder is made "
        "where it is missing. Without it a restart loads only `load_models`.",
        is_own=True,
    )
