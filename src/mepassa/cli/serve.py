"""`mepassa serve`: start a home server."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mepassa.cli.logs import LogLevel, log_to_stderr
from mepassa.cli.place import UsageError, host_and_port
from mepassa.cli.speech import pick, say

ROLES_HELP = "Which parts run: mailbox (with the directory), relay, bootstrap."


def serve(
    *,
    listen: Annotated[str, Parameter(help="HOST:PORT for HTTP and WebSockets; port 0 picks a free one.")],
    data: Annotated[Path, Parameter(help="The home's folder.")],
    registration: Annotated[Literal["open", "invite", "work"], Parameter(help="Who may make an account.")] = "invite",
    cert: Annotated[Path | None, Parameter(help="TLS certificate chain (PEM), with --key.")] = None,
    key: Annotated[Path | None, Parameter(help="The certificate's private key (PEM).")] = None,
    turn_port: Annotated[int | None, Parameter(help="UDP p and p+1, TCP p (public: 3478).")] = None,
    relay_ports: Annotated[str | None, Parameter(help="First-last UDP port of relayed addresses.")] = None,
    bootstrap_port: Annotated[int | None, Parameter(help="TCP port of the DHT node (public: 4001).")] = None,
    public_address: Annotated[str | None, Parameter(help="Name or address at which others reach this machine.")] = None,
    admin: Annotated[str | None, Parameter(help="HOST:PORT of counters and invites; keep it private.")] = None,
    roles: Annotated[list[str] | None, Parameter(help=ROLES_HELP)] = None,
    bootstrap_peer: Annotated[
        list[str] | None, Parameter(help="Another DHT node to join and list (multiaddr).")
    ] = None,
    allow_private_peers: Annotated[bool, Parameter(negative="", help="Relay to private addresses: labs only.")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="One JSON line when ready.")] = False,
    log: Annotated[LogLevel, Parameter(help="What goes to stderr.")] = "warning",
) -> None:
    """Run a home server: mailbox, directory, relay and DHT node from one command."""
    from mepassa.server.main import ROLES, ReadyFacts, RegistrationPolicy, ServerConfig
    from mepassa.server.main import serve as serve_until_stopped

    log_to_stderr(log)
    host, port = host_and_port(listen)
    admin_host, admin_port = (None, 0) if admin is None else host_and_port(admin)
    config = ServerConfig(
        data=data.expanduser().absolute(),
        listen_host=host,
        listen_port=port,
        registration=RegistrationPolicy[registration.upper()],
        cert=cert,
        key=key,
        turn_port=turn_port,
        relay_ports=None if relay_ports is None else first_and_last(relay_ports),
        bootstrap_port=bootstrap_port,
        public_address=public_address,
        admin_host=admin_host,
        admin_port=admin_port,
        roles=ROLES if roles is None else tuple(roles),
        bootstrap_peers=tuple(bootstrap_peer or ()),
        allow_private_peers=allow_private_peers,
    )

    def ready(facts: ReadyFacts) -> None:
        say(json.dumps(facts.as_json()) if as_json else _words(facts.url, facts.invite))

    serve_until_stopped(config, ready)


def first_and_last(text: str) -> tuple[int, int]:
    """ "49152-49999" as two ports. Raises `UsageError`."""
    first, dash, last = text.partition("-")
    if not (dash and first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise UsageError("Relay ports are given as FIRST-LAST.", field="relay_ports")
    return int(first), int(last)


def _words(url: str, invite: str | None) -> str:
    lines = [pick(f"A casa está aberta em {url}.", f"The home is open at {url}.")]
    if invite is not None:
        lines.append(
            pick(
                f"O primeiro convite para criar conta (só aparece agora): {invite}",
                f"The first invite to make an account (shown only now): {invite}",
            )
        )
    return "\n".join(lines)
