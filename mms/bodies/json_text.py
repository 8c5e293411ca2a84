"""JSON as answers and records are written and bodies read: one definition for front, workers and local harness."""

from __future__ import annotations

from typing import Any

from mms.bodies.error_message import error_message
from mms.bodies.long_integers import has_long_integer

_orjson: Any = None
_options = 0


def _load_orjson() -> Any:
    """orjson where it is installed, else False. Once."""
    global _orjson, _options
    if _orjson is None:
        try:
            import orjson
        except ImportError:
            _orjson = False
        else:
            _orjson = orjson
            _options = orjson.OPT_SERIALIZE_NUMPY
    return _orjson


def from_json(text: bytes | bytearray | memoryview | str) -> Any:
    """Return the value of a JSON text, NaN, infinities and integers of any length included.

    Raises ValueError with what is wrong and where, TypeError for what is not text at all.
    """
    fast = _orjson or _load_orjson()
    if fast:
        try:
            found = fast.loads(text)
        except ValueError:
            # NaN, UTF-16, lone surrogates; of what is no JSON at all Python's parser tells the usual way.
            pass
        else:
            if not has_long_integer(text):
                return found
    import json

    try:
        # Only a view needs a copy: bytes(5) would be five zeros, and of a large number all the memory there is.
        return json.loads(bytes(text) if isinstance(text, memoryview) else text)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def to_json(value: Any, nan: str = "null") -> bytes:
    """Return the JSON text of a value, which may hold what numpy, pandas and datetime have.

    `nan`: NaN and infinities become null (`null`), stay NaN and Infinity (`keep`, which is no JSON) or are an error
    (`error`). Arrays and Series become lists, DataFrames lists of rows by column name, times ISO 8601,
    exceptions their messages.
    Raises TypeError for what has no JSON form, ValueError for circles and, by `nan`, for numbers without one.
    """
    fast = _orjson or _load_orjson()
    if not fast:
        return _dump_in_python(value, nan)
    try:
        text: bytes = fast.dumps(value, json_form, _options)
    except TypeError:
        # Integers beyond 64 bits, lone surrogates, keys that are no text, or no JSON at all.
        return _dump_in_python(value, nan)
    if nan != "null" and b"null" in text:
        return _dump_in_python(value, nan)
    return text


def _dump_in_python(value: Any, nan: str) -> bytes:
    import json

    try:
        plain = _plain(value, nan)
    except RecursionError:
        raise ValueError("Circular reference detected, or nested too deep") from None
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False, allow_nan=nan == "keep")
    return text.encode("utf-8", "backslashreplace")


def _plain(value: Any, nan: str) -> Any:
    """Return the same of Python's own types alone."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        if nan == "keep" or value - value == 0:
            return value
        if nan == "error":
            raise ValueError("Out of range float values are not JSON compliant")
        return None
    if isinstance(value, dict):
        return {_key(key): _plain(member, nan) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member, nan) for member in value]
    for base in (str, int, float):
        if isinstance(value, base):
            return _plain(base(value), nan)
    return _plain(json_form(value), nan)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return str(int(key))
    if isinstance(key, float):
        return repr(float(key))
    item = getattr(key, "item", None)
    if item is not None and type(key).__module__ == "numpy":
        return _key(item())
    if hasattr(key, "isoformat"):
        return str(key.isoformat())
    raise TypeError(f"keys must be str, int, float, bool or None, not {type(key).__name__}")


def json_form(value: Any) -> Any:
    """The JSON form of what is no JSON: by what a value has, so that nothing is imported for it."""
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    if module == "pandas":
        return _of_pandas(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if module == "datetime":
        return value.total_seconds()
    if module == "numpy" and kind.__name__ in ("datetime64", "timedelta64"):
        return None if value != value else str(value)
    if module == "decimal":
        return float(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, tuple):
        return list(value)
    # Arrays and numbers of numpy, and of libraries that are written like it.
    to_list = getattr(value, "tolist", None)
    if to_list is not None and not isinstance(value, type):
        form = to_list()
        if type(form) is not kind:
            return form
        if getattr(getattr(value, "dtype", None), "kind", "") == "f":
            # Python has no float that is as long, and numpy hands it back as it is.
            return float(value)
    if module in ("uuid", "pathlib"):
        return str(value)
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__}
    enum_value = getattr(value, "_value_", None)
    if enum_value is not None:
        return enum_value
    if isinstance(value, BaseException):
        # What a handler of errors has as `event.error` and may answer with.
        return error_message(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        return dump()
    raise TypeError(f"Object of type {kind.__name__} is not JSON serializable")


def _of_pandas(value: Any) -> Any:
    name = type(value).__name__
    if name == "DataFrame":
        return value.to_dict(orient="records")
    if name in ("NaTType", "NAType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def to_record_text(value: Any) -> str:
    """Return the JSON text of a record for a log or stream: what has no JSON form is written as text."""
    import json

    def lenient(member: Any) -> Any:
        try:
            return json_form(member)
        except Exception:
            return str(member)

    try:
        return to_json(value).decode()
    except (TypeError, ValueError):
        return json.dumps(value, default=lenient, skipkeys=True)


def yaml_of_json(text: str) -> str:
    """Return the same document as YAML. What has become JSON has no classes that YAML would describe."""
    import json

    import yaml

    document: str = yaml.safe_dump(json.loads(text), sort_keys=False)
    return document
