"""`mepassa verify`: the safety number of one contact, compared and marked."""

import json
import sys
from typing import Annotated, Any

from mepassa.cli.help import flag, option
from mepassa.cli.local_api import LocalApi
from mepassa.cli.place import DataFolder, UsageError
from mepassa.cli.speech import pick, say
from mepassa.cli.talk import JsonFlag, Who, find_chat, printable, talk

RESULTS: dict[str, tuple[str, str]] = {
    "match": (
        "Confere: ninguém está no meio. {name} está verificado.",
        "They match: nobody is in between. {name} is verified.",
    ),
    "no_match": (
        (
            "Não confere. Veja se o código é mesmo o da tela de {name} para você; se for, alguém pode estar no meio: não confie"
            " nesta conversa até falarem por outro caminho."
        ),
        (
            "They do not match. Check that the code is the one on {name}'s screen for you; if it is, somebody may be in between:"
            " do not trust this chat until you two have talked by another way."
        ),
    ),
    "own_code": (
        "Este é o código deste aparelho. Use o que aparece na tela de {name}.",
        "This is this device's own code. Use the one on {name}'s screen.",
    ),
    "other_version": (
        "O outro aparelho mostra números de segurança de outra versão; atualizem os dois.",
        "The other device shows safety numbers of another version; update both.",
    ),
    "no_code": (
        "Isto não é um código de segurança do MePassa.",
        "This is not a safety code of MePassa.",
    ),
}
STATES: dict[str, tuple[str, str]] = {
    "none": (
        "Ainda não verificado. Compare com o que o aparelho de {name} mostra; se for igual, rode de novo com --mark.",
        "Not verified yet. Compare it with what {name}'s device shows; if it is the same, run this again with --mark.",
    ),
    "verified": ("Verificado por você.", "Verified by you."),
    "withdrawn": (
        (
            "A verificação foi retirada: a chave da conta de {name} pode estar com mais alguém, e aí o número nem muda. Falem por"
            " outro caminho antes de marcar de novo."
        ),
        (
            "The verification was withdrawn: somebody else may have {name}'s account key, and then the number does not even"
            " change. Talk by another way before you mark it again."
        ),
    ),
}


def verify(
    who: Who,
    *,
    code: Annotated[
        str | None,
        option(
            "O código da tela da outra pessoa, para comparar.", "The code on the other person's screen, to compare."
        ),
    ] = None,
    mark: Annotated[
        bool, flag("Você comparou os números, e são iguais.", "You compared the digits and they are the same.")
    ] = False,
    unmark: Annotated[bool, flag("Tira a sua marca.", "Take your mark back.")] = False,
    data: DataFolder = None,
    as_json: JsonFlag = False,
) -> int:
    """Show a contact's safety number and code; compare the other side's code, or mark the contact as verified."""
    if (code is not None) + mark + unmark > 1:
        raise UsageError("Give one of --code, --mark and --unmark.", field="code")

    async def work(api: LocalApi) -> dict[str, Any]:
        chat = await find_chat(api, who)
        path = f"/chats/{chat['id']}"
        found: dict[str, Any] = {**await api.get(f"{path}/safety_number"), **await api.get(f"{path}/safety_code")}
        if code is not None:
            found["result"] = (await api.post(f"{path}/safety_code", {"code": code}))["result"]
        elif mark:
            body = {"verified": True, "safety_number": found["safety_number"]}
            await api.put(f"{path}/verification", body)
        elif unmark:
            await api.put(f"{path}/verification", {"verified": False})
        return {**found, "chat": await api.get(path)}

    found = talk(data, work)
    if as_json:
        say(json.dumps(found))
    else:
        show(found)
    return 1 if found.get("result", "match") != "match" else 0


def show(found: dict[str, Any]) -> None:
    """The number in groups of five, the code, and what they stand for."""
    name = printable(found["chat"]["name"])
    if (result := found.get("result")) is not None:
        say(pick(*RESULTS[result]).replace("{name}", name))
        return
    digits = found["safety_number"]
    for line in range(0, 60, 20):
        say("  " + "  ".join(digits[start : start + 5] for start in range(line, line + 20, 5)))
    say(pick(f"  código para {name}: {found['code']}", f"  code for {name}: {found['code']}"))
    if sys.stdout.isatty():
        import segno

        segno.make(found["code"], error="m").terminal(compact=True)
    say(pick(*STATES[found["chat"]["verification"]]).replace("{name}", name))
