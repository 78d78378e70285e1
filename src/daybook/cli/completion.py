"""`completion`: what a shell reads to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from daybook.cli.command import CommandResult, asks_for_json, command

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "daybook"
VARIABLE = "_DAYBOOK_COMPLETE"
"""By this click recognises the shell's question (https://click.palletsprojects.com/shell-completion/)."""


@command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> CommandResult:
    """Print the script by which SHELL completes commands and options.

    bash: daybook completion bash > ~/.local/share/bash-completion/completions/daybook;
    zsh: daybook completion zsh > a file named _daybook in a folder of $fpath;
    fish: daybook completion fish > ~/.config/fish/completions/daybook.fish.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise LookupError(f"click knows no shell {shell}")
    script = kind(click.get_current_context().find_root().command, {}, PROGRAM, VARIABLE).source()
    if not asks_for_json():
        click.echo(script)
        return CommandResult(doc=None)
    return CommandResult(doc={"shell": shell, "script": script})
