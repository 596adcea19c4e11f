"""How the command line speaks: Portuguese where the system does, else English; one sentence for an error."""

import os
import re
import sys

from mepassa.model.errors import MepassaError

PORTUGUESE = {
    "NotInitialisedError": "Ainda não há uma conta nesta pasta; crie uma com `mepassa init`.",
    "FolderInUseError": "Outro processo do MePassa usa esta pasta; pare-o primeiro ou escolha outra pasta.",
    "WrongPassphraseError": "A senha não abre os dados desta pasta; nada foi alterado. Tente de novo com a senha certa.",
    "DiskFullError": "O disco está cheio; nada foi perdido. Libere espaço e tente de novo.",
    "HomeUnreachableError": "O servidor não responde; confira a internet ou tente de novo mais tarde.",
    "TokenRefusedError": "O convite não vale mais: venceu, foi cancelado ou já foi usado. Peça um link novo.",
    "MailboxFullError": "A caixa da pessoa está cheia; a mensagem espera aqui e é tentada de novo.",
    "ClockWrongError": "O relógio deste computador está errado por minutos; acerte a hora e tente de novo.",
    "PortTakenError": "Outro programa usa esta porta; escolha outra, ou 0 para uma livre.",
    "PassphraseMissingError": "Os dados desta pasta têm senha; indique-a com --passphrase-file.",
    "KeyringLockedError": "O chaveiro do sistema não entrega a chave dos dados; destranque-o e tente de novo.",
    "RegistrationRefusedError": "O servidor não aceitou o cadastro; peça um convite a quem cuida dele, ou confira o seu.",
    "AccountUnknownError": "O servidor não conhece a conta destas 24 palavras; confira o endereço dele e as palavras.",
    "DeviceRemovedError": "Este aparelho saiu da conta. O que está aqui continua legível; nada mais é enviado nem recebido.",
    "LoginRefusedError": "O servidor não conhece este aparelho; talvez ele tenha sido removido da conta.",
    "StateRolledBackError": "Os dados deste computador são uma cópia antiga; as conversas estão sendo refeitas antes de enviar algo.",
    "RolledBackAgainError": (
        "O servidor diz de novo que estes dados são uma cópia antiga. Talvez outra cópia desta conta esteja rodando: pare uma."
    ),
    "TextTooLongError": "O texto está vazio ou é comprido demais; encurte-o ou divida-o em dois.",
    "UnsupportedError": "Esta versão ainda não faz isso.",
    "NodeNotRunningError": "O MePassa não está rodando nesta pasta; inicie-o com `mepassa run`.",
}
"""By error class; a class that is not here speaks its own English sentence."""

PORTUGUESE_SENTENCES = {
    "A server's address is https://HOST or https://HOST:PORT.": (
        "O endereço de um servidor é https://NOME ou https://NOME:PORTA."
    ),
    "Plain http is only for a server on this machine; use https, or --insecure-home if you know why.": (
        "http só serve para um servidor neste computador; use https, ou --insecure-home se souber por quê."
    ),
    "A name is 1 to 64 letters, without line breaks or spaces around it.": (
        "Um nome tem de 1 a 64 letras, sem quebras de linha nem espaços em volta."
    ),
    "This folder has an account already; choose another folder.": "Esta pasta já tem uma conta; escolha outra pasta.",
    "This is not a MePassa contact link.": "Este não é um link de contato do MePassa.",
    "This contact link is damaged; ask for a new one.": "Este link de contato está danificado; peça um novo.",
    "This is your own link; give it to somebody else.": "Este é o seu próprio link; passe-o a outra pessoa.",
    "Accept the request before you answer.": "Aceite o pedido antes de responder.",
    "There is no request to accept in this chat.": "Não há pedido para aceitar nesta conversa.",
    "This contact is blocked.": "Esta pessoa está bloqueada.",
    "Hiding your internet address works only with contacts of the same home server yet.": (
        "Esconder o endereço de internet só funciona, por enquanto, com contatos do mesmo servidor."
    ),
    "That server has an address inside a private network; it can't be reached from here.": (
        "Esse servidor fica dentro de uma rede privada; daqui não se chega a ele."
    ),
    "A server at a private address is not contacted from here.": "Esse servidor tem um endereço privado; daqui não se fala com ele.",
    "The data folder cannot be written; choose another.": "Não é possível gravar na pasta de dados; escolha outra.",
    "The certificate and its key cannot be used.": "O certificado e a chave dele não podem ser usados.",
    "This link shows another key for somebody whom you know already; it was not used.": (
        "Este link mostra outra chave para alguém que você já conhece; não foi usado."
    ),
    "That is not this contact's safety number; compare it again.": (
        "Esse não é o número de segurança deste contato; compare de novo."
    ),
    "These words are known but do not belong together; check their order and spelling.": (
        "Estas palavras existem, mas não formam uma conta; confira a ordem e a grafia."
    ),
    "This account has had as many devices as there are numbers for.": "Esta conta já teve todos os aparelhos que podia ter.",
    "The node did not answer in time; try again.": "O MePassa desta pasta não respondeu a tempo; tente de novo.",
}
"""By what is said in English, where one class says several things; comes before the class's own sentence."""


PORTUGUESE_PATTERNS = {
    r"A recovery phrase has 24 words; this one has (\d+)\.": "São 24 palavras; aqui há {0}.",
    r"Word (\d+) of the recovery phrase is in no word list; check its spelling\.": (
        "A palavra {0} não está em nenhuma das listas; confira a grafia."
    ),
}
"""The same for sentences that hold a figure."""


def portuguese() -> bool:
    language = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return language.lower().startswith("pt")


def pick(pt: str, en: str) -> str:
    return pt if portuguese() else en


def say(text: str) -> None:
    print(text, flush=True)


def in_words(code: str, message: str) -> str:
    """An error in the reader's language, as far as there are words for it."""
    if not portuguese():
        return message
    for pattern, said in PORTUGUESE_PATTERNS.items():
        if found := re.fullmatch(pattern, message):
            return said.format(*found.groups())
    return PORTUGUESE_SENTENCES.get(message) or PORTUGUESE.get(code, message)


def say_error(error: MepassaError) -> None:
    print(f"mepassa: {in_words(error.code, error.message)}", file=sys.stderr, flush=True)
