"""Models as registrations ask for them, and their workers as settings ask for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from archiver import Manifest
from archiver.manifest import MANIFEST_NAME
from mms.core import (
    QUEUE_BYTES,
    QUEUE_CAPACITY,
    ModelConfig,
    ModelVersion,
    Pool,
    SequencedVersion,
    Worker,
)
from mms.core.batching import AdaptivePolicy
from mms.core.config import MAX_STREAMS
from mms.core.sequences.rules import SequenceHeaders, SequenceRules
from mms.errors import BadRequest, InvalidModel
from mms.interfaces import AUTO, INTERFACES, find_interface, part
from mms.launch import MODEL_PATH_VARIABLE, WorkerSpec, worker_environment
from mms.machine.cpus import available_cpus
from mms.observe import events
from mms.repository import FetchedArchive
from mms.serving.dispatcher import Dispatcher
from mms.serving.options import RegisterOptions
from mms.serving.registration.launcher_rule import RAY, check_launcher
from mms.serving.registration.model_options import ModelOptions, model_options
from mms.serving.served import PooledModel, ServedModel
from mms.serving.workers.confinement import account_variables, confinement
from mms.text.brief import brief
from mms.text.durations import bounded_s
from mms.wire import Load
from mms.wire.answer_head import MAX_HEADERS_BYTES

if TYPE_CHECKING:
    from mms.settings import Settings

#: Room in a frame besides the bodies: for the frame, and for each answer of a batch, which may be a failure's text.
_FRAME_SLACK_BYTES = 1 << 20
_ANSWER_SLACK_BYTES = MAX_HEADERS_BYTES + 4096
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Percent-encoded both still fit the 4,096 bytes of a request's first line that MMS reads.
_MAX_NAME_BYTES = 1000
_MAX_VERSION_BYTES = 200
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def make_model(
    settings: Settings,
    gpu_count: int,
    dispatcher: Dispatcher,
    options: RegisterOptions,
    archive: FetchedArchive,
    default_name: str | None,
) -> PooledModel:
    """A model of what an archive says and its registration asks. Raises BadRequest and InvalidModel."""
    found = archive.manifest if archive.manifest is not None else Manifest({})
    model_as = model_options(options, found)
    manifest = found.with_overrides(
        model_name=options.model_name or found.model_name or default_name or model_as.default_name,
        handler=model_as.handler or options.handler,
        runtime=options.runtime,
        default_handler=settings.default_service_handler,
    )
    try:
        manifest.validate()
    except ValueError as error:
        text = str(error)
        if archive.misplaced_manifest is not None:
            levels = archive.misplaced_manifest.count("/") + 1
            depth = "one level" if levels == 1 else f"{levels} levels"
            text += (
                f" The archive's MAR-INF lies {depth} down, in {brief(archive.misplaced_manifest)}: archive what is "
                "in that folder, not the folder."
            )
        elif archive.manifest is None:
            text += (
                f" The archive has no {MANIFEST_NAME}: pack it with model-archiver, or register it with model_name and "
                "handler."
            )
        raise InvalidModel(text) from None
    name, handler = manifest.model_name or "", manifest.handler or ""
    version = found.model_version or options.model_version
    effective = _effective(settings, model_as)
    check_launcher(settings, effective)
    config = model_config(effective, settings)
    make = ModelVersion if config.sequences is None else SequencedVersion
    model = make(name, version, config)
    model.policy.on_change = partial(events.batch_policy_changed, name)
    return PooledModel(
        model=model,
        dispatcher=dispatcher,
        # Ray gives workers on nodes their GPUs.
        pool=Pool(model, () if effective.launcher == RAY else _gpus(options, gpu_count)),
        url=options.url or model_as.component.model_uri or str(archive.folder),
        archive=archive,
        manifest=manifest,
        handler=handler,
        runtime=manifest.runtime or "python",
        options=model_as,
        effective=effective,
        interface=model_as.interface,
    )


def change_model(settings: Settings, served: PooledModel, changes: Mapping[str, Any]) -> None:
    """Have a model be as if it had been registered with these options in place of its own. Its workers go on."""
    served.options = replace(served.options, asked=served.options.asked.with_values(**changes))
    if served.registration is not None:
        served.registration = served.registration.with_values(**changes)
    served.effective = _effective(settings, served.options)
    served.model.reconfigure(model_config(served.effective, settings))


def _effective(settings: Settings, model_as: ModelOptions) -> RegisterOptions:
    """Return what a model runs as: its registration with the defaults of the server and of its interface."""
    effective = model_as.asked.with_defaults(settings)
    if settings.debug:
        # Nothing that stands in a debugger runs out of time.
        effective = replace(effective, load_timeout_s=None)
    return effective.or_else(batch_policy=_policy_of(model_as))


def _gpus(options: RegisterOptions, count: int) -> Sequence[int]:
    """Return the GPUs of a model's workers. Raises BadRequest for one that is not there."""
    if options.gpu_ids is None:
        return range(count)
    absent = [gpu for gpu in options.gpu_ids if not 0 <= gpu < count]
    if absent:
        has = f"{count} (0 to {count - 1})" if count else "none"
        raise BadRequest(
            f"There is no GPU {absent[0]}, which gpu_ids names: this server uses {has}; see number_of_gpu."
        )
    return tuple(dict.fromkeys(options.gpu_ids))


def model_config(effective: RegisterOptions, settings: Settings) -> ModelConfig:
    """Return how a model's requests are queued and batched, by its registration with all defaults."""
    e = effective
    queue_bytes = e.job_queue_bytes
    if queue_bytes is None:
        # Who says how many requests may wait gets that many, as with MMS, whatever they hold.
        queue_bytes = QUEUE_BYTES if e.job_queue_size is None else 0
    return ModelConfig(
        batch_size=max(e.batch_size or 1, 1),
        max_batch_delay_s=bounded_s(max(e.max_batch_delay_ms or 0, 0), 0.001),
        batch_policy=e.batch_policy,
        # What a worker kept of a sequence has gone with it.
        has_retry=e.retry is not False and not e.sequence_batching,
        response_timeout_s=bounded_s(e.response_timeout_s or 0.0),
        queue_capacity=0 if e.job_tickets else e.job_queue_size or QUEUE_CAPACITY,
        queue_bytes=queue_bytes,
        request_timeout_s=bounded_s(e.request_timeout_s or 0.0),
        max_queue_s=bounded_s(e.max_queue_time_ms or 0, 0.001),
        max_streams=e.max_streams or MAX_STREAMS,
        has_tickets=bool(e.job_tickets),
        sequences=_sequence_rules(e, settings) if e.sequence_batching else None,
    )


def _sequence_rules(effective: RegisterOptions, settings: Settings) -> SequenceRules:
    e = effective
    return SequenceRules(
        max_idle_s=bounded_s(e.sequence_max_idle_ms or 0, 0.001),
        timeout_s=bounded_s(e.sequence_timeout_ms or 0, 0.001),
        most=e.max_sequences or 0,
        most_waiting=e.max_sequence_queue_size or 1,
        headers=SequenceHeaders(
            settings.sequence_id_header,
            settings.sequence_start_header,
            settings.sequence_end_header,
        ),
    )


def _policy_of(model_as: ModelOptions) -> str | None:
    """Interfaces whose models never see how many requests a batch has need not be found out."""
    hides = any(each.name == model_as.interface and each.hides_batches for each in INTERFACES)
    # Nor may a request of a sequence be run twice to find out.
    return AdaptivePolicy.name if hides or model_as.asked.sequence_batching else None


def check_names(served: ServedModel) -> None:
    """Raises BadRequest for a name or version that would break lines of logs and metrics, or that no path can carry."""
    for what, text, most_bytes in (
        ("name", served.name, _MAX_NAME_BYTES),
        ("version", served.version or "", _MAX_VERSION_BYTES),
    ):
        if text in (".", ".."):
            raise BadRequest(
                f"The model's {what} is {brief(text)}, which clients take out of a path before they send it."
            )
        if _CONTROL_CHARACTER.search(text):
            raise BadRequest(f"The model's {what} {brief(text)} has a control character.")
        if _SURROGATE.search(text):
            raise BadRequest(
                f"The model's {what} {brief(text)} has half of a character (a lone surrogate), which UTF-8 cannot hold."
            )
        if len(text.encode()) > most_bytes:
            raise BadRequest(
                f"The model's {what} {brief(text)} has {len(text.encode())} bytes; {most_bytes} are the most, so that "
                "a path can carry it."
            )


def _package_choices(settings: Settings) -> dict[str, Any]:
    return {
        package.setting: settings.get(package.setting)
        for interface in INTERFACES
        for package in interface.packages
        if package.setting
    }


#: What OpenMP, OpenBLAS, MKL, Apple's Accelerate and numexpr go by.
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    "NUMEXPR_NUM_THREADS",
)


class WorkerSpecs:
    """What the process of a worker is to be."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        hidden = settings.blacklist_env_vars
        self._hidden = re.compile(hidden) if hidden else None
        allowed = settings.worker_env_allow
        self._allowed = re.compile(allowed) if allowed else None

    def __repr__(self) -> str:
        return f"<WorkerSpecs, {len(self._environ)} variables>"

    def _place_variables(self, served: PooledModel) -> dict[str, str]:
        """Return what models read of their place in a deployment, unless the operator hides it from workers."""
        parameters = [*served.parameters]
        if served.model_files is not None:
            uri = {"name": "model_uri", "value": str(served.model_files.path), "type": "STRING"}
            parameters = [p for p in parameters if p["name"] != "model_uri"] + [uri]
        hidden = self._hidden
        return {
            name: value
            for place in served.places.values()
            for name, value in place.variables(self._environ, parameters).items()
            if hidden is None or not hidden.fullmatch(name)
        }

    def _thread_variables(self, served: PooledModel) -> dict[str, str]:
        """Return how many threads numeric libraries are to have, which read it once, as they are imported.

        Workers that differ in them are not forked from the same process: what that has imported has read its own.
        """
        threads = served.effective.threads_per_worker
        if threads is None:
            return {}
        is_own = served.options.asked.threads_per_worker is not None
        count = threads or _cpus_of_worker(served)
        hidden = self._hidden
        return {
            name: str(count)
            for name in _THREAD_VARIABLES
            if (is_own or name not in self._environ)
            and (hidden is None or not hidden.fullmatch(name))
        }

    def installer_environment(self) -> dict[str, str]:
        """Return the variables of a program that works for a model, before it has one."""
        settings = self._settings
        return worker_environment(
            self._environ,
            handler="",
            model_dir="",
            decode_input_request=settings.decode_input_request,
            hidden=self._hidden,
            allowed=self._allowed,
        ) | account_variables(settings.worker_user)

    def _parts(self, served: PooledModel) -> dict[str, Any]:
        """Return what only the models of its interface have; of all interfaces where only a worker can find it."""
        name = served.options.interface
        interfaces = INTERFACES if name == AUTO else (find_interface(name),)
        return {
            interface.name: part(interface.load_part)(served, self._settings, self._environ)
            for interface in interfaces
            if interface.load_part
        }

    def of(self, served: PooledModel, worker: Worker) -> WorkerSpec:
        settings = self._settings
        config = served.model.config
        folder = str(served.archive.folder)
        requirements = served.requirements
        packages = requirements.packages if requirements is not None else None
        python = requirements.python if requirements is not None else None
        tracking, files = served.tracking, served.model_files
        declaration = served.declaration
        load = Load(
            model_name=served.name,
            model_version=served.version,
            model_dir=folder,
            handler=served.handler,
            batch_size=config.batch_size,
            running_places=config.running_places,
            gpu_id=worker.gpu_id,
            interface=served.options.interface,
            decode_input_request=settings.decode_input_request,
            initialize_errors=served.effective.initialize_errors or "fail",
            json_content_type=settings.default_response_content_type == "json",
            max_response_bytes=settings.max_response_size,
            debug_errors=settings.debug_errors,
            worker_name=worker.name,
            parameters=list(served.parameters),
            model_files=None if files is None else str(files.path),
            calls=served.options.asked.calls or {},
            max_call_bytes=settings.max_request_size,
            records=None if tracking is None else tracking.options.for_workers(),
            url_rules=served.path_rules,
            package_choices=_package_choices(settings),
            of_interfaces=self._parts(served),
            confinement=confinement(settings),
            packages=packages,
            model_config=served.model_config,
            is_in_place=served.archive.is_in_place,
            tensors=None if declaration is None else declaration.to_members(),
            names_traces=settings.otlp_endpoint is not None,
        )
        place = self._place_variables(served)
        return WorkerSpec(
            name=worker.name,
            key=served.key,
            runtime=python or served.runtime,
            load=load,
            environment=worker_environment(
                self._environ,
                handler=served.handler,
                model_dir=folder,
                decode_input_request=settings.decode_input_request,
                hidden=self._hidden,
                allowed=self._allowed,
                packages=packages,
            )
            | self._thread_variables(served)
            | place
            | account_variables(settings.worker_user),
            own_variables=frozenset({MODEL_PATH_VARIABLE, *place}),
            has_own_packages=requirements is not None,
            launcher=served.effective.launcher or "process",
            resources=_resources(served),
            runtime_env=served.effective.ray_runtime_env or {},
            strategy=served.effective.ray_strategy or "pack",
            allowed_variables=self._allowed,
            hidden_variables=self._hidden,
            preload=bool(served.effective.preload_model),
            parameters=served.effective.for_new_workers(),
            load_timeout_s=served.load_timeout_s,
            max_frame_bytes=_max_frame_bytes(settings, config.batch_size),
        )


def _cpus_of_worker(served: PooledModel) -> int:
    """Return how many CPUs a worker has to itself: those that Ray keeps for it, else a share of this machine's."""
    if served.runs_on_nodes:
        return max(1, int(_resources(served).get("num_cpus", 1)))
    return max(1, available_cpus() // max(served.pool.min_workers, 1))


def _resources(served: PooledModel) -> Mapping[str, Any]:
    """Return what a worker's node has to have: a CPU for each of its processes, where nobody has said more."""
    asked = served.effective.ray_resources or {}
    if "num_cpus" in asked or served.effective.launcher != RAY:
        return asked
    counter = "" if served.interface == AUTO else find_interface(served.interface).process_count
    return {**asked, "num_cpus": part(counter)(served.model_config)} if counter else asked


def _max_frame_bytes(settings: Settings, batch_size: int) -> int:
    """What a worker may send at once: the answers of a batch, or the body of a request to another model."""
    answers = (settings.max_response_size + _ANSWER_SLACK_BYTES) * batch_size
    return max(answers, settings.max_request_size) + _FRAME_SLACK_BYTES
