"""Functions by their code and documents."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "new_function": "mms.mlrun.functions",
        "code_to_function": "mms.mlrun.functions",
        "import_function": "mms.mlrun.functions",
        "function_from_dict": "mms.mlrun.functions",
        "get_dataitem": "mms.mlrun.datastore",
        "get_object": "mms.mlrun.datastore",
    },
)
