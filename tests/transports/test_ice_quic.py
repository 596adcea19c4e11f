"""docs/protocol/ice.md, "QUIC": sessions over real ICE paths on loopback."""

import asyncio
import gc
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aioquic.quic.configuration import QuicConfiguration

from mepassa.model.errors import LinkLostError, PathRefusedError
from mepassa.testing import SeededRng
from mepassa.testing.clock import START_MS
from mepassa.transports.ice import IcePath, QuicCertificate, QuicSession
from mepassa.transports.ice.quic import SEND_BUFFER_BYTES, UNREAD_LIMIT_BYTES
from tests.transports.ice_peers import two_paths

Sessions = tuple[QuicSession, QuicSession]


@pytest.fixture(scope="module")
def certificate() -> QuicCertificate:
    return QuicCertificate.make(START_MS)


def sessions_on(paths: tuple[IcePath, IcePath], certificate: QuicCertificate) -> Sessions:
    """The client, then the server."""
    return (
        QuicSession(paths[0], certificate=certificate, pinned_sha256=certificate.sha256),
        QuicSession(paths[1], certificate=certificate, pinned_sha256=None),
    )


@asynccontextmanager
async def two_sessions(certificate: QuicCertificate, seed: int = 1) -> AsyncIterator[Sessions]:
    """Open on both sides; the server's end of the stream exists once the client has written."""
    async with two_paths(seed) as paths:
        client, server = sessions_on(paths, certificate)
        await asyncio.gather(client.open(), server.open())
        await client.write(b"hello")
        assert await read_exactly(server, 5) == b"hello"
        yield client, server
        await client.close()
        await server.close()


async def read_exactly(session: QuicSession, size: int) -> bytes:
    data = bytearray()
    async with asyncio.timeout(20):
        while len(data) < size:
            data += await session.read(size - len(data))
    return bytes(data)


async def write_all(session: QuicSession, data: bytes) -> None:
    for start in range(0, len(data), 32_768):
        await session.write(data[start : start + 32_768])


async def test_bytes_arrive_in_order_both_ways(certificate: QuicCertificate, seed: int) -> None:
    data = SeededRng(seed).token(1_000_000)
    async with two_sessions(certificate) as (client, server):
        _, there, _, back = await asyncio.gather(
            write_all(client, data),
            read_exactly(server, len(data)),
            write_all(server, data),
            read_exactly(client, len(data)),
        )
        assert hashlib.sha256(there).digest() == hashlib.sha256(back).digest() == hashlib.sha256(data).digest()


async def test_reading_returns_no_more_than_asked_for(certificate: QuicCertificate) -> None:
    async with two_sessions(certificate) as (client, server):
        await server.write(b"abc")
        assert [await client.read(2), await client.read(2)] == [b"ab", b"c"]


async def test_the_end_is_told_apart_from_a_loss(certificate: QuicCertificate) -> None:
    async with two_sessions(certificate) as (client, server):
        await client.write(b"last words")
        await client.close()
        assert await read_exactly(server, 10) == b"last words"
        assert await server.read(10) == b""
        with pytest.raises(LinkLostError):
            await server.write(b"too late")


async def test_a_certificate_that_was_not_signalled_is_refused(certificate: QuicCertificate) -> None:
    other = QuicCertificate.make(START_MS)
    async with two_paths() as paths:
        client = QuicSession(paths[0], certificate=certificate, pinned_sha256=other.sha256)
        server = QuicSession(paths[1], certificate=certificate, pinned_sha256=None)
        ended = await asyncio.gather(client.open(), server.open(), return_exceptions=True)
        assert isinstance(ended[0], PathRefusedError)
        with pytest.raises(LinkLostError):  # the server may have been done before it was told
            raise ended[1] if isinstance(ended[1], BaseException) else LinkLostError
        await server.close()


class OfAnotherProtocol(QuicSession):
    def _configuration(self, *, is_client: bool) -> QuicConfiguration:
        configuration = super()._configuration(is_client=is_client)
        configuration.alpn_protocols = None
        return configuration


async def test_a_server_that_does_not_name_our_protocol_is_refused(certificate: QuicCertificate) -> None:
    async with two_paths() as paths:
        client = QuicSession(paths[0], certificate=certificate, pinned_sha256=certificate.sha256)
        server = OfAnotherProtocol(paths[1], certificate=certificate, pinned_sha256=None)
        ended = await asyncio.gather(client.open(), server.open(), return_exceptions=True)
        assert isinstance(ended[0], PathRefusedError), "that tells the server no more than that its peer has gone"


async def test_a_server_that_never_answers_is_given_up(certificate: QuicCertificate) -> None:
    async with two_paths() as (path, _):
        client = QuicSession(path, certificate=certificate, pinned_sha256=certificate.sha256)
        with pytest.raises(LinkLostError):
            await client.open(deadline_s=0.2)
    gc.collect()
    assert len(asyncio.all_tasks()) == 1


async def test_junk_before_and_between_does_not_disturb(certificate: QuicCertificate, seed: int) -> None:
    rng = SeededRng(seed)
    async with two_paths() as paths:
        for size in (1, 20, 50, 1200, 1400):
            paths[0].send(b"\xc3" + rng.token(size))
            paths[0].send(b"\x40" + rng.token(size))
        client, server = sessions_on(paths, certificate)
        await asyncio.gather(client.open(), server.open())
        for size in (1, 20, 1200):
            paths[1].send(b"\xc3" + rng.token(size))
            paths[1].send(b"\x40" + rng.token(size))
        await client.write(b"still here")
        assert await read_exactly(server, 10) == b"still here"
        await client.close()
        await server.close()


async def test_a_writer_waits_while_a_megabyte_is_unacknowledged(certificate: QuicCertificate) -> None:
    async with two_sessions(certificate) as (client, server):
        server._path.silence()
        writing = asyncio.create_task(write_all(client, bytes(2 * SEND_BUFFER_BYTES)))
        await asyncio.sleep(0.1)
        assert not writing.done()
        assert client._unacknowledged_bytes() <= SEND_BUFFER_BYTES + 32_768
        writing.cancel()
        await asyncio.wait({writing})


async def test_a_peer_that_floods_a_reader_loses_the_session(certificate: QuicCertificate) -> None:
    async with two_sessions(certificate) as (client, server):
        with pytest.raises(LinkLostError):
            await write_all(client, bytes(2 * UNREAD_LIMIT_BYTES))
        assert len(server._incoming) < 2 * UNREAD_LIMIT_BYTES


async def test_the_path_below_can_be_swapped_in_mid_stream(certificate: QuicCertificate, seed: int) -> None:
    data = SeededRng(seed).token(2_000_000)
    async with two_sessions(certificate) as (client, server), two_paths(40) as (new_client, new_server):
        writing = asyncio.create_task(write_all(client, data))
        first = await read_exactly(server, 500_000)
        for session, path in ((client, new_client), (server, new_server)):
            await session.attach(path).close()
        assert hashlib.sha256(first + await read_exactly(server, 1_500_000)).digest() == hashlib.sha256(data).digest()
        await writing


@pytest.mark.slow
async def test_silence_with_something_in_flight_is_noticed_within_four_seconds(certificate: QuicCertificate) -> None:
    loop = asyncio.get_running_loop()
    async with two_sessions(certificate) as (client, server):
        server._path.silence(for_s=30)
        begun = loop.time()
        await client.write(b"is anybody there?")
        with pytest.raises(LinkLostError):
            await client.read(10)
        assert loop.time() - begun < 4
        client._path.silence()  # the goodbye has nobody to go to
