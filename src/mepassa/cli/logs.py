"""Log lines for whoever runs a program: one JSON object a line on stderr, stable event names, nothing about people."""

import json
import logging
import sys
from typing import Annotated, Literal

from mepassa.cli.help import option

LogLevel = Literal["error", "warning", "info", "debug"]
LogTo = Annotated[LogLevel, option("O que vai para o stderr.", "What goes to stderr.")]

MAX_FOREIGN_CHARS = 120
"""Of what a library says: its own words, unformatted."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """The event's name, and the fields that our own code chose to tell. A foreign exception shows its class only.

    Of others' lines the first alone: asyncio writes out tasks and their exceptions below it, addresses included.
    """

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.startswith("mepassa")
        line: dict[str, object] = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if ours else str(record.msg).partition("\n")[0][:MAX_FOREIGN_CHARS],
        }
        if ours:
            line |= {name: str(value) for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr(level: LogLevel) -> None:
    """Our own events from `level` on; other people's libraries only when they report an error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    logging.getLogger("mepassa").setLevel(level.upper())
