"""What `mepassa doctor` says in Portuguese; in English it says what the node said."""

from typing import Any

from mepassa.cli.speech import portuguese

_AWAY = "As mensagens vão direto onde há caminho; o resto espera aqui e sai quando a casa voltar."
_STORED = "Onde não houver caminho direto, as mensagens ficam guardadas na casa de quem recebe."

PORTUGUESE: dict[tuple[str, bool], tuple[str, str | None]] = {
    ("database_key", True): ("O banco de dados está trancado.", None),
    ("database_key", False): (
        "A chave do banco de dados está destrancada, ao lado dele.",
        "Quem copiar esta pasta pode ler tudo. Use uma senha ou o chaveiro do sistema.",
    ),
    ("home", True): ("A casa responde.", None),
    ("home", False): ("A casa não responde, ou não deixa este aparelho entrar.", _AWAY),
    ("clock", True): ("O relógio está certo.", None),
    ("clock", False): (
        "O relógio deste aparelho está errado por minutos.",
        "Ligue a data e a hora automáticas do sistema.",
    ),
    ("network_open", True): ("Este aparelho pode ser alcançado direto da internet.", None),
    ("network_cone", True): ("Seu roteador deixa passar caminhos diretos.", None),
    ("network_symmetric", True): (
        "Seu roteador troca de porta a cada contato (simétrico): muitas mensagens irão pela ponte.",
        "Um roteador com UPnP ou IPv6 permite mais caminhos diretos.",
    ),
    ("network_udp_blocked", True): (
        "Esta rede bloqueia UDP: as mensagens vão pela ponte, por TCP.",
        "Caminhos diretos precisam de outra rede, como a do celular ou a de casa.",
    ),
    ("network_unknown", False): (
        "Não foi possível saber o que a rede permite: o servidor STUN da casa está nesta mesma rede, ou não respondeu.",
        "Uma casa na sua própria rede não tem como dizer. Se a sua fica longe, pergunte a quem a mantém pelas portas UDP.",
    ),
    ("relay", True): ("A ponte funciona.", None),
    ("relay", False): ("Nenhuma ponte pode ser usada agora.", _STORED),
}
"""(check, ok) -> (sentence, advice). A check that is not here speaks English."""


def diagnosis(check: dict[str, Any]) -> tuple[str, str | None]:
    """One check's sentence and advice in the reader's language."""
    english = str(check["sentence"]), check["advice"]
    return PORTUGUESE.get((check["name"], check["ok"]), english) if portuguese() else english
