"""The text and the status that a client gets for an exception."""

from __future__ import annotations

import pytest

from mms.bodies.error_message import MAX_TEXT_CHARACTERS
from mms.interfaces.mlrun import errors
from mms.interfaces.mlrun.errors import (
    MLRunHTTPStatusError,
    error_text,
    status_of,
    with_strict_status,
)


def caused(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as raised:
        return raised


def test_a_text_is_the_class_and_the_message() -> None:
    assert error_text(ValueError("no such thing")) == "ValueError: no such thing"


def test_causes_are_told_one_after_the_other() -> None:
    first = caused(KeyError("a"), OSError("disk"))
    text = error_text(caused(RuntimeError("failed to load model m1"), first))
    assert text == "RuntimeError: failed to load model m1, caused by: 'a', caused by: disk"


def test_what_was_only_handled_meanwhile_is_no_cause() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904  # the absence of a cause is the case
    except ValueError as error:
        assert error_text(error) == "ValueError: second"


def test_an_empty_message_is_told_in_the_form_for_developers() -> None:
    assert error_text(NotImplementedError()) == "NotImplementedError: NotImplementedError()"


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert error_text(first) == "ValueError: a, caused by: b"


def test_a_long_text_loses_its_middle() -> None:
    text = error_text(ValueError("a" * MAX_TEXT_CHARACTERS + "end"))
    assert len(text) < MAX_TEXT_CHARACTERS + 100
    assert text.startswith("ValueError: aaa")
    assert text.endswith("end")
    assert "3 characters left out" in text


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), KeyError("x")])
def test_an_error_without_a_status_is_the_clients_by_default_and_the_servers_strictly(
    error: Exception,
) -> None:
    assert status_of(error) == 400
    assert status_of(error, is_strict=True) == 500


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("MLRunBadRequestError", 400),
        ("MLRunInvalidArgumentError", 400),
        ("MLRunUnauthorizedError", 401),
        ("MLRunAccessDeniedError", 403),
        ("MLRunNotFoundError", 404),
        ("MLRunMethodNotAllowedError", 405),
        ("MLRunConflictError", 409),
        ("MLRunPreconditionFailedError", 412),
        ("MLRunUnprocessableEntityError", 422),
        ("MLRunInternalServerError", 500),
        ("MLRunServiceUnavailableError", 503),
        ("MLRunGatewayTimeoutError", 504),
    ],
)
def test_errors_with_a_status_of_their_own_keep_it(name: str, status: int) -> None:
    error = getattr(errors, name)("gone")
    assert isinstance(error, MLRunHTTPStatusError)
    assert status_of(error) == status_of(error, is_strict=True) == status
    assert error_text(error) == f"{name}: gone"


def test_any_class_may_carry_its_status_as_those_of_the_real_package_do() -> None:
    class Teapot(Exception):
        error_status_code = 418

    assert status_of(Teapot("short")) == 418


def test_a_status_that_is_no_error_is_not_taken() -> None:
    class Odd(Exception):
        error_status_code = 200

    assert status_of(Odd("x")) == 400


def test_a_strict_status_counts_only_strictly_and_leaves_class_and_text() -> None:
    error = with_strict_status(ValueError("model m5 doesnt exist"), 404)
    assert (status_of(error), status_of(error, is_strict=True)) == (400, 404)
    assert error_text(error) == "ValueError: model m5 doesnt exist"


def test_errors_that_refuse_attributes_get_a_strict_status_all_the_same() -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    assert status_of(with_strict_status(Frozen("x"), 422), is_strict=True) == 422


def test_invalid_arguments_are_caught_as_pythons_own_errors() -> None:
    assert issubclass(errors.MLRunInvalidArgumentError, ValueError)
    assert issubclass(errors.MLRunInvalidArgumentTypeError, TypeError)
    assert issubclass(errors.MLRunTimeoutError, TimeoutError)
