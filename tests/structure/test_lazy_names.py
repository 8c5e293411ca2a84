"""Names of packages that are imported when they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

_PACKAGES = ("mms.core", "mms.serving", "mms.prepackaged", "mms.interfaces.mlrun")


@pytest.mark.parametrize("package", ["mms.core", "mms.serving"])
def test_every_name_that_a_package_offers_is_there_when_it_is_used(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is vars(module)[name]


@pytest.mark.parametrize("package", _PACKAGES)
def test_a_name_that_a_package_has_not_is_an_attribute_error_that_names_both(package: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module {package} has no attribute nothing"):
        _ = module.nothing


def test_importing_the_packages_imports_none_of_what_they_name() -> None:
    program = (
        f"import sys, {', '.join(_PACKAGES)}\n"
        "print(*(name for name in ('mms.core.model', 'mms.serving.host', 'mms.prepackaged.sklearn_server',"
        " 'mms.interfaces.mlrun.authoring.function') if name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "\n"
