"""What an interface gives the server: the contract of a model's code, and the protocol of its clients.

The rest of the server asks an `Interface` and never its name. Its parts are named as `module` or `module:attribute` and
imported when they are first asked for, so that the table of interfaces costs next to nothing, and a worker imports
nothing of interfaces that its model does not use.
"""

from __future__ import annotations

import importlib
import os
import sys

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What a registration says of a model whose interface is to be found out.
AUTO = "auto"


def part(reference: str) -> Any:
    """Return what `module` or `module:attribute` names. Raises whatever its import raises."""
    module_name, _, attribute = reference.partition(":")
    module = importlib.import_module(module_name)
    return getattr(module, attribute) if attribute else module


class Package:
    """A stand-in for a library that models import, for where the library itself is not installed."""

    def __init__(self, name: str, interface_file: str, setting: str = "") -> None:
        """`name`: what models import. `interface_file`: the file of its interface's entry. `setting`: the one
        that says which is imported: `auto`, `shim` or `real`; without one it is `auto`."""
        self.name = name
        self.setting = setting
        here = os.path.dirname(os.path.abspath(interface_file))
        #: Goes onto the path of a worker; has a folder of the package's name.
        self.folder = os.path.join(here, "packages", name)

    def __repr__(self) -> str:
        return f"<Package {self.name}>"

    def is_installed(self) -> bool:
        """Return whether it can be imported: the library itself, or the stand-in once its folder is on the path."""
        # It brings functools, for which no worker's start waits.
        import importlib.util

        spec = importlib.util.find_spec(self.name)
        # A folder of that name without code is no package.
        return spec is not None and spec.origin is not None

    def use(self) -> bool:
        """Make its import work in this process; return whether it is the stand-in that is imported."""
        loaded = sys.modules.get(self.name)
        file = getattr(loaded, "__file__", None)
        if file:
            return bool(file.startswith(self.folder))
        if loaded is not None:
            # Made of a folder of that name, which is no package; it would stay the one that is imported.
            del sys.modules[self.name]
        if self.folder not in sys.path:
            if self.is_installed():
                return False
            sys.path.append(self.folder)
        importlib.invalidate_caches()
        return True


class Command:
    """A subcommand of `mms` that runs a click command with what is behind its name."""

    def __init__(self, name: str, help: str, command: str) -> None:
        """`help`: one sentence for the list of commands. `command`: the `module:attribute` of the click command."""
        self.name = name
        self.help = help
        self.command = command

    def __repr__(self) -> str:
        return f"<Command {self.name}>"


class Interface:
    """An entry of the table of interfaces. One without a part has nothing of that kind."""

    name: str
    #: What messages call the interface, and a model of it, one and several.
    title = ""
    noun = "model"
    nouns = "models"
    #: The module whose `open_model(load)` opens a model in its worker.
    worker: str
    #: Whether a registration may name it.
    is_choosable = True
    #: Tells by the source of a class whether it is a model of this interface: an `archiver.source.ClassRule`.
    class_rule = ""
    #: Tells it of a class that a worker has imported: a module with `names_model(handler)`.
    class_finder = ""
    #: Tells that a handler which is no class of another interface was written to this one: a function of (the
    #: manifest's document, the handler, the syntax tree of its module or None).
    handler_rule = ""
    #: Whether its models may be handlers of the default interface, too.
    takes_handlers = False
    #: Tells what a folder is in the layout of another server: a function of its path that returns an
    #: `archiver.layouts.Layout`, or None.
    layout = ""
    #: Reads what the archive of any model declares of its tensors: a function of (served model) that returns an
    #: `mms.tensors.declaration.ModelDeclaration`, or None.
    declaration = ""
    #: Finds what is wrong with such declarations: a function of (mappings that may have one, by where they stand; what
    #: reads a file of the archive) that yields sentences.
    declaration_problems = ""
    #: Whether an archive with the manifest of MMS 0.x is a model of this interface, whatever its code.
    has_old_manifest = False
    #: Whether arguments of its classes may be lists and objects, and say their types by their look.
    has_json_arguments = False
    #: Makes a request that a model is likely to answer, for a person who tries it: a function of (served model) that
    #: returns (path, body for JSON), or None. An empty path is that of predictions.
    sample = ""
    #: Makes what `Load` has of its models alone: a function of (served model, settings, the server's environment).
    load_part = ""
    #: Counts the processes of a worker of its models, which a node of a cluster is asked room for: a function of what
    #: `model-config.yaml` says.
    process_count = ""
    #: Whether its models have a place in a graph, a `service_type`.
    has_service_type = False
    #: Stand-ins for libraries. The first one tells that code is written to this interface, if `telling_packages` does
    #: not say more.
    packages: tuple[Package, ...] = ()
    #: What its models read of their place in a deployment: an `mms.serving.served.place.DeploymentPlace`.
    place = ""
    #: Whether its clients compare the text of a failed load, so that it does not tell why.
    has_fixed_load_error = False
    #: Whether its models never see how many requests a batch has.
    hides_batches = False
    #: Whether requests to its models carry what is asked of the model: a `ModelOperation`.
    takes_operations = False
    #: How the server that it comes from is configured, for that server's own command: an
    #: `mms.settings.dialect.Dialect`.
    config_dialect = ""
    #: Makes the keys that its own server demands: a function of (settings) that returns a `mms.security.guard.Keys`, or
    #: None. What is raised where one is wanting: a `ServerError`.
    key_ring = ""
    key_refusal = ""
    #: Tells whether nobody can have its own server run code who is not allowed to: a function of (settings) that
    #: returns a truth.
    is_management_safe = ""
    #: Its own settings: a dataclass of `mms.settings.option.option` fields.
    settings = ""
    #: Parameters of a registration that only its models have: an `mms.registration.Options`.
    parameters = ""
    #: Parameters of other interfaces' groups that its models take, too.
    also_takes: tuple[str, ...] = ()
    #: Makes its models that ask other models: an `mms.serving.registration.pipeline.CompositeFactory`. The file of an
    #: archive without a handler that it makes one of.
    composites = ""
    document_name = ""
    #: Whether its models have routes of their own below `/v2`, in place of those that all other models have there.
    has_v2_dialect = False
    #: The routes of its protocol: an `mms.http.interface_api.InterfaceApi`. Schemas that their descriptions name.
    http_api = ""
    schemas = ""
    #: The services of its protocol: an `mms.grpc.services.InterfaceServices`.
    grpc_services = ""
    #: The setting with the address of a gRPC listener with its services of management.
    grpc_management_setting = ""
    #: Protocols of tensors that its clients write requests in: by the name that a `ModelOperation` has for one, a
    #: function of a `Load` that makes its codec, an `mms.worker.tensors.codec.TensorCodec`.
    codecs: tuple[tuple[str, str], ...] = ()
    #: Writes down what is registered, as its own server does: a class with `of(settings, host)`, which returns None for
    #: a server that does not, and coroutines `start` and `stop`.
    snapshots = ""
    #: Keys of `model-config.yaml` that its workers read, and no other ones.
    config_keys: tuple[str, ...] = ()
    #: Settings with the address of a listener with its routes alone, of one with metrics alone, and with one more path
    #: of metrics.
    address_setting = ""
    metrics_address_setting = ""
    metrics_path_setting = ""
    #: Tells metrics in the form of its own server, where this one stands for that: a function of the settings that
    #: returns a `ServerText`.
    metrics_text = ""
    #: The setting that has each worker's process report series of its own, labelled `worker_id`.
    worker_id_setting = ""
    #: What the names of its own metrics begin with, so that no model takes them.
    metric_prefixes: tuple[str, ...] = ()
    #: Its subcommands of `mms`.
    commands: tuple[Command, ...] = ()
    #: What qlog records call the program: a variable, and the value where it is not set.
    qlog_program = ("", "")
    #: Variables that workers have unless the operator sets them: (name, value).
    variables: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"<Interface {self.name}>"

    @property
    def telling_packages(self) -> tuple[Package, ...]:
        """Return those of its packages whose import tells that code is written to this interface."""
        return self.packages[:1]

    @property
    def has_classes(self) -> bool:
        """Return whether its models are classes that are made with arguments."""
        return bool(self.class_rule)
