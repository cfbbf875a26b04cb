"""The command `postbell`: one module per noun, imported when its command runs.

Exit status: 0 done, 1 it failed, 2 the call was wrong, 130 ended by Ctrl-C.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; every error is one sentence on stderr."""
    import click

    from postbell.cli.root import root

    words = sys.argv[1:] if arguments is None else list(arguments)
    if (wrong := _not_utf8(words)) is not None:
        return _tell(f"{wrong} is not UTF-8; write it in UTF-8", 2)
    try:
        status = root.main(words, prog_name="postbell", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _tell(_click_sentence(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BaseException as error:
        return _after(error)
    return status if isinstance(status, int) else 0


def _not_utf8(words: Sequence[str]) -> str | None:
    """Return which of the words is not UTF-8, without its value, which may be a secret."""
    from postbell.text.encodings import is_utf8

    for number, word in enumerate(words, 1):
        if is_utf8(word):
            continue
        before = words[number - 2] if number > 1 else ""
        option = word.partition("=")[0] if word.startswith("--") and "=" in word else before
        is_named = option.startswith("--") and len(option) > 2 and is_utf8(option)
        return f"the value of {option}" if is_named else f"argument {number} of the command"
    return None


def _after(error: BaseException) -> int:
    from postbell.errors import PostbellError, UsageError

    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, PostbellError):
        return _tell(error.message, 2 if isinstance(error, UsageError) else 1)
    from postbell.signals import is_debug

    if is_debug():
        import traceback

        traceback.print_exception(error)
    text = " ".join(str(error).split()) or "no message"
    return _tell(
        f"unexpected {type(error).__name__}: {text};"
        " run with POSTBELL_LOG_LEVEL=debug for the trace",
        1,
    )


def _click_sentence(error: "click.ClickException") -> str:
    text = error.format_message().rstrip(".")
    text = text[:1].lower() + text[1:]
    context = getattr(error, "ctx", None)
    return f"{text}; see '{context.command_path} --help'" if context else text


def _tell(sentence: str, status: int) -> int:
    from postbell.text.printable import one_line

    sys.stdout.flush()
    print(f"error: {one_line(sentence)}", file=sys.stderr, flush=True)
    return status
