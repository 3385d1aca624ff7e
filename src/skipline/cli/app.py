"""The `skipline` command: one thin file per subcommand, gathered here; errors become exit codes here."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Annotated

import typer

from skipline.cli import processes
from skipline.cli.console import err, out
from skipline.cli.names import one_line
from skipline.errors import InputError, SkiplineError

app = typer.Typer(
    name="skipline",
    help="Train residual networks on your images, and see why they train.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from skipline import __version__

        out.print(f"skipline {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the subcommand."""


# Subcommands in the order in which `--help` lists them; each module defines `register(app)`.
COMMANDS = (
    *("train", "evaluate", "predict", "explain", "export", "serve", "push", "pull"),
    *("diagnose", "study", "upscale"),
    *("models", "summary", "data", "bench"),
)

for _name in COMMANDS:
    import_module(f"skipline.cli.{_name}").register(app)


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    if processes.end_at_once():
        sys.exit(0)
    try:
        status = app(standalone_mode=False)
    except SkiplineError as error:
        status = 2 if isinstance(error, InputError) else 1
        processes.ended(status, error)
        if (message := processes.told(error)) is not None:
            err.print(f"skipline: {one_line(message)}", style="red")
        sys.exit(status)
    except typer.Exit as stop:
        processes.ended(stop.exit_code)
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        processes.ended(130)
        err.print("skipline: interrupted", style="red")
        sys.exit(130)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (
        typer.TyperException
    ) as error:  # a mistake in options or arguments, or a group without a subcommand
        if type(error).__name__ == "NoArgsIsHelpError":
            out.print(error.format_message())
            sys.exit(0)
        err.print(f"skipline: {error.format_message()}", style="red")
        sys.exit(error.exit_code)
    except Exception:
        processes.broke()
        raise
    status = status if isinstance(status, int) else 0
    processes.ended(status)
    sys.exit(status)
