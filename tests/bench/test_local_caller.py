"""The bench's own reader of the event stream takes frames of every length (RFC 6455 §5.2)."""

import json
import socket
import threading

import pytest

from bench.local_caller import LocalCaller


@pytest.mark.parametrize("size", [20, 125, 126, 65_535, 65_536, 200_000])
def test_an_event_of_any_length_is_read_and_so_is_the_next(size: int) -> None:
    event = {"note": "x" * (size - len('{"note": ""}'))}
    content = json.dumps(event).encode()
    assert len(content) == size
    if size < 126:
        length = bytes((size,))
    elif size < 65_536:
        length = bytes((126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((127,)) + size.to_bytes(8, "big")
    said = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + 2 * (b"\x81" + length + content)
    with socket.create_server(("127.0.0.1", 0)) as server:
        caller = LocalCaller(f"http://127.0.0.1:{server.getsockname()[1]}", "bearer")
        asking, hearing = (server.accept()[0] for _ in range(2))
        saying = threading.Thread(target=hearing.sendall, args=(said,))
        with asking, hearing:
            saying.start()
            with caller:
                assert [caller.next_event() for _ in range(2)] == [event, event]
            saying.join()
