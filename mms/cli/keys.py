"""`mms keys`: make, list and revoke the keys that a server demands."""

from __future__ import annotations

import functools
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mms.cli.connecting import as_json
from mms.cli.printing import CommandGroup, print_json, print_table

if TYPE_CHECKING:
    from mms.security import ApiKey, KeyFile

F = TypeVar("F", bound=Callable[..., Any])

_ROLES = ("inference", "management", "metrics")
_LASTING = re.compile(r"([1-9][0-9]{0,5})([dhm])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60}


def _on_file(command: F) -> F:
    """Give a command the option of the file, and the file as its first argument."""

    @functools.wraps(command)
    def run(path: Path | None, **values: Any) -> None:
        from mms.security import InvalidKeyFile, KeyFile

        file = KeyFile(path or _configured())
        try:
            command(file, **values)
        except InvalidKeyFile as error:
            raise click.ClickException(str(error)) from None
        except FileNotFoundError as error:
            raise click.ClickException(f"{error.filename} is not there") from None
        except OSError as error:
            raise click.ClickException(f"{file.path} cannot be changed: {error.strerror}") from None

    option = click.option(
        "--file",
        "path",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The file of keys. Without it the keys_file of config.properties in the current folder.",
    )
    return option(run)  # type: ignore[return-value]  # click reads the options off the function


def _configured() -> Path:
    import os

    from mms.errors import ConfigurationError
    from mms.processes.launch_options import LaunchOptions
    from mms.settings import load_settings

    try:
        path = load_settings(LaunchOptions(), environ=os.environ).keys_file
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    if not path:
        raise click.UsageError("No keys_file is set here; name one with --file.")
    return Path(path)


def _end_of(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Return when a key ends that lasts from now on, in seconds since 1970."""
    if text is None:
        return None
    match = _LASTING.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text} is not a time; write it as 90d, 12h or 30m")
    return float(int(time.time()) + int(match[1]) * _SECONDS[match[2]])


@click.group(cls=CommandGroup)
def keys() -> None:
    """Make, list and revoke the keys of a server with keys_file.

    A running server notices within a second or two.
    """


@keys.command("create")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice(_ROLES),
    multiple=True,
    required=True,
    help="What the key may do; may be given several times.",
)
@click.option(
    "--expires",
    "expires_at",
    metavar="TIME",
    callback=_end_of,
    help="When the key expires, such as 90d, 12h or 30m from now.",
)
@as_json
@_on_file
def create_key(
    file: KeyFile, name: str, roles: tuple[str, ...], expires_at: float | None, is_json: bool
) -> None:
    """Make a key for NAME and print it. It is shown only now: the file keeps its hash.

    A key with the role management can run any code on the server.
    """
    from mms.security import Role, new_key
    from mms.security.key_file import is_name

    if not is_name(name):
        raise click.BadParameter("a name has 1 to 200 printable characters", param_hint="NAME")

    def add(known: list[ApiKey]) -> list[ApiKey]:
        if any(key.name == name for key in known):
            raise click.ClickException(
                f"{file.path} has a key for {name}. Revoke it first, or choose another name, such as {name}-2."
            )
        return [*known, key]

    text, key = new_key(name, map(Role, roles), now=time.time(), expires_at=expires_at)
    file.change(add)
    if is_json:
        print_json({"key": text, **_described(key)})
        return
    print(text)
    if sys.stdout.isatty():
        click.echo(f"The key of {key}; it cannot be shown again.", err=True)


@keys.command("list")
@as_json
@_on_file
def list_keys(file: KeyFile, is_json: bool) -> None:
    """List the keys: ids, names, roles, times."""
    described = [_described(key) for key in file.read()]
    if is_json:
        print_json(described)
    elif described:
        print_table(
            ("ID", "NAME", "ROLES", "CREATED", "EXPIRES"),
            [
                (d["id"], d["name"], ", ".join(d["roles"]), d["created"], _ending(d))
                for d in described
            ],
        )
    else:
        print("No keys. `mms keys create NAME --role inference` adds one.")


@keys.command("revoke")
@click.argument("key")
@as_json
@_on_file
def revoke_key(file: KeyFile, key: str, is_json: bool) -> None:
    """Revoke KEY, named by its id or its name."""
    revoked: list[ApiKey] = []

    def remove(known: list[ApiKey]) -> list[ApiKey]:
        revoked.extend(k for k in known if key in (k.id, k.name))
        if not revoked:
            raise click.ClickException(f"{file.path} has no key with the id or name {key}.")
        return [k for k in known if k not in revoked]

    file.read()
    file.change(remove)
    if is_json:
        print_json([_described(gone) for gone in revoked])
        return
    for gone in revoked:
        print(f"Revoked {gone}.")


def _described(key: ApiKey) -> dict[str, Any]:
    from mms.security.key_file import time_text

    return {
        "id": key.id,
        "name": key.name,
        "roles": sorted(role.value for role in key.roles),
        "created": time_text(key.created_at),
        "expires": None if key.expires_at is None else time_text(key.expires_at),
        "isValid": key.is_valid(time.time()),
    }


def _ending(described: dict[str, Any]) -> str:
    if described["expires"] is None:
        return "never"
    return described["expires"] if described["isValid"] else f"{described['expires']} (past)"
