"""Links over ICE and QUIC: the whole way from two signals to a proven device (docs/protocol/ice.md)."""

import asyncio

from mepassa.identity import LinkRole, quic_binding
from mepassa.model.errors import LinkLostError
from mepassa.model.ids import Address
from mepassa.model.route import FoundBy, RouteKind
from mepassa.model.signal import Signal
from mepassa.ports.transport import LinkHandler, LinkIdentity
from mepassa.transports.ice.attempt import CONNECT_DEADLINE_S, IceAttempt
from mepassa.transports.ice.candidates import RemoteSide, is_controlling
from mepassa.transports.ice.certificate import QuicCertificate
from mepassa.transports.ice.path import IcePath
from mepassa.transports.ice.quic import QuicSession
from mepassa.transports.link import How, LinkSession, LinkSet, LinkTiming


class IceTransport:
    """All links of one node over ICE. Owns them, their tasks and their paths; `stop()` ends everything."""

    def __init__(
        self,
        *,
        identity: LinkIdentity,
        handler: LinkHandler,
        certificate: QuicCertificate,
        timing: LinkTiming | None = None,
    ) -> None:
        self.links = LinkSet()
        self._identity, self._handler, self._certificate, self._timing = identity, handler, certificate, timing
        self._paths: dict[LinkSession, IcePath] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    @property
    def certificate_sha256(self) -> bytes:
        """For our signals."""
        return self._certificate.sha256

    async def connect(
        self,
        attempt: IceAttempt,
        *,
        own: Signal,
        remote: Signal,
        peer: Address,
        found_by: FoundBy = FoundBy.SIGNAL,
        deadline_s: float = CONNECT_DEADLINE_S,
        hold_relay_s: float | None = None,
    ) -> LinkSession:
        """Once our signal `own` is sent and the peer's `remote` is here: checks, QUIC, both hellos, in one.

        Owns `attempt` from the call on. Raises `MalformedError`, `IceFailedError`, `LinkLostError`, `PathRefusedError`
        or `HelloRefusedError`; everything of the attempt is closed then, on cancellation and after `stop()`.
        """
        client = is_controlling(self._identity.own, peer)
        path, stream = await self._open_stream(
            attempt, remote, client=client, deadline_s=deadline_s, hold_relay_s=hold_relay_s
        )
        link = LinkSession(
            stream,
            role=LinkRole.DIALLER if client else LinkRole.LISTENER,
            identity=self._identity,
            handler=self._handler,
            binding=link_binding(own, remote, client=client),
            facts=path.facts.link_facts(found_by),
            peer=peer,
            timing=self._timing,
            links=self.links,
        )
        task = self._run(link, path)
        try:
            await link.wait_open()
        except BaseException:
            task.cancel()
            await asyncio.wait({task})
            raise
        return link

    async def _open_stream(
        self, attempt: IceAttempt, remote: Signal, *, client: bool, deadline_s: float, hold_relay_s: float | None
    ) -> tuple[IcePath, QuicSession]:
        """ICE's path and QUIC's stream on it; whatever goes wrong, nothing of the attempt is left."""
        try:
            path = await attempt.connect(
                RemoteSide.from_signal(remote), controlling=client, deadline_s=deadline_s, hold_relay_s=hold_relay_s
            )
            stream = QuicSession(
                path,
                certificate=self._certificate,
                pinned_sha256=remote.quic_certificate_sha256 if client else None,
            )
            await stream.open()
            if self._stopped:
                await stream.close()
                raise LinkLostError
        except BaseException:
            await attempt.close()
            raise
        return path, stream

    async def end_paths(self, kind: RouteKind, how: How) -> None:
        """`PUT /paths`: `close` says bye; `silence` swallows all bytes both ways, acknowledgements of QUIC and checks of
        ICE included, and closes without a word 10 s later.
        """
        chosen = [link for link in self._paths if link.facts.kind is kind]
        if how == "silence":
            for link in chosen:
                link.silence()
                self._paths[link].silence()
        else:
            await asyncio.gather(*(link.close() for link in chosen))

    async def stop(self) -> None:
        """Say bye on every link; when this returns, none of its tasks and sockets is left, and no link opens any more.

        Calls of `connect` that are under way belong to their callers.
        """
        self._stopped = True
        await asyncio.gather(*(link.close() for link in tuple(self._paths)))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, link: LinkSession, path: IcePath) -> asyncio.Task[None]:
        self._paths[link] = path
        task = asyncio.create_task(link.run())
        self._tasks.add(task)

        def ended(_: object) -> None:
            self._tasks.discard(task)
            self._paths.pop(link, None)

        task.add_done_callback(ended)
        return task


def link_binding(own: Signal, remote: Signal, *, client: bool) -> bytes:
    """The name of this very QUIC connection for the link hello: the server certificate's SHA-256, then the client's and
    the server's ICE ufrag, then the client's and the server's path secret (docs/protocol/ice.md, "Binding").
    """
    dialler, listener = (own, remote) if client else (remote, own)
    return quic_binding(
        server_certificate_sha256=listener.quic_certificate_sha256,
        client_ufrag=dialler.ice_ufrag,
        server_ufrag=listener.ice_ufrag,
        client_path_secret=dialler.path_secret,
        server_path_secret=listener.path_secret,
    )
