"""Runs inside a namespace as a program of its own: one JSON request a line in, one JSON answer a line out.

Standard library only, and no import of ours: `python -I http_helper.py` starts in some 30 ms.
"""

import json
import sys
import urllib.error
import urllib.request
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, Any]:
    body = request.get("body")
    sent = urllib.request.Request(  # noqa: S310 (the test names the address)
        request["url"],
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **request.get("headers", {})},
        method=request["method"],
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(sent, timeout=request.get("timeout_s", 10)) as response:
            status, raw = response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, raw = error.code, error.read()
    except (OSError, ValueError) as error:
        return {"error": type(error).__name__}
    text = raw.decode(errors="replace")
    try:
        return {"status": status, "body": json.loads(text) if text else None}
    except json.JSONDecodeError:
        return {"status": status, "body": text}


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
