"""The settings that model servers and functions of MLRun have."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import BOOLEAN, choice, option

_SECTION = "MLRun"


@dataclass(slots=True)
class MlrunSettings:
    """The values of the settings, under their names in a properties file."""

    mlrun_shim: str = option(
        choice("auto", "shim", "real"),
        _SECTION,
        "What a serving class imports as `mlrun`: shim, what this server brings along; real, the installed package; "
        "auto, the installed one where there is one, else the shim.",
        "auto",
        is_own=True,
    )
    strict_status: bool = option(
        BOOLEAN,
        _SECTION,
        "Statuses that say what is wrong, where MLRun has 400 and 408: 404 for unknown models and operations, 422 for "
        "input that does not fit, 503 for models that are not ready, 500 for exceptions of a model.",
        "false",
        is_own=True,
    )
    nan_policy: str = option(
        choice("null", "keep", "error"),
        _SECTION,
        "NaN and infinities in results: written as null, kept as NaN and Infinity (which is not JSON), or an error.",
        "null",
        is_own=True,
    )
    mlrun_data_url: bool = option(
        BOOLEAN,
        _SECTION,
        "A request's `data_url` is fetched by the worker: public http(s) addresses, those of `allowed_urls` alone "
        "where it is set, which may name files (`file:///path`), and `allowed_private_addresses`.",
        "false",
        is_own=True,
    )
    mlrun_body_operation: bool = option(
        BOOLEAN,
        _SECTION,
        "A body's `operation` replaces the path's, so rules by path no longer protect. Without this setting the "
        "body's counts only if the path has none.",
        "false",
        is_own=True,
    )
    mlrun_event_headers: bool = option(
        BOOLEAN,
        _SECTION,
        "A header `MLRUN-EVENT-PATH` replaces the path, so rules by path no longer protect. Requests to "
        "MLRun's models leave the fast path then.",
        "false",
        is_own=True,
    )
