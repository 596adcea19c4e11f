"""What `mepassa listen` says when the node raises an alarm: the words of the page, in the reader's language."""

from mepassa.cli.speech import pick

WORDS: dict[str, tuple[str, str]] = {
    "new_device": (
        "{name} usa um aparelho novo. Se não esperava por isso, compare o número de segurança.",
        "{name} uses a new device. If you did not expect that, compare the safety number.",
    ),
    "DeviceListForkError": (
        "Há duas listas de aparelhos diferentes de {name}: alguém pode estar no meio. Compare o número de segurança.",
        "There are two different device lists of {name}: somebody may be in between. Compare the safety number.",
    ),
    "unlisted_device": (
        "Chegou uma mensagem de um aparelho que {name} não reconhece. Ela foi descartada.",
        "A message came from a device that {name} does not list. It was dropped.",
    ),
    "session_damaged": (
        "As chaves guardadas da conversa com {name} estavam danificadas. São refeitas; o que não abriu é pedido de novo.",
        "The saved keys of the chat with {name} were damaged. They are set up anew; what did not open is asked for again.",
    ),
    "state_rolled_back": (
        "Os dados deste computador são uma cópia antiga. As conversas estão sendo refeitas antes de enviar; não há o que fazer.",
        "This computer's data is an older copy. Chats are set up anew before anything is sent; nothing is to be done.",
    ),
}
OTHER = ("Algo pede sua atenção; rode `mepassa doctor`.", "Something needs your attention; run `mepassa doctor`.")


def alarm(note: str, name: str) -> str:
    """One sentence; `name` is the contact's, safe to print, where the alarm is about one."""
    return pick(*WORDS.get(note, OTHER)).replace("{name}", name)
