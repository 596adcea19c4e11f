"""What `mepassa doctor` says in Portuguese; in English it says what the node said."""

from typing import Any

from mepassa.cli.speech import portuguese

_AWAY = "As mensagens vão direto onde há caminho; o resto espera aqui e sai quando o servidor voltar."
_STORED = "Onde não houver caminho direto, as mensagens ficam guardadas, cifradas, no servidor de quem recebe."

PORTUGUESE: dict[tuple[str, bool], tuple[str, str | None]] = {
    ("folder", True): ("A pasta dos dados é só sua.", None),
    ("folder", False): (
        "Outros usuários deste computador podem olhar dentro da pasta dos dados.",
        "Feche-a para eles: chmod 700 e o nome da pasta.",
    ),
    ("database_key", True): ("Os dados desta pasta estão trancados.", None),
    ("database_key", False): (
        "A chave dos dados está destrancada, ao lado deles.",
        "Quem copiar esta pasta pode ler tudo. Use uma senha ou o chaveiro do sistema.",
    ),
    ("root_key", True): ("A chave da conta está trancada, separada dos dados.", None),
    ("root_key", False): (
        "A chave da conta está destrancada neste aparelho.",
        "Quem copiar esta pasta pode tomar a conta. Com as 24 palavras no papel, apague o arquivo root-key.",
    ),
    ("root_key_on_paper", True): ("A chave da conta não está neste aparelho; está nas suas 24 palavras.", None),
    ("home", True): ("O servidor responde.", None),
    ("home", False): ("O servidor não responde, ou não deixa este aparelho entrar.", _AWAY),
    ("clock", True): ("O relógio está certo.", None),
    ("clock", False): (
        "O relógio deste computador está errado por minutos.",
        "Ligue a data e a hora automáticas do sistema.",
    ),
    ("network_open", True): ("Este aparelho pode ser alcançado direto da internet.", None),
    ("network_cone", True): ("Seu roteador deixa passar caminhos diretos.", None),
    ("network_symmetric", True): (
        "Seu roteador troca de porta a cada contato (simétrico): muitas mensagens vão pela ponte.",
        "Um roteador com UPnP ou IPv6 permite mais caminhos diretos.",
    ),
    ("network_udp_blocked", True): (
        "Esta rede bloqueia UDP: as mensagens vão pela ponte, por TCP.",
        "Caminhos diretos precisam de outra rede, como a do celular.",
    ),
    ("network_unknown", False): (
        "Não foi possível saber o que a rede permite: seu servidor está nesta mesma rede, ou o STUN dele não respondeu.",
        "Um servidor na sua própria rede não tem como dizer. Se o seu fica longe, pergunte a quem cuida dele pelas portas UDP.",
    ),
    ("relay", True): ("A ponte funciona.", None),
    ("relay", False): ("Nenhuma ponte pode ser usada agora.", _STORED),
}
"""(check, ok) -> (sentence, advice). A check that is not here speaks English."""


def diagnosis(check: dict[str, Any]) -> tuple[str, str | None]:
    """One check's sentence and advice in the reader's language."""
    english = str(check["sentence"]), check["advice"]
    return PORTUGUESE.get((check["name"], check["ok"]), english) if portuguese() else english
