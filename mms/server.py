"""The life of the server, read top to bottom: start, serve, drain, stop.

Run as `python -m mms.server com.amazonaws.ml.mms.ModelServer <options>`: tools find the one long-lived process by that
word among its arguments.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from archiver import Limits
from mms import faults
from mms.errors import ConfigurationError, Conflict, ServerError, WorkerStartFailed
from mms.fronts import Fronts, limit_connections
from mms.interfaces import INTERFACES, PACKAGE_NAMES
from mms.launch import (
    Launchers,
    hide_process,
    keep_inherited_files,
    refuse_new_rights,
    server_home,
)
from mms.limits.memory import MemoryLimit
from mms.log_writer.json_lines import JSON
from mms.machine.cpus import available_cpus
from mms.machine.gpus import gpu_count
from mms.machine.installed import packages_of_aws
from mms.machine.runtime_dir import RuntimeDir
from mms.observe import (
    CustomSeries,
    FlushTimer,
    FrontMetrics,
    HostMonitor,
    LoggingSetup,
    LogOptions,
    MemoryMetrics,
    ModelEventHandler,
    PrometheusText,
    Recorder,
    TraceMetrics,
    TrackingMetrics,
    WorkerEventLog,
    configure_logging,
    events,
    logger_names,
    server_text,
)
from mms.processes import garbage
from mms.processes.launch_options import STARTED, LaunchOptions
from mms.processes.stuck_threads import end_stuck_threads
from mms.repository import Repository
from mms.repository.download import DownloadLimits
from mms.repository.sources import Sources
from mms.repository.trust import Trust
from mms.security import Access, check_exposure, check_often, is_loopback, make_access
from mms.serving import ModelHost
from mms.serving.observed_models import ObservedModels
from mms.serving.state.launched_model import registration_of
from mms.serving.state.start_report import StartFailed, banner, banner_object, problem_rows
from mms.serving.state.startup_models import StartupProblem
from mms.serving.traced_host import TracedModelHost
from mms.serving.tracking.tracking_options import check_tracking
from mms.settings import Settings, check_settings, load_settings
from mms.tracing.export import SpanExport
from mms.tracing.spans import Tracer
from mms.version import __version__

logger = logging.getLogger(logger_names.MODEL_SERVER)

#: What standard output gets to take the last lines, in seconds.
_LAST_LINES_S = 1.0
#: What clients get to read answers that were given at the last moment, in seconds.
_LAST_ANSWERS_S = 1.0
#: What a collector gets to take the last spans of traces, in seconds.
_LAST_SPANS_S = 3.0


class Server:
    """One running server. All of it lives on one event loop."""

    def __init__(
        self, settings: Settings, options: LaunchOptions, logging_setup: LoggingSetup
    ) -> None:
        self._settings = settings
        self._options = options
        self._is_foreground = options.ready_fd is None
        self._logging = logging_setup
        self._logs = logging_setup.logs
        self._recorder = Recorder(self._logs)
        logging_setup.add_handler(ModelEventHandler(self._recorder.model_lines))
        self._series = CustomSeries(
            has_worker_id=any(
                settings.get(interface.worker_id_setting)
                for interface in INTERFACES
                if interface.worker_id_setting
            )
        )
        self._stop = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        self._runtime_dir = RuntimeDir.create(settings.temp_dir)
        limit_connections(settings)
        self._gpu_count = gpu_count(
            settings.number_of_gpu, is_override=settings.is_gpu_number_override
        )
        if self._gpu_count < (settings.number_of_gpu or 0):
            notice = f"{settings.quoted('number_of_gpu')}: this machine shows {self._gpu_count} GPUs, which are used"
            settings.notices.append((logging.WARNING, notice))
        self._launcher = Launchers.of_settings(settings, self._runtime_dir, PACKAGE_NAMES)
        self._cluster = None
        if options.cluster_fd is not None:
            from mms.cluster.member import ClusterMember

            self._cluster = ClusterMember(options.cluster_fd)
            self._launcher.borrow_of(self._cluster)
        self._repository = Repository(
            Path(settings.model_store) if settings.model_store else None,
            self._runtime_dir.path / "models",
            sources=Sources.of_settings(
                settings, is_local=is_loopback(settings.management_address)
            ),
            limits=Limits(
                max_entries=settings.max_archive_entries,
                max_total_bytes=settings.max_archive_size,
                max_ratio=settings.max_archive_ratio or float("inf"),
            ),
            trust=Trust.of_settings(settings),
            shares=bool(settings.worker_user and settings.worker_user.is_kept_from_files),
            download_limits=DownloadLimits(
                total_timeout_s=settings.download_timeout_s,
                max_bytes=settings.max_download_size,
            ),
            model_cache=Path(settings.model_cache) if settings.model_cache else None,
        )
        self._spans = SpanExport.of_settings(settings)
        make_host: Callable[..., ModelHost] = ModelHost
        if self._spans is not None:
            tracer = Tracer(self._spans.add, settings.trace_sample_ratio, settings.trace_parent)
            make_host = partial(TracedModelHost, tracer=tracer)
        self._host = make_host(
            settings,
            self._repository,
            self._launcher,
            WorkerEventLog(self._recorder, self._series),
            gpu_count=self._gpu_count,
            cluster=self._cluster,
        )
        self._memory = MemoryLimit.of_settings(settings)
        self._host.dispatcher.record_batch = self._recorder.batches.append
        self._host.dispatcher.record_coding = self._recorder.codings.append
        self._host.dispatcher.record_first_chunk = self._recorder.first_chunks.append
        self._host.measured = self._recorder.measured
        observed = ObservedModels(self._host.registry, self._series)
        self._monitor = HostMonitor(
            self._recorder,
            settings.metric_time_interval,
            observed.worker_pids,
            observed.note_memory,
            reads_host=not settings.disable_system_metrics,
        )
        prometheus = PrometheusText(
            self._recorder,
            observed.snapshots,
            server_version=__version__,
            host=lambda: self._monitor.latest,
            dropped_lines=lambda: self._logs.dropped_lines,
            series=self._series,
            server_text=server_text(settings),
            collectors=(
                *self._host.collectors(),
                MemoryMetrics(self._memory),
                FrontMetrics(lambda: self._fronts.process_counts() if self._fronts else []),
                TraceMetrics(self._spans),
                TrackingMetrics(self._host.tracking.counts, self._host.tracking.waiting),
            ),
        )
        self._scrape = prometheus.scrape
        self._fronts: Fronts | None = None
        self._flush_timer = FlushTimer(self._recorder)
        self._host.dispatcher.meanwhile = self._flush_timer.meanwhile
        self._monitoring: asyncio.Task[None] | None = None
        self._access: Access | None = None
        self._checking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Server {self._fronts!r}, {self._host!r}>"

    # Its life

    async def run(self) -> int:
        """From start to end. Returns the exit code of the process."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(faults.on_loop_exception)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        if not self._is_foreground:
            loop.add_signal_handler(signal.SIGHUP, self._reload)
        elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # Ignored by nohup. The shell and the kernel may both send it when a terminal goes: it never ends at once.
            loop.add_signal_handler(signal.SIGHUP, self._stop.set)
        try:
            await self._start()
            await self._finish_start()
        except (StartFailed, ConfigurationError, OSError) as error:
            await self._end(0)
            logger.error("%s", error)
            await asyncio.to_thread(self._logs.wait_until_written, _LAST_LINES_S)
            rows = error.rows if isinstance(error, StartFailed) else ()
            self._options.report_failed(str(error), rows)
            return 1
        await self._stop.wait()
        await self._end(self._settings.drain_timeout_s)
        logger.info("%s", events.STOPPED)
        return 0

    def _on_signal(self) -> None:
        """The first signal drains, a second one ends at once."""
        if self._stop.is_set():
            self._stop_at_once.set()
        self._stop.set()

    @faults.contained("reload")
    def _reload(self) -> None:
        """What SIGHUP asks of a server in the background: log files opened anew, keys and certificates read anew."""
        self._logging.reopen()
        for check in self._checks():
            try:
                check()
            except Exception:
                logger.exception("Keys or certificates could not be read again.")
        logger.info(
            "SIGHUP: log files have been opened again; changed keys and certificates are in use."
        )
        self._logs.flush()

    async def _start(self) -> None:
        settings = self._settings
        self._flush_timer.start()
        for level, text in settings.notices:
            if level == logging.WARNING:
                self._warn(text)
            else:
                logger.log(level, "%s", text)
        logger.info(
            "%s",
            settings.describe(
                gpu_count=self._gpu_count, cpu_count=available_cpus(), home=str(server_home())
            ),
            extra={"is_for_files": os.isatty(1) or self._options.is_by_hand},
        )
        if others := packages_of_aws():
            logger.warning(
                "AWS's %s is installed in the same environment and has files of the same names: removing it later "
                "breaks this server. Remove it now, then: pip install --force-reinstall --no-deps marserve",
                " and ".join(others),
            )
        check_exposure(settings)
        check_tracking(settings)
        if self._spans is not None:
            self._spans.start()
        self._access = make_access(settings)
        if self._repository.sources.urls.reason:
            logger.info(
                "Clients can register only models of the model store, because management listens on %s; the "
                "setting allowed_urls allows other places.",
                settings.management_address,
            )
        await asyncio.to_thread(self._repository.clean)
        keep_inherited_files()
        if settings.no_new_privs:
            refuse_new_rights()
        if settings.has_secrets:
            hide_process()
        await self._launcher.start()
        if self._cluster is not None:
            self._cluster.on_lost = self._stop.set
            await self._unless_stopped(self._cluster.start())
        try:
            await self._unless_stopped(self._host.load_startup_models())
        except Conflict as error:
            raise ConfigurationError(f"Invalid configuration: {error.message}") from None
        await self._load_component()
        if self._stop.is_set():
            raise StartFailed("stopped by a signal during start-up")
        self._fronts = Fronts(
            settings,
            self._host,
            self._recorder,
            self._scrape,
            gpu_count=self._gpu_count,
            access=self._access,
            memory=self._memory,
        )
        await self._fronts.start()
        self._checking = asyncio.get_running_loop().create_task(
            check_often([*self._checks(), self._memory.give_back])
        )
        self._monitoring = asyncio.get_running_loop().create_task(self._monitor.run())
        garbage.collect_from_now_on()
        self._recorder.flush()
        self._options.report_up()

    async def _finish_start(self) -> None:
        """Tell that the server has started, and which models that it was to start with are not up.

        Raises StartFailed where `strict_start` makes that a failure.
        """
        settings = self._settings
        lines = await asyncio.to_thread(
            banner,
            settings,
            self._host.registry.all(),
            is_foreground=self._is_foreground,
            pid_file=self._options.pid_file,
            is_by_hand=self._options.is_by_hand,
        )
        on_terminal = self._is_foreground and os.isatty(1)
        started = [*lines, STARTED] if on_terminal or self._options.is_by_hand else [STARTED]
        is_json = self._options.is_by_hand and settings.log_layout == JSON
        if is_json:
            models = self._host.registry.all()
            started = [await asyncio.to_thread(banner_object, settings, models, STARTED)]
        if not settings.strict_start:
            self._logs.announce("\n".join(started))
        problems: list[StartupProblem] = []

        async def settle() -> None:
            problems.extend(
                await self._host.startup_models_settled(settings.startup_timeout or math.inf)
            )

        try:
            await self._unless_stopped(settle())
        except StartFailed as error:
            if settings.strict_start:
                raise
            # It serves, and is ended in order.
            if not self._is_foreground:
                self._options.report_failed(str(error))
            return
        rows = problem_rows(problems)
        if problems:
            verb = "is" if len(problems) == 1 else "are"
            summary = f"{len(problems)} of the models that were named at the start {verb} not up"
            if settings.strict_start:
                raise StartFailed(f"{summary}, and strict_start is on.", rows)
            logger.warning("%s: %s", summary, "; ".join(str(problem) for problem in problems))
        if settings.strict_start:
            self._logs.announce("\n".join(started))
        if rows and not is_json:
            self._logs.announce("\n".join(rows))
        self._options.report_ready(lines, rows)
        if self._cluster is not None:
            self._cluster.report_up({name: str(at) for name, at in settings.addresses.items()})

    def _warn(self, text: str | None) -> None:
        """Log what people are to know at once, and tell it to who waits for a server in the background."""
        if text is None:
            return
        logger.warning("%s", text)
        self._options.report_warning(text)

    async def _load_component(self) -> None:
        """The class that the command line names. The listeners open once it has loaded, which probes rely on."""
        if self._options.component is None:
            return
        options = registration_of(self._options.component)
        what, followed = (
            options.handler or options.model_name or options.url,
            self._options.followed,
        )
        try:
            if followed is None:
                await self._unless_stopped(self._host.register(options, is_kept=False))
            else:
                await self._unless_stopped(self._host.follow(options, Path(followed)))
        except WorkerStartFailed as error:
            raise StartFailed(f"{what} could not be loaded: {error.reason}") from None
        except ServerError as error:
            raise StartFailed(f"{what} cannot be served: {error.message}") from None

    async def _unless_stopped(self, work: Coroutine[Any, Any, object]) -> None:
        """Do what takes long at a start. Raises StartFailed when a signal comes meanwhile, and what the work raises."""
        doing = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((doing, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not doing.done():
            doing.cancel()
        try:
            await doing
        except asyncio.CancelledError:
            raise StartFailed("stopped by a signal during start-up") from None

    def _checks(self) -> list[Callable[[], None]]:
        """Return the functions that look for changed files."""
        checks: list[Callable[[], None]] = []
        if self._access is not None and self._access.guard is not None:
            checks.append(self._access.guard.check)
        if self._fronts is not None:
            checks.extend(self._fronts.checks())
        return checks

    async def _end(self, drain_timeout_s: float) -> None:
        """Refuse what is new, answer what was accepted, end the workers, give everything back."""
        if self._fronts is not None:
            await self._fronts.stop_listening()
        draining = asyncio.ensure_future(self._drain(drain_timeout_s))
        at_once = asyncio.ensure_future(self._stop_at_once.wait())
        await asyncio.wait((draining, at_once), return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, at_once):
            if not task.done():
                task.cancel()
        await asyncio.gather(draining, at_once, return_exceptions=True)
        if self._stop_at_once.is_set():
            self._host.fail_what_runs()
            await self._send_last_answers(_LAST_ANSWERS_S)
        for service in (self._monitoring, self._checking):
            if service is not None:
                service.cancel()
        if self._fronts is not None:
            await self._fronts.close()
        await self._host.close()
        if self._cluster is not None:
            self._cluster.close()
        if self._spans is not None:
            given_s = 0.0 if self._stop_at_once.is_set() else _LAST_SPANS_S
            await asyncio.to_thread(self._spans.close, given_s)
        await self._launcher.close()
        await self._repository.close()
        self._flush_timer.stop()
        self._runtime_dir.remove()
        self._options.remove_pid_file()

    async def _drain(self, timeout_s: float) -> None:
        started = time.monotonic()
        if not await self._host.drain(timeout_s) and timeout_s > 0:
            logger.warning("Requests were still running after %g seconds of draining.", timeout_s)
        left_s = timeout_s - (time.monotonic() - started)
        await self._send_last_answers(max(left_s, min(timeout_s, _LAST_ANSWERS_S)))

    async def _send_last_answers(self, timeout_s: float) -> None:
        """Wait until clients have their answers, or for so long."""
        if self._fronts is not None:
            await self._fronts.drain(timeout_s)


async def _serve(settings: Settings, options: LaunchOptions, setup: LoggingSetup) -> int:
    return await Server(settings, options, setup).run()


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a server until it is told to stop. Returns the exit code."""
    options = LaunchOptions.from_argv(sys.argv[1:] if argv is None else argv)
    try:
        settings = load_settings(options, environ=os.environ)
        check_settings(settings)
        setup = configure_logging(LogOptions.of(settings, os.environ, options.is_by_hand))
    except ConfigurationError as error:
        options.report_failed(str(error))
        options.remove_pid_file()
        return 1
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    code = 1
    try:
        code = loop.run_until_complete(_serve(settings, options, setup))
    except ConfigurationError as error:
        logger.error("%s", error)
        options.report_failed(str(error))
        options.remove_pid_file()
    finally:
        setup.close()
        asyncio.set_event_loop(None)
        loop.close()
    end_stuck_threads(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
