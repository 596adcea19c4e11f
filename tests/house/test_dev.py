"""What `./dev` promises: help, exit codes, any folder, signals that arrive."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEV = str(ROOT / "dev")
COMMANDS = ["demo", "test", "check", "bench", "fuzz", "serve", "web", "run"]


def dev(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, DEV, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_help_names_every_command(arguments: list[str]) -> None:
    done = dev(*arguments)
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"./dev {command} " in done.stdout


@pytest.mark.parametrize("arguments", [["no-such-thing"], ["run"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    done = dev(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "./dev run" in done.stderr


def test_it_has_the_exit_code_of_the_command() -> None:
    assert dev("run", "sh", "-c", "exit 7").returncode == 7
    assert dev("run", "no-such-command-at-all").returncode == 127


def test_it_works_from_any_folder_and_stays_there(tmp_path: Path) -> None:
    done = dev("run", "python", "-c", "import os, sys, mepassa; print(os.getcwd(), sys.prefix)", cwd=tmp_path)
    assert done.stdout.split() == [str(tmp_path), str(ROOT / ".venv")], done.stderr


def test_programs_may_keep_what_they_have_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers often forbid it; then each of our programs would compile two thousand modules at every start."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert dev("run", "python", "-c", "import sys; print(sys.dont_write_bytecode)").stdout == "False\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_its_answer_comes_back(number: signal.Signals) -> None:
    program = (
        "import signal, sys\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, DEV, "run", "python", "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(number)
        assert child.wait() == 42


def test_killing_dev_leaves_no_command_behind() -> None:
    program = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, DEV, "run", "python", "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        inner = int(child.stdout.readline())
        child.kill()
        child.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(inner, 0)


def test_it_ends_with_its_own_steps_when_it_is_stopped(tmp_path: Path) -> None:
    """`steps` waits for children: a signal goes on to the one that runs, and no later step starts."""
    program = (
        "import runpy, sys\n"
        f"dev = runpy.run_path({DEV!r})\n"
        "sleep = ['python', '-c', 'import signal; print(\"ready\", flush=True); signal.pause()']\n"
        f"sys.exit(dev['steps'](sleep, ['touch', {str(tmp_path / 'second')!r}]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.terminate()
        assert child.wait() == 128 + signal.SIGTERM
    assert not (tmp_path / "second").exists()


def test_the_first_bad_step_gives_the_exit_code_and_later_steps_still_run(tmp_path: Path) -> None:
    program = (
        "import runpy, sys\n"
        f"dev = runpy.run_path({DEV!r})\n"
        f"sys.exit(dev['steps'](['sh', '-c', 'exit 3'], ['touch', {str(tmp_path / 'second')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "not green: sh -c exit 3" in done.stderr
    assert (tmp_path / "second").exists()
