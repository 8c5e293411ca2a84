"""What is told of an error, in one line."""

from __future__ import annotations

import pytest

from mms.prepackaged.errors import ModelNotLoaded
from mms.prepackaged.library import MissingLibrary
from mms.worker.log_records.tracebacks import last_line


def test_a_message_of_several_lines_is_told_whole() -> None:
    error = TypeError("failed to init step m1\n args={'x': 1}")
    assert last_line(error) == "TypeError: failed to init step m1 args={'x': 1}"


def test_of_a_syntax_error_the_message_is_told_without_the_source() -> None:
    try:
        compile("x = = 1\n", "model.py", "exec")
    except SyntaxError as error:
        assert last_line(error) == "SyntaxError: invalid syntax (model.py, line 1)"


def test_a_long_message_is_cut() -> None:
    assert len(last_line(ValueError("key\n" * 10_000))) < 2100


def test_the_errors_that_it_was_raised_from_are_told_behind_it() -> None:
    error = RuntimeError("failed to load model m")
    error.__cause__ = KeyError("weights")
    error.__cause__.__cause__ = error
    told = "RuntimeError: failed to load model m, caused by: KeyError: 'weights'"
    assert last_line(error) == told


@pytest.mark.parametrize("kind", [ModelNotLoaded, MissingLibrary])
def test_of_an_error_whose_message_says_all_the_message_is_told_alone(
    kind: type[Exception],
) -> None:
    error = kind("model.pkl could not be loaded as an estimator: ValueError: bad")
    error.__cause__ = ValueError("bad")
    assert last_line(error) == "model.pkl could not be loaded as an estimator: ValueError: bad"
    outer = RuntimeError("no model")
    outer.__cause__ = error
    assert last_line(outer) == f"RuntimeError: no model, caused by: {error}"
