"""The command line: `gan VERB [RUN_DIR] key=value ...`. torch and Hydra are imported only when the work starts."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from gan_cli import __version__
from gan_cli.cli.parser import general_help, verb_help
from gan_cli.cli.verbs import VERBS
from gan_cli.config import renamed
from gan_cli.utils import downloads
from gan_cli.utils.errors import GanError, Terminated, one_line, suggest
from gan_cli.utils.signals import STOPS
from gan_cli.utils.terminal import printable_output

OPTIONS = ("--help", "--version")
LONGEST_LINE = 560  # characters of an error


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status.

    0: success. 1: a defect of this program. 2: a mistake of the user. 3: training diverged. 128 + N: stopped by signal
    N, such as 130 (Ctrl+C) and 143 (SIGTERM, trainer.max_time).
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with printable_output():
        return _run(words)


def _run(words: list[str]) -> int:
    debug = os.environ.get("GAN_DEBUG", "") not in ("", "0")
    downloads.allow(words)
    try:
        with _terminable():
            return _dispatch(words)
    except GanError as error:
        if debug:
            traceback.print_exc()
        _complain(one_line(error))
        return error.status
    except Terminated as error:
        number = signal.Signals(error.args[0] if error.args else signal.SIGTERM)
        _complain("terminated" if number == signal.SIGTERM else f"terminated by {number.name}")
        return 128 + number
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # such as a full disk, or a folder without write permission
        if debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or one_line(error)}; free space or choose another location")
        return 2
    except Exception as error:
        if debug:
            traceback.print_exc()
        _complain(f"unexpected {type(error).__name__}: {one_line(error)[:500]}; GAN_DEBUG=1 shows where")
        return 1


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise Terminated on the first signal of STOPS but SIGINT; a second identical signal kills the process.

    A signal that has another handler, or is ignored as by `nohup`, is left alone.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated(number)

    main = threading.current_thread() is threading.main_thread()
    numbers = [number for number in STOPS if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _complain(text: str) -> None:
    rank = os.environ.get("RANK", "0")
    if len(text) > LONGEST_LINE:  # such as a value of the user's that is quoted: the remedy is at the end
        text = f"{text[: LONGEST_LINE // 2]} ... {text[-LONGEST_LINE // 2 :]}"
    print(f"gan: {'' if rank == '0' else f'[process {rank}] '}{text}", file=sys.stderr, flush=True)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(verb_help(_verb(words[1])) if len(words) > 1 and words[0] == "help" else general_help())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"gan {__version__}")
        return 0
    from gan_cli.cli import commands

    if words[0] == "_complete":
        return commands.complete(words[1:])
    verb, rest = _verb(words[0]), words[1:]
    if any(word in ("-h", "--help") for word in rest):
        print(verb_help(verb))
        return 0
    renamed.refuse(verb, rest)
    return commands.RUN[verb](rest)


def _verb(word: str) -> str:
    if word in VERBS:
        return word
    if word in renamed.VERBS:
        raise GanError(f"gan {word} was renamed to gan {renamed.VERBS[word]}")
    if word.startswith("-"):
        raise GanError(f"no option '{word}'{suggest(word, OPTIONS)}")
    if "=" in word:
        raise GanError(f"the verb comes first: gan train {word}")
    raise GanError(f"no verb '{word}'{suggest(word, VERBS)}")
