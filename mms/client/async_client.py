"""The client for an event loop. The methods are those of the blocking one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mms.client import models as steps_of_models
from mms.client import predictions
from mms.client.answer import Answer, Call
from mms.client.async_connections import AsyncConnections
from mms.client.errors import ClientError
from mms.client.models import Description, LogLine
from mms.client.place import INFERENCE, MANAGEMENT, Place
from mms.client.steps import Pause, Rules, Steps, answered
from mms.client.streams import EVENT_STREAM, EventReader, LineReader
from mms.text.address import Address

if TYPE_CHECKING:
    from mms.client.tensors import Inference
    from mms.tensors.tensor import Parameter

T = TypeVar("T")


class AsyncClient:
    """A server. Close it, or use it in `async with`, when it is needed no more.

    All calls raise ServerUnreachable, DeadlineExceeded, and ServerRefused where the server answers with an error.
    """

    def __init__(
        self,
        inference: str | Address = INFERENCE,
        *,
        management: str | Address = MANAGEMENT,
        key: str | None = None,
        verify: bool | str = True,
        client_certificate: str | None = None,
        timeout_s: float = 300.0,
        retries: int = 2,
    ) -> None:
        """`inference`, `management`: `http://host:port`, `https://host:port` or `unix:/path`.

        `key`: sent with each call; by default that of the variable MMS_API_KEY. `verify`: False takes any certificate,
        a text is a file (PEM) of those to trust. `client_certificate`: a PEM file of a certificate and its key.
        `timeout_s`: for a call with all its attempts. `retries`: how often a call is tried again that the server has
        not taken (429 and 503 with `Retry-After`) or that did not reach it. Raises ValueError for an
        address that is none, and for a file of certificates that cannot be read.
        """
        self.place = Place.of(inference, management, key, verify, client_certificate)
        self.timeout_s = timeout_s
        self.retries = retries
        self.models = AsyncModels(self)
        self._connections = AsyncConnections(self.place)

    def __repr__(self) -> str:
        return f"<AsyncClient {self.place.inference}, {self.place.management}>"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connections.close()

    # Predictions

    async def predict(
        self,
        model: str,
        data: Any = b"",
        *,
        version: str | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        is_repeatable: bool = False,
    ) -> Answer:
        """Send a request to a model, and return its answer; `answer.value` is what it says.

        `data`: bytes, text, a `Path` or an open file, or anything that JSON can hold. `timeout_s`: the server is told,
        and runs no request that nobody waits for. `is_repeatable`: it does no harm if the model gets it twice, so that
        it is sent again where the connection was lost.
        """
        call = await _prediction(
            model, data, version, content_type, headers, is_repeatable=is_repeatable
        )
        return await self.run(predictions.predict(call, self._rules(timeout_s)))

    async def stream(
        self,
        model: str,
        data: Any = b"",
        *,
        version: str | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Send a request to a model, and return the pieces of its answer as they come.

        `timeout_s`: for the begin of the answer, and then for each piece. Close the iterator to end the request early.
        """
        answer = await self._streamed(model, data, version, content_type, headers, timeout_s)
        async with aclosing(cast("AsyncGenerator[bytes, None]", answer.pieces)) as pieces:
            async for piece in pieces:
                yield piece

    async def events(
        self,
        model: str,
        data: Any = b"",
        *,
        version: str | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[str, None]:
        """Ask for the answer as events (`text/event-stream`), and return the data of each as it comes.

        Raises ServerRefused where the model fails later, too.
        """
        asked = {"Accept": EVENT_STREAM, **(headers or {})}
        answer = await self._streamed(model, data, version, content_type, asked, timeout_s)
        reader = EventReader()
        async with aclosing(cast("AsyncGenerator[bytes, None]", answer.pieces)) as pieces:
            async for piece in pieces:
                for data_of_event in reader.feed(piece):
                    yield data_of_event

    async def _streamed(
        self,
        model: str,
        data: Any,
        version: str | None,
        content_type: str | None,
        headers: Mapping[str, str] | None,
        timeout_s: float | None,
    ) -> Answer:
        call = await _prediction(
            model, data, version, content_type, headers, is_repeatable=False, is_streamed=True
        )
        return await self.run(predictions.predict(call, self._rules(timeout_s)))

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        id: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        is_repeatable: bool = False,
    ) -> Inference:
        """Send tensors to a model by the Open Inference Protocol, in binary form, and return those that it answers.

        `inputs`: by name numpy arrays, lists, or scalars. `outputs`: which are wanted; None: all. Raises ValueError for
        an input that is no tensor.
        """
        from mms.client.tensors import inference, inference_of

        call = inference(
            model, inputs, version, outputs, parameters, id, headers, is_repeatable=is_repeatable
        )
        return inference_of(await self.run(predictions.predict(call, self._rules(timeout_s))))

    # Health

    async def ping(self, *, timeout_s: float | None = None) -> str:
        """Return `Healthy`, `Partial Healthy` or `Unhealthy`."""
        return await self.run(predictions.ping(self._rules(timeout_s)))

    async def is_ready(
        self,
        model: str | None = None,
        version: str | None = None,
        *,
        timeout_s: float | None = None,
    ) -> bool:
        """Return whether a model can take requests, or all models of the server."""
        return await self.run(predictions.is_ready(model, version, self._rules(timeout_s)))

    async def metrics(self, *, timeout_s: float | None = None) -> str:
        """Return the metrics of the server, in the text format of Prometheus."""
        answer = await self.call("GET", "/metrics", is_management=True, timeout_s=timeout_s)
        return answer.check().text

    async def snapshot(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the state of all models at this moment, as the console shows it: workers, queues, counters, errors."""
        answer = await self.call(
            "GET", "/console/snapshot", is_management=True, timeout_s=timeout_s
        )
        found: dict[str, Any] = answer.check().json()
        return found

    # Anything else

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        is_management: bool = False,
        timeout_s: float | None = None,
    ) -> Answer:
        """Return the answer to any call, whatever its status. `path`: with the query, percent-encoded."""
        call = Call(method, path, body, headers or {}, is_management, method in ("GET", "HEAD"))
        return await self.run(answered(call, self._rules(timeout_s)))

    async def run(self, steps: Steps[T]) -> T:
        """Carry out the steps of an operation."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    answer = await self._connections.send(step)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return cast("T", end.value)

    def _rules(self, timeout_s: float | None = None) -> Rules:
        return Rules(self.retries, self.timeout_s if timeout_s is None else timeout_s)


async def _prediction(model: str, data: Any, *arguments: Any, **options: Any) -> Call:
    """Return the call of a prediction; a file is read beside the event loop."""
    make = partial(predictions.prediction, model, data, *arguments, **options)
    is_file = isinstance(data, PathLike) or hasattr(data, "read")
    return await asyncio.to_thread(make) if is_file else make()


class AsyncModels:
    """The models of a server: `client.models`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<AsyncModels of {self._client!r}>"

    async def names(self) -> list[str]:
        """Return the names of all models."""
        return await self._client.run(steps_of_models.names(self._client._rules()))

    async def list(self) -> list[Description]:
        """Return the descriptions of all versions of all models."""
        return await self._client.run(steps_of_models.every(self._client._rules()))

    async def versions(self, name: str) -> Sequence[Description]:
        """Return the descriptions of all versions of a model."""
        return await self._client.run(steps_of_models.versions(name, self._client._rules()))

    async def describe(self, name: str, version: str | None = None) -> Description:
        """Return what the server says of a model and its workers."""
        return await self._client.run(
            steps_of_models.describe(name, version, self._client._rules())
        )

    async def register(
        self,
        archive: str | None = None,
        *,
        initial_workers: int = 1,
        synchronous: bool = True,
        timeout_s: float | None = None,
        **parameters: Any,
    ) -> str:
        """Register an archive of the model store, or a url, and return what the server says of it.

        `synchronous`: wait until the workers have loaded it. `parameters`: any of the registration's, such as
        `model_name` and `batch_size`.
        """
        members = {"initial_workers": initial_workers, "synchronous": synchronous, **parameters}
        rules = self._client._rules(timeout_s)
        return await self._client.run(steps_of_models.register(archive, members, rules))

    async def scale(
        self,
        name: str,
        workers: int | None = None,
        *,
        max_workers: int | None = None,
        version: str | None = None,
        synchronous: bool = True,
        timeout_s: float | None = None,
        **changes: Any,
    ) -> str:
        """Set how many workers a model has, and change what it was registered with, such as `batch_size`.

        `workers`: at least so many; `max_workers`: at most, by default as many.
        """
        asked = {"synchronous": synchronous, **changes}
        rules = self._client._rules(timeout_s)
        return await self._client.run(
            steps_of_models.scale(name, version, workers, max_workers, asked, rules)
        )

    async def unregister(self, name: str, version: str | None = None) -> str:
        """Unregister a model; what it has accepted is answered first."""
        return await self._client.run(
            steps_of_models.unregister(name, version, self._client._rules())
        )

    async def set_default(self, name: str, version: str) -> str:
        """Make a version the one that serves requests which name none."""
        return await self._client.run(
            steps_of_models.set_default(name, version, self._client._rules())
        )

    async def scaling(self, name: str, version: str | None = None) -> dict[str, Any]:
        """Return how many workers a model needs by its load, and what was decided of late."""
        return await self._client.run(steps_of_models.scaling(name, version, self._client._rules()))

    async def wait(
        self,
        name: str,
        version: str | None = None,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[Description], object] | None = None,
    ) -> Description:
        """Wait until a model is registered and has the workers that it is to have, and return its description.

        `on_progress` is called with each description on the way. Raises ServerRefused where it cannot load.
        """
        rules = self._client._rules(timeout_s)
        return await self._client.run(steps_of_models.wait(name, version, rules, on_progress))

    async def logs(self, name: str | None = None, *, lines: int = 100) -> Sequence[LogLine]:
        """Return the newest lines of a model, or of all models."""
        return await self._client.run(steps_of_models.logs(name, lines, self._client._rules()))

    def follow_logs(
        self, name: str | None = None, *, lines: int = 100
    ) -> AsyncGenerator[LogLine, None]:
        """Return the newest lines of a model, or of all, and then each that comes, until the server stops."""
        return self._each(steps_of_models.following(name, lines), steps_of_models.log_line)

    def samples(
        self, name: str, *, count: int = 10, seconds: int = 60
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Return the next requests to a model and their answers, as they come, for so long at most."""
        call = steps_of_models.sampling(name, count, seconds)
        return self._each(call, steps_of_models.sample_of)

    async def _each(self, call: Call, read: Callable[[bytes], T | None]) -> AsyncGenerator[T, None]:
        answer = await self._client.run(predictions.predict(call, self._client._rules()))
        reader = LineReader()
        async with aclosing(cast("AsyncGenerator[bytes, None]", answer.pieces)) as pieces:
            async for piece in pieces:
                for text in reader.feed(piece):
                    line = read(text)
                    if line is not None:
                        yield line
