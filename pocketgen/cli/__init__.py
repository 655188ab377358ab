"""The command line: the only code that prints.

In: words. Out: results on stdout (with --json as JSON), progress and remarks on stderr.
Exit status: 0 done, 1 a check failed, 2 the user's mistake, told in one line.
Not here: any work; every command calls the same functions as a Python user would.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

import pocketgen
from pocketgen.cli.arguments import nearest
from pocketgen.cli.commands import check, examples, generate, verify_command
from pocketgen.cli.demo import demo
from pocketgen.cli.proving import prove_command
from pocketgen.cli.reporting import report_command
from pocketgen.cli.training import evaluate, train
from pocketgen.cli.tuning import tune_command
from pocketgen.errors import PocketgenError


class Commands(click.Group):
    """A group whose mistakes end in one line on stderr and exit status 2."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            sys.exit(super().main(*args, **kwargs) or 0)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "pocketgen"
            fail(f"{error.format_message().rstrip('.')} (see {command} --help)")
        except click.ClickException as error:
            fail(error.format_message())
        except PocketgenError as error:
            fail(str(error))
        except (click.Abort, KeyboardInterrupt):
            click.echo("pocketgen: stopped", err=True)
            sys.exit(130)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has seen enough
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
                sys.exit(1)
            fail(f"{error.filename or 'system'}: {error.strerror or error}")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # as a user meets them, not by the alphabet

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}{nearest(args[0], known)}", ctx)
        return super().resolve_command(ctx, args)


def fail(message: str) -> None:
    """Tell the user of a mistake and end."""
    click.echo(f"{click.style('pocketgen:', fg='red', bold=True)} {message}", err=True)
    sys.exit(2)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(pocketgen.__version__, message="pocketgen %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Integer-only neural networks as C99 that trains, runs and proves itself.

    MODEL is the name of an example (see: pocketgen examples) or a Python file with a `model` in it.

    \b
    First steps:
      pocketgen demo                          everything at once, in a few seconds
      pocketgen train digits --out run        train in compiled C
      pocketgen generate digits -o digits_c   the C, ready for a firmware project
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


COMMANDS = (
    demo,
    examples,
    generate,
    train,
    tune_command,
    evaluate,
    verify_command,
    report_command,
    prove_command,
    check,
)
for command in COMMANDS:
    main.add_command(command)
