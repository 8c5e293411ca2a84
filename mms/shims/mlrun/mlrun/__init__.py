"""Stands in for MLRun's package where that is not installed: what serving classes and their tests import of it."""

from __future__ import annotations

from mms.mlrun.stand_in import explain_missing_modules, offer

#: By this the stand-in is told from MLRun's package.
is_stand_in = True

#: The version whose names and behaviour these are, and that they are not its own.
__version__ = "1.7.2+mms"

__getattr__, __dir__ = offer(
    __name__,
    {
        "new_function": "mms.mlrun.functions",
        "code_to_function": "mms.mlrun.functions",
        "import_function": "mms.mlrun.functions",
        "function_from_dict": "mms.mlrun.functions",
        "deploy_function": "mms.mlrun.functions",
        "new_project": "mms.mlrun.project",
        "get_or_create_project": "mms.mlrun.project",
        "get_dataitem": "mms.mlrun.datastore",
        "get_object": "mms.mlrun.datastore",
        "DataItem": "mms.mlrun.data_item",
        "MLClientCtx": "mms.mlrun.scripts",
        "mlconf": "mms.mlrun.scripts",
        "set_environment": "mms.mlrun.scripts",
        "set_env_from_file": "mms.mlrun.scripts",
        "get_version": "mms.mlrun.scripts",
        "get_secret_or_env": "mms.mlrun.scripts",
        "MLRunInvalidArgumentError": "mms.mlrun.errors",
        "MLRunNotFoundError": "mms.mlrun.errors",
        "serving": ".serving",
        "artifacts": ".artifacts",
        "config": ".config",
        "datastore": ".datastore",
        "errors": ".errors",
        "execution": ".execution",
        "features": ".features",
        "frameworks": ".frameworks",
        "run": ".run",
        "runtimes": ".runtimes",
        "secrets": ".secrets",
        "utils": ".utils",
        "common": ".common",
    },
)

explain_missing_modules()
