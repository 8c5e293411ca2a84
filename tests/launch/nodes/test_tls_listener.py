"""Who may dial in from other machines: workers with a certificate and a secret of this server, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.link_listener import Listener

from mms.errors import ConfigurationError
from mms.launch.accepting import _MAX_OF_A_CERTIFICATE, WorkerSocket
from mms.launch.line_turns import LineTurns
from mms.launch.nodes.authority import Authority, worker_context
from mms.launch.nodes.link import HostedLink
from mms.launch.nodes.tls_listener import _MOST_HANDSHAKES, TlsListener
from mms.wire import HELLO, RESULT, Hello, Load, encode_frame
from mms.wire.messages import ROLE_HOST

SECRET = "s" * 32


@dataclass
class Scene:
    authority: Authority
    listener: TlsListener
    link: HostedLink
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self, context: ssl.SSLContext | None, name: str = "") -> asyncio.StreamWriter:
        self.reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            self.listener.port,
            ssl=context,
            server_hostname=(name or self.authority.front_name) if context else None,
        )
        self.writers.append(writer)
        return writer

    def context(self) -> ssl.SSLContext:
        return worker_context(self.authority.pem, self.authority.issue("W-m-0"))

    async def says(self, data: bytes) -> bytes:
        """What comes back of a connection of a worker that says this."""
        writer = await self.dial(self.context())
        writer.write(data)
        return await answer(self.reader)


async def answer(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except (ConnectionError, ssl.SSLError):
        return b""


def hello(secret: str = SECRET, role: str = ROLE_HOST) -> bytes:
    return encode_frame(HELLO, 0, Hello(secret, role).to_payload())


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


@pytest.fixture
async def scene(authority: Authority, tmp_path: Path) -> AsyncIterator[Scene]:
    workers = WorkerSocket(tmp_path / "s", 20.0)
    link = HostedLink("W-m-0", Load("m", None, "/", "h"), Listener(), 1 << 20, LineTurns())
    workers.expect(SECRET, link)
    listener = TlsListener(authority.front_context(), workers.accept, 3.0)
    await listener.start("127.0.0.1", 0)
    scene = Scene(authority, listener, link)
    yield scene
    for writer in scene.writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    listener.close()
    link.kill("over")


async def test_a_worker_with_certificate_and_secret_is_let_in_once_for_each_role(
    scene: Scene,
) -> None:
    writer = await scene.dial(scene.context())
    writer.write(hello())
    await asyncio.wait_for(scene.link.placed, 10)
    assert await scene.says(hello()) == b""
    assert not scene.link.closed.done()


@pytest.mark.parametrize(
    "data",
    [hello("guessed"), hello(role="any"), encode_frame(RESULT, 0), hello("x" * 100_000), b"GET /"],
    ids=["a wrong secret", "no role", "no hello", "a hello too large", "no frame"],
)
async def test_a_certificate_alone_opens_nothing(scene: Scene, data: bytes) -> None:
    assert await scene.says(data + bytes(16)) == b""
    assert not scene.link.placed.done()


async def test_who_has_no_certificate_gets_no_further_than_the_handshake(scene: Scene) -> None:
    other = Authority.make()
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
    forged = worker_context(scene.authority.pem, other.issue("W-m-0"))
    for context in (plain, forged):
        # With TLS 1.3 a client learns only by its first read that it was refused.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer = await scene.dial(context)
            writer.write(hello())
            assert await answer(scene.reader) == b""
    writer = await scene.dial(None)
    writer.write(hello())
    assert await answer(scene.reader) == b""
    assert not scene.link.placed.done()


async def test_older_tls_is_refused(scene: Scene) -> None:
    context = scene.context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await scene.dial(context)


async def test_a_worker_talks_to_its_own_server_alone(scene: Scene) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await scene.dial(scene.context(), "front-of-another.mms.internal")
    with pytest.raises(ssl.SSLCertVerificationError):
        other = Authority.make()
        await scene.dial(worker_context(other.pem, other.issue("W-m-0")))


async def test_strangers_who_come_all_at_once_have_few_handshakes_between_them(
    scene: Scene,
) -> None:
    strangers = [socket.socket() for _ in range(200)]
    most = 0
    try:
        for stranger in strangers:
            stranger.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                stranger.connect(("127.0.0.1", scene.listener.port))
        while scene.listener._refused < len(strangers) - _MOST_HANDSHAKES:
            await asyncio.sleep(0)
            tasks = [repr(each.get_coro()) for each in asyncio.all_tasks()]
            most = max(most, sum("_shake_hands" in each for each in tasks))
    finally:
        for stranger in strangers:
            stranger.close()
    assert _MOST_HANDSHAKES <= most < 2 * _MOST_HANDSHAKES + 2


async def test_strangers_who_say_nothing_keep_no_worker_out(scene: Scene) -> None:
    silent = []
    for _ in range(70):
        await scene.dial(None)
        silent.append(scene.reader)
    for reader in silent[:6]:
        assert await answer(reader) == b""
    writer = await scene.dial(scene.context())
    writer.write(hello())
    await asyncio.wait_for(scene.link.placed, 10)


async def test_a_worker_that_opens_many_connections_loses_its_own_and_no_other_ones(
    scene: Scene,
) -> None:
    await scene.dial(scene.context())
    other = scene.reader
    hostile = scene.context()
    opened = []
    for _ in range(_MAX_OF_A_CERTIFICATE + 4):
        await scene.dial(hostile)
        opened.append(scene.reader)
    for reader in opened[:4]:
        assert await answer(reader) == b""
    assert not any(reader.at_eof() for reader in (other, *opened[4:]))


def test_an_authority_that_is_given_has_to_be_one_with_its_key(
    authority: Authority, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    certificate, key, other = tmp_path / "ca.pem", tmp_path / "ca.key", tmp_path / "other.key"
    certificate.write_text(authority.pem)
    pem = authority._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(pem)
    identity = authority.issue("W")
    other.write_text(identity.key)
    assert Authority.of_files(certificate, key).pem == authority.pem
    with pytest.raises(ConfigurationError, match="is not the key of"):
        Authority.of_files(certificate, other)
    leaf = tmp_path / "leaf.pem"
    leaf.write_text(identity.certificate)
    with pytest.raises(ConfigurationError, match="no certificate of an authority"):
        Authority.of_files(leaf, other)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Authority.of_files(tmp_path / "none", key)
