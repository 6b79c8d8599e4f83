"""`modelyard completion`: the script that makes a shell complete commands, options and their values."""

import click
from click.shell_completion import get_completion_class

from modelyard.cli import options, output

_SHELLS = ("bash", "zsh", "fish")
# zsh and fish quote what they insert. bash does not, and click's script leaves a space as it is.
_BASH_VALUE = "COMPREPLY+=($value)"
_BASH_QUOTED_VALUE = (
    r"""if [[ ${COMP_WORDS[COMP_CWORD]} == [\"\']* ]]; then COMPREPLY+=("$value"); """
    """else COMPREPLY+=("$(printf %q "$value")"); fi"""
)


@click.command(
    epilog="Examples: modelyard completion bash > ~/.local/share/bash-completion/completions/modelyard;  "
    "modelyard completion zsh > ~/.zfunc/_modelyard;  "
    "modelyard completion fish > ~/.config/fish/completions/modelyard.fish"
)
@options.home_and_quiet_options
@click.argument("shell", type=click.Choice(_SHELLS))
@options.json_option
@click.pass_context
def completion(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Write the script that makes SHELL complete commands, options and their values.

    A shell reads it from the folder of its completions, or at once: `source <(modelyard completion bash)`.
    """
    completer = get_completion_class(shell)
    assert completer is not None, "click knows these shells"
    script = completer(ctx.find_root().command, {}, "modelyard", "_MODELYARD_COMPLETE").source()
    script = script.replace(_BASH_VALUE, _BASH_QUOTED_VALUE)
    if as_json:
        output.write_json({"shell": shell, "script": script})
        return
    click.echo(script, nl=False)
