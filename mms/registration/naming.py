"""What of a call says which model is to be registered."""

from __future__ import annotations

from mms.registration.kind import InvalidCall
from mms.registration.options import Call, Options, read_parameter
from mms.registration.parameter import REGISTER, parameters_of


def check_names_model(options: type[Options], call: Call, *, is_json: bool) -> None:
    """Raise InvalidCall where no parameter of a registration says what is to be registered."""
    declared = {each.name: each for each in parameters_of(options, REGISTER)}

    def is_given(name: str) -> bool:
        return read_parameter(declared[name], call, is_json=is_json) is not None

    naming = [name for name, each in declared.items() if each.names_model and is_given(name)]
    missing = [
        (other, name)
        for name in naming
        if isinstance(other := declared[name].names_model, str) and not is_given(other)
    ]
    if len(missing) < len(naming):
        return
    for other, name in missing:
        raise InvalidCall(f"Parameter {other} is required where {name} comes without url.")
    raise InvalidCall("Parameter url is required.")
