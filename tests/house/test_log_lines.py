"""mepassa.cli.logs: what reaches stderr names events, never people or addresses."""

import json
import logging

from mepassa.cli.logs import JsonLines


def line(logger: str, message: str, *args: object, **extra: object) -> dict[str, object]:
    record = logging.getLogger(logger).makeRecord(
        logger, logging.ERROR, "file", 1, message, args, None, extra=extra or None
    )
    told: dict[str, object] = json.loads(JsonLines().format(record))
    return told


def test_a_librarys_line_shows_its_own_words_and_nothing_that_it_fills_in() -> None:
    told = line("aiohttp.server", "Error handling request from %s", "198.51.100.7", peer="198.51.100.7")
    assert told["event"] == "Error handling request from %s"
    assert "198.51.100.7" not in json.dumps(told)


def test_what_asyncio_writes_below_its_first_line_is_left_out() -> None:
    message = "Task exception was never retrieved\nfuture: <Task exception=OSError('(198.51.100.7, 4001)')>"
    told = line("asyncio", message)
    assert told["event"] == "Task exception was never retrieved"
    assert "198.51.100.7" not in json.dumps(told)


def test_our_own_events_keep_their_fields() -> None:
    assert line("mepassa.paths", "path.opened", kind="direct")["kind"] == "direct"
