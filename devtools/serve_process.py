"""Starts a real home as a process of its own: `python devtools/serve_process.py '{"data": …, "roles": […]}'`.

Prints the ready line of `mepassa serve --json`; exits 1 with one sentence. Fields are those of `ServerConfig`; `policy`
holds fields of `HomePolicy`; with `modules` true the ready line also says which rooms are loaded.
"""

import json
import os
import sys
from pathlib import Path

from mepassa.model.errors import LocalError
from mepassa.server.config import ServerConfig
from mepassa.server.limits import HomePolicy
from mepassa.server.main import serve
from mepassa.server.roles import ReadyFacts
from mepassa.wire.wellknown import RegistrationPolicy


def main() -> int:
    given = json.loads(sys.argv[1])
    modules = given.pop("modules", False)
    given["data"] = Path(given["data"])
    given["registration"] = RegistrationPolicy(given.get("registration", "open"))
    given["policy"] = HomePolicy(**given.get("policy", {}))
    for name in ("roles", "bootstrap_peers", "relay_ports"):
        if name in given:
            given[name] = tuple(given[name])
    for name in ("cert", "key"):
        if name in given:
            given[name] = Path(given[name])

    def ready(facts: ReadyFacts) -> None:
        line = {**facts.as_json(), "pid": os.getpid()}
        if modules:
            line["modules"] = sorted(name for name in sys.modules if name.startswith("mepassa"))
        print(json.dumps(line), flush=True)

    try:
        serve(ServerConfig(**given), ready)
    except LocalError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
