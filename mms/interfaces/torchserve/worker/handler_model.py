"""A handler of TorchServe's in this process: a function `handle(data, context)`, or one class with such a method."""

from __future__ import annotations

from mms.interfaces import find_interface
from mms.interfaces.mms.worker import initialize
from mms.interfaces.torchserve.context import VERSION, Context
from mms.interfaces.torchserve.load import HandlerLoad
from mms.interfaces.torchserve.metrics.cache import DEFAULT_METRICS
from mms.interfaces.torchserve.operations import HEADERS, URL_PATH
from mms.interfaces.torchserve.worker.answers import with_rules
from mms.interfaces.torchserve.worker.continuous import KEY, ContinuousBatch
from mms.interfaces.torchserve.worker.handler import resolve, wrap_envelope
from mms.wire import Load, ModelOperation
from mms.worker.loading.manifest_file import MANIFEST, read_manifest
from mms.worker.loading.model import Model, RequestRules
from mms.worker.loading.packages import offer_packages

INTERFACE = "torchserve"


def open_handler(load: Load) -> Model:
    """Import the model's code and have it load. Raises whatever its code raises."""
    offer_packages(find_interface(INTERFACE), load.package_choices)
    part = load.part(INTERFACE, HandlerLoad)
    if part.problem:
        raise ValueError(part.problem)
    context = described_context(load)
    context.metrics.configure(part.metrics or DEFAULT_METRICS)
    handler = resolve(load.handler)
    entry_point = handler.entry_point
    if part.envelope:
        entry_point = wrap_envelope(part.envelope, entry_point)
    problem = initialize(handler, context, is_let_pass=load.initialize_errors == "ignore")
    entry_point = with_rules(entry_point)
    is_continuous = load.model_config.get(KEY) is True
    if is_continuous:
        entry_point = ContinuousBatch(entry_point, context, load.running_places).handle
    return Model(
        *(INTERFACE, entry_point, context, problem),
        rules=request_rules(),
        is_continuous=is_continuous,
    )


def described_context(load: Load) -> Context:
    """Return the context of a model that is about to load."""
    part = load.part(INTERFACE, HandlerLoad)
    context = Context(
        *(load.model_name, load.model_dir, read_manifest(load.model_dir, MANIFEST)),
        *(load.batch_size, load.gpu_id, VERSION),
        part.limit_max_image_pixels,
        model_yaml_config=load.model_config,
    )
    if part.sequence_headers:
        context.use_sequence_headers(*part.sequence_headers)
    return context


def request_rules() -> RequestRules:
    """Return how requests are read for a handler."""
    return RequestRules(keeps_undecodable=True, headers_of=headers_of)


def headers_of(operation: ModelOperation) -> bytes:
    """Return the headers that tell a handler what a request asks besides a prediction."""
    headers = dict(HEADERS.get(operation.name, {}))
    if operation.path:
        headers[URL_PATH] = operation.path
    lines = [line for header in headers.items() for line in header]
    # In the form of the client's own; a path has no line break, but may have been decoded.
    return "\n".join(line.replace("\n", " ") for line in lines).encode("latin-1", "replace")
