"""The package that stands in for mlrun: its modules, and where each of their names is.

Every module and name of mlrun can be imported here. What serving needs is there; the rest are AbsentName objects,
which fail when they are used.
"""

from __future__ import annotations

import os
import sys

from mms.interfaces.absent_name import AbsentName

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_PACKAGE = "mlrun"
#: A line for each module, its name and those in it, by `scripts/list_mlrun_names.py`.
_NAMES_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "names_of_mlrun.txt")

#: Where this server has what -> the names that it goes by in MLRun, in whichever of its modules they are.
_PLACES = {
    "mms.interfaces.mlrun.model.model_server": "V2ModelServer",
    "mms.interfaces.mlrun.model.legacy_model_server": "MLModelServer",
    "mms.interfaces.mlrun.model.framework_servers": "PickleModelServer ONNXModelServer HuggingFaceModelServer",
    "mms.interfaces.mlrun.model.framework_servers:PickleModelServer": (
        "SKLearnModelServer SklearnModelServer XGBoostModelServer LGBMModelServer"
    ),
    "mms.interfaces.mlrun.graph.graph_server": (
        "GraphServer create_graph_server v2_serving_init v2_serving_handler nuclio_init_hook"
    ),
    "mms.interfaces.mlrun.graph.graph_server:SERVING_SUBKIND": "serving_subkind",
    "mms.interfaces.mlrun.model.context": "GraphContext",
    "mms.interfaces.mlrun.model.event": "MockEvent MockTrigger Response",
    "mms.interfaces.mlrun.model.running:EVENT_ID_HEADER": "event_id_key",
    "mms.interfaces.mlrun.model.running:EVENT_PATH_HEADER": "event_path_key",
    "mms.interfaces.mlrun.routers.router": "BaseModelRouter ModelRouter ParallelRun ParallelRunnerModes",
    "mms.interfaces.mlrun.routers.voting": "VotingEnsemble",
    "mms.interfaces.mlrun.routers.traffic": "CanaryRouter BanditRouter",
    "mms.interfaces.mlrun.graph.steps.base": "BaseStep StepKinds",
    "mms.interfaces.mlrun.graph.steps.base:MAX_STEPS": "MAX_ALLOWED_STEPS",
    "mms.interfaces.mlrun.graph.steps.task": "TaskStep ErrorStep",
    "mms.interfaces.mlrun.graph.steps.router": "RouterStep",
    "mms.interfaces.mlrun.graph.steps.queue": "QueueStep",
    "mms.interfaces.mlrun.graph.model_runner": "Model ModelRunner ModelRunnerSelector ModelRunnerStep ModelSelector",
    "mms.interfaces.mlrun.graph.flow": "FlowStep RootFlowStep",
    "mms.interfaces.mlrun.graph.steps.remote": "RemoteStep BatchHttpRequests",
    "mms.interfaces.mlrun.graph.merge": "Merge",
    "mms.interfaces.mlrun.model.step_dict": "StepToDict",
    "mms.interfaces.mlrun.model.step_dict:StepToDict": "RouterToDict",
    "mms.interfaces.mlrun.authoring.functions": (
        "new_function code_to_function import_function function_from_dict deploy_function"
    ),
    "mms.interfaces.mlrun.authoring.function:ServingFunction": "ServingRuntime",
    "mms.interfaces.mlrun.authoring.project": "new_project get_or_create_project",
    "mms.interfaces.mlrun.authoring.project:Project": "MlrunProject",
    "mms.interfaces.mlrun.files.datastore": "get_dataitem get_object get_store_resource is_store_uri",
    "mms.interfaces.mlrun.files.data_item": "DataItem FileStats",
    "mms.interfaces.mlrun.records.streams": "get_stream_pusher",
    "mms.interfaces.mlrun.files.artifacts": "get_model",
    "mms.interfaces.mlrun.files.model_spec": "ModelArtifact ModelSpec",
    "mms.interfaces.mlrun.files.features": "Feature",
    "mms.interfaces.mlrun.model.logger": "Logger",
    "mms.interfaces.mlrun.files.secrets:Secrets": "SecretsStore",
    "mms.interfaces.mlrun.authoring.scripts": (
        "MLClientCtx mlconf set_environment set_env_from_file logger create_logger "
        "handler ModelMonitoringMode"
    ),
    "mms.interfaces.mlrun.authoring.scripts:mlconf": "config",
    "mms.interfaces.mlrun.authoring.mounts": (
        "auto_mount mount_configmap mount_hostpath mount_pvc mount_s3 mount_secret mount_v3io mount_v3io_extended "
        "mount_v3io_legacy set_env_variables v3io_cred"
    ),
    # A module under another name.
    "mlrun.runtimes.mounts:": "mounts",
    "mms.interfaces.mlrun.errors": "GraphError ModelRunnerError err_to_str",
}
PLACE_OF = {
    name: place if ":" in place else f"{place}:{name}"
    for place, names in _PLACES.items()
    for name in names.split()
}
#: In modules of these names mean other things, but for `ModelMonitoringMode`.
_OF_THEIR_OWN = "mlrun.common."
#: What modules have here besides what they have in MLRun.
_MORE = {
    "mlrun": "function_from_dict",
    "mlrun.artifacts.model": "ModelSpec",
    "mlrun.config": "mlconf",
    "mlrun.errors": "GraphError",
    "mlrun.run": "function_from_dict",
    "mlrun.serving": (
        "BanditRouter BaseModelRouter BatchHttpRequests CanaryRouter EnrichmentModelRouter EnrichmentVotingEnsemble "
        "FlowStep GraphError Merge MockEvent MockTrigger ParallelRun RemoteStep Response RootFlowStep "
        "v2_serving_handler v2_serving_init"
    ),
    "mlrun.serving.routers": "BanditRouter CanaryRouter",
    "mlrun.serving.states": "GraphContext",
    "mlrun.utils": "StepToDict logger",
}


#: Routers that do nothing but look features up, and what to use in their place.
FEATURE_ROUTERS = ("EnrichmentModelRouter", "EnrichmentVotingEnsemble")
_OF_FEATURE_STORE = (
    "looks features up in MLRun's feature store, which this server does not have; derive a class from ModelRouter or "
    "VotingEnsemble and look them up in its preprocess(event)"
)


def absence_text(name: str) -> str:
    """Return why a name of mlrun is not here, and what to do."""
    if name.rpartition(".")[2] in FEATURE_ROUTERS:
        return f"{name} {_OF_FEATURE_STORE}"
    return (
        f"{name} is not part of the stand-in for mlrun that this server has for serving classes; to use it, "
        "install the package mlrun itself where the model runs"
    )


def absent(name: str) -> AbsentName:
    return AbsentName(name, absence_text(name))


def set_up(module: ModuleType) -> None:
    """Give a module of the stand-in the names that it has in MLRun. Raises ImportError for one that MLRun has not."""
    name = module.__name__
    lines = _lines_below(name)
    if name not in lines and not lines:
        raise ImportError(absence_text(name), name=name)
    # A package: of what is not in one, Python does not ask who may know why.
    if name != _PACKAGE:
        module.__path__ = []
    names = {*lines.get(name, "").split(), *_MORE.get(name, "").split()}
    below = {line[len(name) + 1 :].partition(".")[0] for line in lines if line != name}

    def find(wanted: str) -> Any:
        if wanted in below and wanted not in names:
            from importlib import import_module

            # Importing it sets it.
            return import_module(f"{name}.{wanted}")
        if wanted not in names and not _is_error(name, wanted):
            raise AttributeError(absence_text(f"{name}.{wanted}"))
        found = _found(name, wanted)
        setattr(module, wanted, found)
        return found

    def known() -> list[str]:
        return sorted({*vars(module), *names, *below})

    vars(module).update(__getattr__=find, __dir__=known)
    for covered in names & below:
        # A module's import sets it in the package once: the name stands for something else afterwards, as in MLRun.
        __import__(f"{name}.{covered}")
        delattr(module, covered)


def _lines_below(module: str) -> dict[str, str]:
    """Return the names of a module and of those below it, by module."""
    with open(_NAMES_FILE, encoding="utf-8") as file:
        text = file.read()
    found = {}
    start = 0 if text.startswith((f"{module} ", f"{module}.")) else text.find(f"\n{module} ") + 1
    if start == 0 and module != _PACKAGE:
        start = text.find(f"\n{module}.") + 1
    while start >= 0 and text.startswith(module, start):
        end = text.find("\n", start)
        line, _, names = text[start:end].partition(" ")
        if line != module and not line.startswith(f"{module}."):
            break
        found[line] = names
        start = end + 1
    return found


def _is_error(module: str, name: str) -> bool:
    """Return whether it is an error of ours, which may be one of a newer MLRun."""
    if module != "mlrun.errors" or not name.startswith("MLRun"):
        return False
    import mms.interfaces.mlrun.errors

    return hasattr(mms.interfaces.mlrun.errors, name)


def _found(module: str, name: str) -> Any:
    place = PLACE_OF.get(name)
    if name.startswith("MLRun") and place is None:
        place = f"mms.interfaces.mlrun.errors:{name}"
    if place is None or (module.startswith(_OF_THEIR_OWN) and name != "ModelMonitoringMode"):
        return absent(f"{module}.{name}")
    from importlib import import_module

    source, _, its_name = place.partition(":")
    try:
        return getattr(import_module(source), its_name) if its_name else import_module(source)
    except AttributeError:
        return absent(f"{module}.{name}")


class StandInModules:
    """Makes the modules of the stand-in; asked last."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how a module is found. Raises ImportError for one that MLRun has not."""
        if not name.startswith(f"{_PACKAGE}.") or name.rpartition(".")[2].startswith("__"):
            return None
        package = sys.modules.get(_PACKAGE)
        if package is None or not getattr(package, "is_stand_in", False):
            return None
        if not _lines_below(name):
            raise ImportError(absence_text(name), name=name)
        # The class of its spec is ModuleSpec, whose module would have to be imported.
        make: Any = type(package.__spec__)
        return make(name, StandInModules, is_package=True)  # type: ignore[no-any-return]  # a ModuleSpec

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType | None:
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        set_up(module)


def install() -> None:
    """Have the stand-in's modules made when they are imported."""
    if StandInModules not in sys.meta_path:
        sys.meta_path.append(StandInModules)
