"""`LineProcess`: what a test hears of a real program, also when that fails."""

import sys
from pathlib import Path

import pytest

from mepassa.testing import LineProcess, LineProcessError


def program(code: str, **more: object) -> LineProcess:
    return LineProcess([sys.executable, "-c", code], **more)  # type: ignore[arg-type]  # its own parameters


def test_lines_go_in_and_json_comes_out() -> None:
    with program("import sys; print('hello'); print('{\"said\": %r}' % 1); sys.exit(int(input()))") as child:
        assert child.read_json() == {"said": 1}
        child.write_line("3")
        assert child.wait() == 3


def test_a_program_that_dies_tells_its_last_words_and_only_these() -> None:
    with program("import sys; sys.stderr.write('x' * 9000); sys.exit('no disk today')") as child:
        with pytest.raises(LineProcessError, match="no disk today"):
            child.read_line()
        assert len(child.stderr_tail()) == 4_000
        assert child.stderr_tail(14) == "no disk today\n"


def test_reading_its_last_words_does_not_move_where_it_writes(tmp_path: Path) -> None:
    said = tmp_path / "said"
    code = "import sys\nfor line in sys.stdin:\n    sys.stderr.write(line); sys.stderr.flush(); print('{}', flush=True)"
    with program(code, stderr=said) as child:
        for word in ("one", "two", "three"):
            child.write_line(word)
            child.read_json()
            assert child.stderr_tail(limit_bytes=3)
    assert said.read_text().split() == ["one", "two", "three"]


def test_silence_has_an_end() -> None:
    with program("input()") as child, pytest.raises(LineProcessError, match=r"no line within 0\.05 s"):
        child.read_line(timeout_s=0.05)
