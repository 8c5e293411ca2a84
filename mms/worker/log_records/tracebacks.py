"""Errors of a model's code as text."""

from __future__ import annotations

import os
from types import TracebackType

from mms.service import PredictionException

#: Some messages list all that a model file lacks.
_MAX_CHARACTERS = 2000
_HERE = os.path.dirname(os.path.abspath(__file__))
#: What stands between the front and a model's code.
_OWN_FOLDERS = tuple(
    os.path.join(os.path.dirname(os.path.dirname(_HERE)), name) + os.sep
    for name in ("worker", "interfaces")
)
_PYTHON_FOLDER = os.path.dirname(os.__file__) + os.sep


def last_line(error: BaseException) -> str:
    """Return the error's type and message in one line, with those of the errors that it was raised from.

    Of an error of this package whose message says all, for people, it is the message.
    """
    told: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if getattr(cause, "says_all", None) is True:
            told.append(" ".join(str(cause).split()))
            break
        told.append(_line_of(cause))
        cause = cause.__cause__
    text = ", caused by: ".join(told)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."


def _line_of(error: BaseException) -> str:
    import traceback

    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    if isinstance(error, SyntaxError):
        # Before it stands the line of the source.
        lines = [f"{lines[-1].strip()}{_place_of(error)}"]
    return " ".join(line.strip() for line in lines)


def _place_of(error: SyntaxError) -> str:
    """Return where the source is wrong, with the file's path below the model's folder."""
    if not error.filename or error.lineno is None:
        return ""
    path = os.path.relpath(error.filename)
    return f" ({error.filename if path.startswith(os.pardir) else path}, line {error.lineno})"


def model_traceback(error: BaseException) -> str:
    """Return the traceback from where the model's code begins, with its causes."""
    import traceback

    own = _without_worker(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, own))


def shown_error(error: BaseException) -> str:
    """Return an error in one line with the place in the model's code that it comes from, for those who write it."""
    place = error_place(error)
    return f"{last_line(error)} ({place})" if place else last_line(error)


def refusal_text(error: PredictionException) -> str:
    """Return the message that a model's code refuses a request with; one that is no text ends its request alone."""
    try:
        return "" if error.message is None else str(error.message)
    except Exception as problem:
        return f"The message of {type(error).__name__} is no text ({type(problem).__name__})"


def error_place(error: BaseException) -> str:
    """Return the place in the model's code that an error comes from, as `service.py, line 3`; "" where none has run."""
    frames = _without_worker(error.__traceback__)
    place = ""
    while frames is not None:
        file_name = frames.tb_frame.f_code.co_filename
        path = os.path.relpath(file_name)
        if not path.startswith(os.pardir):
            place = f"{path}, line {frames.tb_lineno}"
        elif not place and not _is_of_python(file_name):
            place = f"{os.path.basename(path)}, line {frames.tb_lineno}"
        frames = frames.tb_next
    return place


def _is_of_python(file_name: str) -> bool:
    return file_name.startswith(_PYTHON_FOLDER) and f"-packages{os.sep}" not in file_name


def _without_worker(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None:
        file_name = frames.tb_frame.f_code.co_filename
        if not file_name.startswith(
            (*_OWN_FOLDERS, "<frozen importlib")
        ) and not file_name.endswith(os.path.join("importlib", "__init__.py")):
            break
        frames = frames.tb_next
    return frames
