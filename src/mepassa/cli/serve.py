"""`mepassa serve`: start a home server."""

import json
from pathlib import Path
from typing import Annotated, Literal

from mepassa.cli.help import JsonReady, flag, option
from mepassa.cli.logs import LogTo, log_to_stderr
from mepassa.cli.place import UsageError, host_and_port
from mepassa.cli.speech import pick, say


def serve(
    *,
    listen: Annotated[
        str,
        option(
            "HOST:PORTA para HTTP e WebSockets; a porta 0 escolhe uma livre.",
            "HOST:PORT for HTTP and WebSockets; port 0 picks a free one.",
        ),
    ],
    data: Annotated[Path, option("A pasta do servidor.", "The server's folder.")],
    registration: Annotated[
        Literal["open", "invite", "work"],
        option(
            "Quem pode criar conta: todos, quem tem convite, ou quem fizer um trabalho de cálculo.",
            "Who may make an account.",
        ),
    ] = "invite",
    cert: Annotated[
        Path | None,
        option("Cadeia do certificado TLS (PEM), com --key.", "TLS certificate chain (PEM), with --key."),
    ] = None,
    key: Annotated[
        Path | None,
        option("A chave privada do certificado (PEM).", "The certificate's private key (PEM)."),
    ] = None,
    turn_port: Annotated[
        int | None, option("UDP p e p+1, TCP p (público: 3478).", "UDP p and p+1, TCP p (public: 3478).")
    ] = None,
    relay_ports: Annotated[
        str | None,
        option("Primeira-última porta UDP dos endereços da ponte.", "First-last UDP port of relayed addresses."),
    ] = None,
    bootstrap_port: Annotated[
        int | None,
        option("Porta TCP do nó da DHT (público: 4001).", "TCP port of the DHT node (public: 4001)."),
    ] = None,
    public_address: Annotated[
        str | None,
        option(
            "Nome ou endereço em que os outros encontram esta máquina.",
            "Name or address at which others reach this machine.",
        ),
    ] = None,
    admin: Annotated[
        str | None,
        option(
            "HOST:PORTA dos contadores e convites; não a publique.",
            "HOST:PORT of counters and invites; keep it private.",
        ),
    ] = None,
    roles: Annotated[
        list[str] | None,
        option(
            "Que partes rodam: mailbox (com o diretório), relay, bootstrap.",
            "Which parts run: mailbox (with the directory), relay, bootstrap.",
            negative="",
        ),
    ] = None,
    bootstrap_peer: Annotated[
        list[str] | None,
        option(
            "Outro nó da DHT em que entrar e que anunciar (multiaddr).",
            "Another DHT node to join and list (multiaddr).",
            negative="",
        ),
    ] = None,
    allow_private_peers: Annotated[
        bool,
        flag("Repassa a endereços privados: só para laboratórios.", "Relay to private addresses: labs only."),
    ] = False,
    as_json: JsonReady = False,
    log: LogTo = "warning",
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
        raise UsageError(
            pick("As portas da ponte se dizem PRIMEIRA-ÚLTIMA.", "Relay ports are given as FIRST-LAST."),
            field="relay_ports",
        )
    return int(first), int(last)


def _words(url: str, invite: str | None) -> str:
    lines = [pick(f"O servidor está aberto em {url}.", f"The server is open at {url}.")]
    if invite is not None:
        lines.append(
            pick(
                f"O primeiro convite para criar conta (só aparece agora): {invite}",
                f"The first invite to make an account (shown only now): {invite}",
            )
        )
    return "\n".join(lines)
