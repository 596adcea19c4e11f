"""What `mepassa listen` says when the node raises an alarm: the words of the page, in the reader's language."""

from mepassa.cli.speech import pick

WORDS: dict[str, tuple[str, str]] = {
    "new_device": (
        (
            "{name} usa um aparelho novo, incluído com a chave da própria conta: o número de segurança continua o mesmo, e uma"
            " verificação já feita continua valendo. Se não esperava por isso, pergunte a {name} por outro caminho."
        ),
        (
            "{name} uses a new device, added with the account's own key: the safety number stays the same, and a"
            " verification made before stands. If you did not expect that, ask {name} by another way."
        ),
    ),
    "account_recovered": (
        (
            "{name} recuperou a conta num aparelho novo, com as 24 palavras: o número de segurança é o mesmo, mas a conversa não"
            " está mais lá. O que você escrever vai como pedido, até {name} aceitar. Se não esperava por isso, pergunte por"
            " outro caminho."
        ),
        (
            "{name} recovered the account on a new device, with the 24 words: the safety number is the same, but your chat is not"
            " there any more. What you write goes as a request until {name} accepts. If you did not expect that, ask by another"
            " way."
        ),
    ),
    "device_removed": (
        (
            "Este aparelho saiu da conta: ela foi recuperada, ou ele foi tirado, em outro aparelho. O que está aqui continua"
            " legível; nada mais é enviado nem recebido. Se não foi você, recupere a conta com as suas 24 palavras."
        ),
        (
            "This device was removed from the account, which was recovered or changed on another one. What is here stays"
            " readable; nothing is sent or received any more. If that was not you, recover the account with your 24 words."
        ),
    ),
    "DeviceListForkError": (
        (
            "Há duas listas de aparelhos de {name}, assinadas com a mesma chave: mais alguém pode ter as 24 palavras. Se você"
            " tinha verificado {name}, isso não vale mais; falem por outro caminho antes de continuar."
        ),
        (
            "There are two device lists of {name}, signed with the same key: somebody else may have the 24 words. If you had"
            " verified {name}, that counts no longer; talk by another way before you go on."
        ),
    ),
    "root_changed": (
        (
            "Outra chave se apresenta como a conta de {name}; não foi aceita. Se você tinha verificado {name}, isso não vale"
            " mais: comparem o número de segurança de novo."
        ),
        (
            "Another key shows itself as {name}'s account; it was not accepted. If you had verified {name}, that counts no"
            " longer: compare the safety number again."
        ),
    ),
    "list_withheld": (
        "O servidor de {name} não entrega a lista nova de aparelhos: pode estar escondendo. Pergunte a {name} por outro caminho.",
        "The server of {name} does not hand out the new list of devices: it may be holding it back. Ask {name} by another way.",
    ),
    "unlisted_device": (
        "Chegou uma mensagem de um aparelho que {name} não reconhece. Ela foi descartada.",
        "A message came from a device that {name} does not list. It was dropped.",
    ),
    "own_new_device": (
        "Sua conta tem um aparelho novo. Se não foi você quem o incluiu, mais alguém tem as suas 24 palavras.",
        "Your account has a new device. If it was not you who added it, somebody else has your 24 words.",
    ),
    "own_list_forked": (
        "Há duas listas de aparelhos da sua conta, assinadas com a mesma chave: mais alguém pode ter as suas 24 palavras. Avise as pessoas por outro caminho.",
        "There are two device lists of your account, signed with the same key: somebody else may have your 24 words. Tell people by another way.",
    ),
    "own_unlisted_device": (
        "Chegou uma mensagem de um aparelho que se diz da sua conta e não está na lista dela. Foi descartada.",
        "A message came from a device that says it is of your account and is not in its list. It was dropped.",
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
