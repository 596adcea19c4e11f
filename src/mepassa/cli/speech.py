"""How the command line speaks: Portuguese where the system does, else English; one sentence for an error."""

import os
import sys

from mepassa.model.errors import MepassaError

PORTUGUESE = {
    "NotInitialisedError": "Ainda não há uma conta nesta pasta; crie uma com `mepassa init`.",
    "FolderInUseError": "Outro processo do MePassa usa esta pasta; pare-o primeiro ou escolha outra pasta.",
    "WrongPassphraseError": "A senha não abre este banco de dados; nada foi alterado. Tente de novo com a senha certa.",
    "DiskFullError": "O disco está cheio; nada foi perdido. Libere espaço e tente de novo.",
    "HomeUnreachableError": "O servidor-casa não responde; verifique a rede ou tente de novo mais tarde.",
    "TokenRefusedError": "A casa não aceitou este convite: ele foi revogado, venceu ou não é dela.",
    "MailboxFullError": "A caixa de quem recebe está cheia; a mensagem espera aqui e será tentada de novo.",
    "ClockWrongError": "O relógio deste aparelho está errado por minutos; acerte a hora e tente de novo.",
    "PortTakenError": "Outro programa usa esta porta; escolha outra, ou 0 para uma livre.",
    "PassphraseMissingError": "Este banco de dados tem senha; indique-a com --passphrase-file.",
    "KeyringLockedError": "O chaveiro do sistema não entrega a chave do banco; destranque-o e tente de novo.",
    "RegistrationRefusedError": "A casa não aceitou o cadastro; peça um convite a quem a mantém, ou confira o seu.",
    "LoginRefusedError": "A casa não conhece este aparelho; talvez ele tenha sido removido da conta.",
    "StateRolledBackError": "Este banco é uma cópia antiga; as conversas estão sendo refeitas antes de enviar algo.",
    "UnsupportedError": "Esta versão ainda não faz isso.",
    "NodeNotRunningError": "O MePassa não está rodando nesta pasta; inicie-o com `mepassa run`.",
}
"""By error class; a class that is not here speaks its own English sentence."""


def portuguese() -> bool:
    language = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return language.lower().startswith("pt")


def pick(pt: str, en: str) -> str:
    return pt if portuguese() else en


def say(text: str) -> None:
    print(text, flush=True)


def in_words(code: str, message: str) -> str:
    """An error in the reader's language, as far as there are words for it."""
    return PORTUGUESE.get(code, message) if portuguese() else message


def say_error(error: MepassaError) -> None:
    print(f"mepassa: {in_words(error.code, error.message)}", file=sys.stderr, flush=True)
