"""`mepassa init` and `mepassa run`: make an account in a folder, and run its node in the foreground."""

import asyncio
import json
import os
import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

from mepassa.cli.help import JsonReady, flag, option
from mepassa.cli.logs import LogTo, log_to_stderr
from mepassa.cli.place import DataFolder, UsageError, folder_of, host_and_port
from mepassa.cli.speech import pick, say
from mepassa.model.errors import InvalidInputError
from mepassa.model.secret import HandedOver, SecretBytes


def init(
    *,
    home: Annotated[
        str,
        option(
            "O endereço do servidor, como quem cuida dele passou para você.",
            "The home server's address, as whoever runs it gave it to you.",
        ),
    ],
    name: Annotated[str, option("O nome que seus contatos vão ver.", "What your contacts will see.")],
    invite: Annotated[
        str | None,
        option("O código que quem cuida do servidor deu a você.", "The code that whoever runs the server gave you."),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        option("Primeira linha: uma senha para os dados desta pasta.", "First line: a passphrase for the database."),
    ] = None,
    no_passphrase: Annotated[
        bool,
        flag("Sem senha: a chave fica ao lado dos dados.", "No passphrase: the key lies beside the data."),
    ] = False,
    key_on_paper: Annotated[
        bool,
        flag(
            "A chave da conta fica só nas 24 palavras, não neste aparelho: quem o levar não leva a conta.",
            "Keep the account's key in the 24 words only, not on this device: whoever takes it has not got the account.",
        ),
    ] = False,
    insecure_home: Annotated[
        bool,
        flag("Aceita http:// para outra máquina. Para testes.", "Allow http:// to another machine. For tests."),
    ] = False,
    recover: Annotated[
        bool,
        flag(
            "Traz para cá a conta das suas 24 palavras; os aparelhos que ela tinha saem.",
            "Bring the account of your 24 words here; the devices that it had are removed.",
        ),
    ] = False,
    words_file: Annotated[
        Path | None,
        option(
            "As 24 palavras, para --recover; sem isto, são pedidas.", "The 24 words, for --recover; else asked for."
        ),
    ] = None,
    data: DataFolder = None,
) -> None:
    """Create your account on a home server, in this folder. Prints the recovery phrase once."""
    from mepassa.client import init as accounts  # the node loads only where it is needed

    config = accounts.InitConfig(
        data=folder_of(data),
        home_url=home,
        name=name,
        invite=invite,
        passphrase=passphrase_of(passphrase_file, ask=False),
        no_passphrase=no_passphrase,
        key_on_paper=key_on_paper,
        insecure_home=insecure_home,
        portuguese=pick("pt", "en") == "pt",
    )
    if recover:
        found = asyncio.run(accounts.recover(config, words_of(words_file)))
        say_recovered(name, found.account_id.hex(), found.removed_devices)
        return
    if words_file is not None:
        raise UsageError("--words-file goes with --recover.", field="words_file")
    made = asyncio.run(accounts.create(config))
    say(
        pick(
            f"Pronto, {name}. Sua conta: {made.account_id.hex()}",
            f"Done, {name}. Your account: {made.account_id.hex()}",
        )
    )
    say(
        pick(
            "Guarde estas 24 palavras em papel. Elas são a sua conta, e não serão mostradas de novo:",
            "Write these 24 words on paper. They are your account, and are not shown again:",
        )
    )
    say(made.recovery_phrase)


def say_recovered(name: str, account_id: str, removed: int) -> None:
    say(
        pick(
            f"Pronto, {name}. Sua conta está neste aparelho: {account_id}",
            f"Done, {name}. Your account is on this device: {account_id}",
        )
    )
    say(
        pick(
            f"Aparelhos que saíram da conta: {removed}. Eles são avisados e não entram mais.",
            f"Devices that were removed: {removed}. They are told so, and are not let in any more.",
        )
    )
    say(
        pick(
            "Contatos e mensagens não vêm com as palavras: seu número de segurança é o mesmo, e quem escrever a você aparece"
            " como pedido. Links que você tinha passado não valem mais.",
            "Contacts and messages do not come with the words: your safety number is the same, and whoever writes to you"
            " appears as a request. Links that you had given out are no longer good.",
        )
    )


def run(
    *,
    api: Annotated[str, option("Onde a API local escuta.", "Where the local API listens.")] = "127.0.0.1:0",
    as_json: JsonReady = False,
    allow_loopback_paths: Annotated[
        bool,
        flag("Demonstração e testes: aceita discar para 127.0.0.1.", "Demo and tests: 127.0.0.1 may be dialled."),
    ] = False,
    frame_ancestor: Annotated[
        str | None,
        option("A única origem que pode pôr a página numa moldura.", "The one origin that may frame the page."),
    ] = None,
    bootstrap: Annotated[
        list[str] | None,
        option(
            "Nós da DHT além dos do servidor (multiaddr).", "DHT nodes besides the server's (multiaddr).", negative=""
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        option("Primeira linha: a senha dos dados desta pasta.", "First line: the database's passphrase."),
    ] = None,
    log: LogTo = "warning",
    data: DataFolder = None,
) -> None:
    """Run this folder's node in the foreground, until Ctrl-C."""
    from mepassa.client.main import NodeConfig, NodeReady, needs_passphrase, run_node

    log_to_stderr(log)
    host, port = host_and_port(api)
    if host not in {"127.0.0.1", "localhost"}:
        raise UsageError(
            pick(
                "A API local só escuta neste computador: diga --api 127.0.0.1:PORTA.",
                "The local API listens on this machine only: give --api 127.0.0.1:PORT.",
            ),
            field="api",
        )
    folder = folder_of(data)
    config = NodeConfig(
        data=folder,
        api_host="127.0.0.1",
        api_port=port,
        passphrase=HandedOver(passphrase_of(passphrase_file, ask=needs_passphrase(folder))),
        allow_loopback_paths=allow_loopback_paths,
        frame_ancestor=frame_ancestor,
        bootstrap=tuple(bootstrap or ()),
        max_page_count=int(os.environ["MEPASSA_MAX_PAGE_COUNT"]) if "MEPASSA_MAX_PAGE_COUNT" in os.environ else None,
    )

    def ready(facts: NodeReady) -> None:
        if as_json:
            line = {
                "ready": True,
                "api": facts.api,
                "token_file": str(facts.token_file),
                "account_id": facts.account_id,
            }
            say(json.dumps(line))
        else:
            say(
                pick(
                    f"MePassa está rodando em {facts.api}. Abra com `mepassa open`; Ctrl-C para.",
                    f"MePassa runs at {facts.api}. Open it with `mepassa open`; Ctrl-C stops.",
                )
            )

    run_node(config, ready)


def words_of(file: Path | None) -> SecretBytes:
    """The 24 words: the file's, or what is typed at a terminal. Raises `UsageError` where nobody can be asked."""
    if file is not None:
        return SecretBytes(read_file(file, "words_file"))
    if not sys.stdin.isatty():
        raise UsageError("Give the 24 words with --words-file.", field="words_file")
    asked = pick("As 24 palavras (não aparecem na tela): ", "The 24 words (they are not shown on the screen): ")
    return SecretBytes(getpass(asked).encode())


def passphrase_of(file: Path | None, *, ask: bool) -> SecretBytes | None:
    """The file's first line, or what is typed at a terminal when `ask`; None where nobody can be asked."""
    if file is not None:
        return SecretBytes(read_file(file, "passphrase_file").partition(b"\n")[0].removesuffix(b"\r"))
    if ask and sys.stdin.isatty():
        return SecretBytes(getpass(pick("Senha: ", "Passphrase: ")).encode())
    return None


def read_file(file: Path, field: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            pick(f"Não foi possível ler {file}: {error.strerror}.", f"{file} cannot be read: {error.strerror}."),
            field=field,
        ) from error
