"""The documentation page of a registration's parameters, made from the tables themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from mms.registration.options import Options
from mms.registration.parameter import SCALE, Parameter, group_of

_INTRODUCTION = """\
# Parameters of a registration

<!-- Made by `python -m mms.cli.pages.registration > docs/registration.md` from the tables of parameters. -->

What `POST /models` takes ([management API](management-api.md#register)), in a query or as members of a JSON body, and
what else takes the same:

- *changes*: `PUT /models/{model}` changes it of a running model ([scale](management-api.md#scale)). *New workers* means
  that the workers are replaced one after the other.
- *keys*: [`model-config.yaml`](managing-models.md#model-configyaml) in the archive, and an entry of the setting
  [`models`](settings.md).
- *flag*: `mms models register`, and `mms models scale` for what changes. `register` sends JSON and `scale` a query;
  the unit is theirs.
- *describe*: the member of `GET /models/{model}` that shows it.

A parameter of the registration is the strongest, then comes the file, then the setting `models`, then what holds for
all models. An empty value stands for the default. Parameters marked *new* are unknown to MMS.

A truth is `true`, `yes`, `y` or `1`, or `false`, `no`, `n` or `0`. A text that is JSON may have 65,536 characters; more
is read only where the JSON of a body is not within a text.
"""
_HEADING = """\
| parameter | type, unit | default | |
|---|---|---|---|"""
_PLACES = """\
| parameter | changes | keys | flag | describe |
|---|---|---|---|---|"""


def registration_page(options: type[Options], scaling: type[Options]) -> str:
    """Return the page, Markdown. `options`: what a registration takes; `scaling`: what `PUT` takes besides."""
    kinds = [kind for member in fields(options) if (kind := group_of(member)) is not None]
    sections = [
        (options.title, options.own_parameters()),
        *((k.title, k.own_parameters()) for k in kinds),
    ]
    parts = [_INTRODUCTION, *(_section(title, own) for title, own in sections)]
    rows = [_places_row(declared) for _, own in sections for _, declared in own]
    parts.append("\n".join(["## Where else", "", _PLACES, *rows, ""]))
    parts.append(_section(scaling.title, scaling.own_parameters()))
    return "\n".join(parts)


def _section(title: str, parameters: Sequence[tuple[str, Parameter]]) -> str:
    return "\n".join([f"## {title}", "", _HEADING, *(_row(p) for _, p in parameters), ""])


def _row(declared: Parameter) -> str:
    mark = " *(new)*" if declared.is_new else ""
    text = f"{declared.help} {declared.details}".strip()
    return f"| `{declared.name}`{mark} | {_kind(declared)} | {_default(declared)} | {text} |"


def _kind(declared: Parameter) -> str:
    unit = declared.unit
    if declared.json_unit:
        unit = f"**{declared.unit} in a query, {declared.json_unit} in JSON**"
    return ", ".join(text for text in (declared.kind.name, unit) if text)


def _default(declared: Parameter) -> str:
    if declared.otherwise:
        return declared.otherwise
    if declared.setting:
        return f"the setting `{declared.setting}`"
    return f"`{declared.default}`" if declared.default else ""


def _places_row(declared: Parameter) -> str:
    changes = ""
    if SCALE in declared.routes:
        changes = "yes, new workers" if declared.needs_workers else "yes"
    keys = ", ".join(
        f"`{key.name}`" + (f" ({key.unit})" if key.unit else "") for key in declared.keys
    )
    flag = f"`{declared.command_flag}`" if declared.command_flag else "the argument"
    shown = f"`{declared.shown.name}`" if declared.shown else ""
    return f"| `{declared.name}` | {changes} | {keys} | {flag} | {shown} |"
