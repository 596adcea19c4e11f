"""The page behind `https://HOME/i#…`: it offers the app the invite, which stays in the fragment and is never sent."""

import base64
import hashlib

_STYLE = """
:root{color-scheme:light dark;font:17px/1.5 system-ui,sans-serif}
body{margin:0;display:grid;place-items:center;min-height:100vh;background:light-dark(#f6f5f2,#15171a);color:light-dark(#1d1f22,#eceae6)}
main{max-width:26rem;padding:2rem;text-align:center}
h1{font-size:1.5rem;margin:0 0 .5rem}
a{display:inline-block;margin:1.25rem 0;padding:.75rem 1.5rem;border-radius:.75rem;text-decoration:none;background:light-dark(#0b6b4f,#5fd0a5);color:light-dark(#fff,#0a1f18)}
a:focus-visible{outline:3px solid currentColor;outline-offset:3px}
section+section{margin-top:2rem;padding-top:2rem;border-top:1px solid color-mix(in srgb,currentColor 20%,transparent)}
p{margin:.5rem 0}
"""
_SCRIPT = """
const invite = location.hash.slice(1);
for (const link of document.querySelectorAll("a")) {
  if (/^[A-Za-z0-9_-]{1,2000}$/.test(invite)) link.href = "mepassa://add/" + invite;
  else link.hidden = true;
}
for (const note of document.querySelectorAll(".empty")) note.hidden = !document.querySelector("a").hidden;
"""
_BODY = """
<main>
<section lang="pt-BR"><h1>Alguém quer falar com você</h1>
<p>Este convite abre uma conversa no MePassa, cifrada de ponta a ponta.</p>
<a href="#">Abrir no MePassa</a>
<p class="empty" hidden>Este endereço não traz nenhum convite.</p>
<p>Não tem o MePassa? Instale-o e abra este convite de novo.</p></section>
<section lang="en"><h1>Someone wants to talk to you</h1>
<p>This invite opens a conversation in MePassa, end-to-end encrypted.</p>
<a href="#">Open in MePassa</a>
<p class="empty" hidden>There is no invite in this address.</p>
<p>No MePassa yet? Install it, then open this invite again.</p></section>
</main>
"""


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


INVITE_PAGE = (
    '<!doctype html><html lang="pt-BR"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="referrer" content="no-referrer">'
    f"<title>MePassa</title><style>{_STYLE}</style></head><body>{_BODY}<script>{_SCRIPT}</script></body></html>"
)

INVITE_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=3600",
}
"""Only this page's own style and script run; nothing is loaded, framed or sent."""
