"""The package mlrun that serving classes import where MLRun's own is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
SHIM = ROOT / "mms" / "interfaces" / "mlrun" / "packages" / "mlrun"
ORACLE = os.environ.get("MLRUN_ORACLE_PYTHON", "")


#: Runs each script of a JSON array as if it were the first to import mlrun; prints [printed, error] of each.
_EACH = """
import contextlib, io, json, sys, traceback
told = []
for script in json.load(sys.stdin):
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlrun"]:
        del sys.modules[name]
    error = ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(script, {"__name__": "__main__"})
        except BaseException:
            error = traceback.format_exc()
    told.append([printed.getvalue().rstrip(), error])
print(json.dumps(told))
"""


def run(script: str, text: str = "") -> str:
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(SHIM)))},
        input=text,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.rstrip("\n")


def run_each(scripts: Sequence[str]) -> list[str]:
    """What each of them prints, all in one process."""
    told = json.loads(run(_EACH, json.dumps(scripts)).splitlines()[-1])
    assert [(s, error) for s, (_, error) in zip(scripts, told, strict=True) if error] == []
    return [printed for printed, _ in told]


def test_the_base_class_loads_nothing_that_takes_time() -> None:
    script = (
        "import sys; before = set(sys.modules)\n"
        "from mlrun.serving import V2ModelServer\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = run(script).split()
    assert "mms.interfaces.mlrun.model.model_server" in loaded
    assert [name for name in loaded if name.partition(".")[0] not in ("mlrun", "mms")] == []
    # The table of interfaces reads one small file of each, in a package.
    interfaces = [n for n in loaded if n.count(".") == 3 and n.endswith(".interface")]
    assert len(loaded) - 2 * len(interfaces) < 20, loaded


#: As classes and scripts import it.
IMPORTS = [
    "from mlrun.serving.v2_serving import V2ModelServer",
    "from mlrun.serving import V2ModelServer, GraphContext, VotingEnsemble, ModelRouter, RouterStep",
    "import mlrun; mlrun.serving.V2ModelServer; mlrun.serving.v2_serving.V2ModelServer; mlrun.MLClientCtx",
    "from mlrun.runtimes import nuclio_init_hook",
    "from mlrun.artifacts import get_model, ModelArtifact; from mlrun.artifacts.model import ModelArtifact",
    "from mlrun.serving.server import MockEvent, Response, GraphServer, create_graph_server, MockTrigger",
    "from mlrun.serving.states import TaskStep, RootFlowStep, GraphError, QueueStep, FlowStep",
    "from mlrun.serving.routers import ParallelRun, EnrichmentModelRouter, EnrichmentVotingEnsemble",
    "from mlrun.serving.utils import StepToDict; from mlrun.serving.remote import RemoteStep",
    "from mlrun import new_function, code_to_function, get_dataitem, get_object, mlconf, DataItem",
    "from mlrun.config import config; assert config.default_project == 'default'",
    "from mlrun.datastore import DataItem; from mlrun.features import Feature; Feature(name='x')",
    "from mlrun.utils import logger, create_logger; logger.info('text', key=1)",
    "import mlrun.errors; raise_ = mlrun.errors.MLRunInvalidArgumentError('x')",
    "from mlrun.frameworks.sklearn import SKLearnModelServer, PickleModelServer",
    "from mlrun.frameworks.xgboost import XGBoostModelServer; import mlrun.frameworks.lgbm, mlrun.common",
    "from mlrun.serving.v1_serving import MLModelServer; from mlrun.secrets import SecretsStore",
    "from mlrun.serving.routers import ParallelRunnerModes as M; assert M.all() == ['array', 'thread', 'process']",
    "from mlrun.runtimes.nuclio.serving import serving_subkind; assert serving_subkind == 'serving_v2'",
    "from mlrun.serving.states import MAX_ALLOWED_STEPS; assert MAX_ALLOWED_STEPS == 4500",
    "import mlrun.common.schemas as s; assert s.ModelMonitoringMode.enabled == 'enabled'",
    "from mlrun.runtimes import MLModelServer; from mlrun.frameworks.sklearn import SklearnModelServer",
    "from mlrun.frameworks.huggingface import HuggingFaceModelServer",
    "from mlrun.frameworks._ml_common.pkl_model_server import PickleModelServer",
    "from mlrun.serving.utils import event_id_key; assert event_id_key == 'MLRUN-EVENT-ID'",
    "from mlrun.serving.utils import event_path_key; assert event_path_key == 'MLRUN-EVENT-PATH'",
    "from mlrun.errors import err_to_str as e; assert (e('text'), e(None)) == ('text', '')",
    "from mlrun.utils.logger import create_logger; from mlrun.utils import logger; logger.info('x')",
    "from mlrun.projects import get_or_create_project; get_or_create_project('p')",
    "import mlrun\n@mlrun.handler(outputs=['x'])\ndef job(): return 1\nassert job() == 1",
]


def test_what_serving_classes_import_is_there() -> None:
    run_each(IMPORTS)


def test_what_mlrun_has_not_cannot_be_imported() -> None:
    absent = {
        "mlrun.nothing": "from mlrun.nothing import x",
        "mlrun.feature_stor": "import mlrun.feature_stor",
        "mlrun.errors.Nothing": "from mlrun.errors import Nothing",
        "mlrun.serving.v2_serving.Nothing": "from mlrun.serving.v2_serving import Nothing",
    }
    told = run_each(
        [f"try: {s}\nexcept ImportError as error: print(error)" for s in absent.values()]
    )
    for name, text in zip(absent, told, strict=True):
        assert text.startswith(f"{name} is not part of the stand-in for mlrun")


#: As public functions import it, of old and new versions.
RARELY_USED = """
import mlrun
import mlrun.feature_store as fstore
import mlrun.common.schemas.model_monitoring.constants as mm_constants
from mlrun import get_or_create_ctx, get_run_db, get_sample_path, new_model_server, run_function, NewTask
from mlrun.artifacts import ChartArtifact, DatasetArtifact, PlotArtifact, get_model, update_model
from mlrun.datastore.targets import ParquetTarget
from mlrun.execution import MLClientCtx
from mlrun.frameworks.auto_mlrun import AutoMLRun
from mlrun.frameworks.sklearn import apply_mlrun
from mlrun.frameworks.tf_keras import TFKerasModelServer
from mlrun.mlutils.plots import gcf_clear
from mlrun.model import ModelObj
from mlrun.model_monitoring.applications import ModelMonitoringApplicationBase
from mlrun.platforms.iguazio import KafkaOutputStream
from mlrun.runtimes import RemoteRuntime
from mlrun.serving import LLModel


class Application(ModelMonitoringApplicationBase):
    def do_tracking(self, context: mlrun.model_monitoring.applications.MonitoringApplicationContext | None):
        if isinstance(context, ModelObj):
            raise AssertionError


def job(context: MLClientCtx, features: fstore.FeatureVector, kind=mm_constants.EventFieldType.UID):
    pass
"""


def test_a_name_that_is_rarely_used_is_imported_and_says_why_it_cannot_be_used() -> None:
    uses = {
        "get_or_create_ctx('x')": "mlrun.get_or_create_ctx",
        "fstore.FeatureSet('x')": "mlrun.feature_store.FeatureSet",
        "Application()": "mlrun.model_monitoring.applications.ModelMonitoringApplicationBase",
        "LLModel(name='x')": "mlrun.serving.LLModel",
        "mlrun.db.get_run_db()": "mlrun.db.get_run_db",
        "mlrun.artifacts.PlotArtifact": None,
        "bool(get_sample_path)": "mlrun.get_sample_path",
        "list(mlrun.feature_store.api.ingest)": "mlrun.feature_store.api.ingest",
    }
    told = run_each(
        [
            f"{RARELY_USED}\ntry: {use}\nexcept NotImplementedError as error: print(error)"
            for use in uses
        ]
    )
    for (use, name), text in zip(uses.items(), told, strict=True):
        if name is None:
            assert text == "", use
        else:
            assert f"{name} is not part of the stand-in for mlrun" in text, use


def test_a_router_with_features_says_what_to_use_in_its_place() -> None:
    script = (
        "from mlrun.serving import EnrichmentModelRouter, EnrichmentVotingEnsemble\n"
        "try: EnrichmentModelRouter(feature_vector_uri='x')\n"
        "except NotImplementedError as error: print(error)"
    )
    assert "feature store, which this server does not have; derive a class from" in run(script)


def test_every_name_that_it_offers_can_be_had() -> None:
    script = (
        "import mlrun, types\n"
        "from mms.interfaces.mlrun.authoring import stand_in\n"
        "had = set()\n"
        "def walk(module, seen):\n"
        "    for name in module.__dir__():\n"
        "        found = getattr(module, name)\n"
        "        if not isinstance(found, stand_in.AbsentName): had.add(name)\n"
        "        if isinstance(found, types.ModuleType) and found.__name__.startswith('mlrun.'):\n"
        "            if found not in seen:\n"
        "                seen.append(found)\n"
        "                walk(found, seen)\n"
        "walk(mlrun, [])\n"
        "print(mlrun.is_stand_in, mlrun.__version__, hasattr(mlrun, 'nothing'))\n"
        "print('not had:', *set(stand_in.PLACE_OF) - had)"
    )
    assert run(script).splitlines() == ["True 1.7.2+mms False", "not had:"]


@pytest.mark.skipif(not ORACLE, reason="MLRUN_ORACLE_PYTHON names no Python with mlrun")
def test_whatever_mlrun_offers_for_serving_can_be_imported() -> None:
    modules = "mlrun mlrun.serving mlrun.runtimes mlrun.artifacts mlrun.datastore mlrun.feature_store mlrun.errors"
    script = (
        "import importlib, json, types, warnings; warnings.simplefilter('ignore')\n"
        f"for name in '{modules}'.split():\n"
        "    found = vars(importlib.import_module(name)).items()\n"
        "    origin = lambda value: str(getattr(value, '__name__' if isinstance(value, types.ModuleType) else\n"
        "        '__module__', ''))\n"
        "    keys = [key for key, value in found if key[:1] != '_' and origin(value).startswith('mlrun.')]\n"
        "    print(json.dumps([name, keys]))"
    )
    theirs = subprocess.run([ORACLE, "-c", script], capture_output=True, text=True, check=True)
    lines = [line for line in theirs.stdout.splitlines() if line.startswith('["mlrun')]
    missing = run(
        "import importlib, json\n"
        f"for line in {lines!r}:\n"
        "    name, names = json.loads(line)\n"
        "    module = importlib.import_module(name)\n"
        "    print(*(f'{name}.{key}' for key in names if not hasattr(module, key)))"
    )
    assert len(lines) == len(modules.split())
    assert missing.split() == []


def test_it_is_in_the_package_and_is_no_package_at_the_top() -> None:
    import setuptools

    packages = setuptools.find_packages(str(ROOT), include=["mms*"])
    assert "mms.interfaces.mlrun.packages.mlrun.mlrun" in packages
    assert "mlrun" not in packages


def test_a_pickled_object_of_a_name_of_mlrun_is_read() -> None:
    script = (
        "import pickle\n"
        "from mlrun.artifacts.model import ModelArtifact\n"
        "text = b'cmlrun.artifacts.model\\nModelArtifact\\n.'\n"
        "print(pickle.loads(text) is ModelArtifact)"
    )
    assert run(script) == "True"
