"""The documentation page of the settings, made from the options themselves."""

from __future__ import annotations

from typing import Final

from mms.settings.option import Option
from mms.settings.values import all_options

_INTRODUCTION = """\
# Settings

<!-- Made by `python -m mms.cli.pages.settings > docs/settings.md` from mms/settings/ and mms/arg_parser.py. -->

`multi-model-server --mms-config FILE` reads settings from a properties file; without the flag from
`config.properties` in the current folder, if there is one. `--mms-config sagemaker` stands for the packaged
SageMaker settings. The variable `MMS_CONFIG_FILE` beats the flag.

```properties
inference_address=http://0.0.0.0:8080
management_address=http://127.0.0.1:8081
model_store=/opt/models
load_models=digits.mar,second=other.mar
default_workers_per_model=2
```

`mms settings` shows every value that counts, and where it comes from.
"""

_SOURCES = """\
## Where a value comes from

The later one counts:

1. the default in the tables below;
2. the properties file, with `$$NAME$$` replaced by the variable NAME (one that is not set ends the start);
3. `--model-store` for `model_store`, `--models` for `load_models`;
4. variables `MMS_<KEY IN UPPER CASE>`, only if the file says `enable_envvars_config=true`.
   Otherwise one line of the log names those that are set and have no effect.
   `MMS_NUMBER_OF_GPU` counts as it is; the key is limited to the GPUs that are there.

A key without a value (`job_queue_size=`) keeps its default.

## The file

Java's properties syntax: `key=value`, `key:value` or `key value`; comments begin with `#` or `!`; a backslash at the
end of a line continues it; `\\t`, `\\n`, `\\uXXXX` and a backslash before any other character are escapes. Blanks
after a value belong to it. The last one of several entries of a key counts. The file is read as ISO-8859-1, as Java
does, and as UTF-8 if it begins with a byte order mark.

A wrong value ends the start with one line that names file, line, key, value and what would be right:

```
Invalid configuration: /srv/config.properties:4: job_queue_size=many should be a whole number from 1 on
```

An unknown key is a warning in the log, with the nearest known key. So is a variable `MMS_...` that is not a setting.
Plugins see unknown keys, too.

## Addresses

`http://host:port`, `https://host:port`, or `unix:/path`; IPv6 as `http://[::1]:8080`. Without a port: 80 and 443 for
inference, 8081 and 8444 for management. Equal addresses make one listener with both interfaces. A file at the path of
a Unix socket is replaced.

## Units

`default_response_timeout` is in minutes, as it is in MMS, whose documentation says seconds; keys that end in `_s` or
`_seconds` are in seconds. Sizes are in bytes.
"""

_VARIABLES = """\
## Other variables

| variable | |
|---|---|
| `MMS_CONFIG_FILE` | the properties file; beats `--mms-config` |
| `LOG_LOCATION`, `METRICS_LOCATION` | folders of the log files and of the two metrics files; `logs` without them |
| `TEMP` | folder for sockets and unpacked archives; the system's own without it |
| `TMPDIR` | also where `multi-model-server` keeps its PID file; `--pid-file` names another one |
| `PYTHONPATH` | handed on to workers |
| `MODEL_SERVER_HOME` | accepted; the folder has to exist |
| `SAGEMAKER_*` | their presence makes `initialize_errors=ignore` the default; [containers](docker.md) |
"""

#: What most people set, and what for.
_FIRST: Final = {
    "inference_address": "who can ask for predictions: `http://0.0.0.0:8080` lets other machines in",
    "management_address": "who can manage models; others than this machine need [keys](security.md#keys)",
    "model_store": "the folder of the archives",
    "load_models": "which of them are loaded at the start; `all` are all",
    "default_workers_per_model": "how many processes each of these gets",
    "default_response_timeout": "how long a handler may take",
    "job_queue_size": "how many requests may wait for a model",
    "max_request_size": "how large a request may be",
    "keys_file": "a key for each client, [with its role](security.md#keys)",
    "state_file": "registrations that outlive a restart ([operations](operations.md))",
}

_HEADING = "| key | default | type, unit | variable | |\n|---|---|---|---|---|"


def settings_page() -> str:
    """Return the page without the commands' flags, Markdown."""
    sections: dict[str, list[str]] = {}
    for key, option in all_options().items():
        sections.setdefault(option.section, []).append(_row(key, option))
    tables = [
        f"## {section}\n\n{_HEADING}\n" + "\n".join(rows) + "\n"
        for section, rows in sections.items()
    ]
    legend = (
        "Keys marked *new* are unknown to MMS. A key without a variable is for the file alone.\n"
    )
    return "\n".join([_INTRODUCTION, _first_table(), _SOURCES, legend, *tables, _VARIABLES])


def _first_table() -> str:
    """Return the part of those that most people set, Markdown."""
    options = all_options()
    rows = []
    for key, purpose in _FIRST.items():
        option = options[key]
        default = " ".join(
            filter(None, (f"`{option.default}`" if option.default else "", option.unit))
        )
        rows.append(f"| `{key}` | {default} | {purpose} |")
    table = "| key | default | what for |\n|---|---|---|\n" + "\n".join(rows)
    return f"## The ten that people need\n\n{table}\n"


def _row(key: str, option: Option) -> str:
    default = f"`{option.default}`" if option.default else ""
    kind = f"{option.kind.name}, {option.unit}" if option.unit else option.kind.name
    variable = f"`MMS_{key.upper()}`" if option.has_variable else ""
    mark = " *(new)*" if option.is_own else ""
    # A bar would end the cell.
    help = option.help.replace("|", "\\|")
    return f"| `{key}` | {default} | {kind} | {variable} | {help}{mark} |"
