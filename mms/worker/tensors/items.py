"""Items that came by protocols of tensors -> requests -> results. One that is wrong fails alone."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mms.interfaces import find_codec, part
from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse
from mms.text.brief import brief
from mms.wire import FAILED, Item, Load, ResultItem
from mms.worker.log_records.log_lines import write_log
from mms.worker.requests.failures import failure_text
from mms.worker.tensors.codec import TensorCodec

_EXPLANATION: Final = "explain"
#: Names of operations that are an inference: none at all, and those of the interfaces' clients. Whether an explanation
#: is asked for, codecs of protocols that have such say.
_INFERENCES: Final = frozenset(("", "infer", "predict", _EXPLANATION))


def declaration_of(load: Load) -> ModelDeclaration | None:
    """Return what the model's archive declares of its tensors; None where it declares nothing."""
    return None if load.tensors is None else ModelDeclaration.from_members(load.tensors)


class TensorItem(NamedTuple):
    """A request that was read, and what writes its answer."""

    request: InferRequest
    form: Any
    codec: TensorCodec


class TensorItems:
    """Reads and writes items by the codecs of their protocols, which are opened when they are first needed."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._codecs: dict[str, TensorCodec] = {}
        #: What the model's archive declares; None: nothing.
        self.declaration = declaration_of(load)

    def __repr__(self) -> str:
        return f"<TensorItems of model {self._load.model_name}>"

    def read(self, item: Item) -> TensorItem:
        """Return the request of an item, which has the name of a protocol. Raises InferError, also for a request that
        is not as the model declares."""
        operation = item[7]
        protocol = "" if operation is None else operation.protocol
        if operation is not None and operation.name not in _INFERENCES:
            raise self._no_inference(operation.name)
        codec = self._codecs.get(protocol)
        if codec is None:
            try:
                codec = part(find_codec(protocol))(self._load)
            except (ValueError, ImportError) as error:
                write_log(f"Model {self._load.model_name}: no codec for {protocol}: {error}\n")
                raise InferError(f"the protocol {protocol} cannot be read here", 501) from None
            self._codecs[protocol] = codec
        request, form = codec.decode(item)
        if operation is not None and operation.name == _EXPLANATION and not request.explains:
            # Of a protocol that has none.
            raise self._no_inference(_EXPLANATION)
        if self.declaration is not None:
            self.declaration.check(request)
        if operation is not None and operation.takes_parts:
            request = request._replace(takes_parts=True)
        return TensorItem(request, form, codec)

    def _no_inference(self, operation: str) -> InferError:
        return InferError(
            f"Model {brief(self._load.model_name)} takes inferences alone; the operation {brief(operation)} is none.",
            501,
        )

    def write(self, item: TensorItem, answer: InferResponse | InferError, index: int) -> ResultItem:
        """Return the result of a request, the item `index` of its batch."""
        try:
            if isinstance(answer, InferError):
                raise answer
            result = item.codec.encode(item.request, item.form, answer, index)
        except Exception as error:
            return self.failure(index, error)
        size = len(result[5])
        if size > self._load.max_response_bytes:
            return self.failure(
                index,
                InferError(
                    f"Response of {size} bytes is larger than max_response_size "
                    f"({self._load.max_response_bytes} bytes)",
                    500,
                ),
            )
        return result

    def failure(self, index: int, error: Exception) -> ResultItem:
        """Return the result of an item that has no answer, and log what is not the client's doing."""
        if isinstance(error, InferError):
            if error.status >= 500:
                line = error.message.replace("\r", "\\r").replace("\n", "\\n")
                write_log(f"Model {self._load.model_name}: {line}\n")
            name = error.type_name.encode("latin-1", "replace")
            return index, FAILED, error.status, name, b"", failure_text(error.message)
        if isinstance(error, MemoryError):
            return index, FAILED, 507, b"", b"", b"Out of resources"
        import traceback

        lines = traceback.format_exception(error)
        write_log("A request could not be read or answered:\n" + "".join(lines))
        return index, FAILED, 500, b"", b"", b"The request could not be read or answered"
