"""`modelyard fetch`: the server gets model files from other servers."""

import click

from modelyard import errors
from modelyard.cli import context, home, options, output
from modelyard.cli.fetch_queue import FetchQueue
from modelyard.domain import Visibility
from modelyard.fetches.fetches import FetchRequest
from modelyard.fetches.sources import Source, describe_source, parse_source
from modelyard.store import refuse_team_name


@click.command(
    epilog="Examples: modelyard fetch civitai:4476@5067;  modelyard fetch urn:air:sdxl:lora:civitai:7@77 --team red;  "
    "modelyard fetch hub:owner/repository:model.safetensors;  modelyard fetch https://example.org/model.safetensors"
)
@options.home_and_quiet_options
@click.argument("sources", nargs=-1, required=True, metavar="WHAT…")
@click.option("--team", help="The team that owns the models, which are private then.  [default: no team, public]")
@click.option("--public", is_flag=True, help="With --team: make the models public.")
@options.json_option
def fetch(sources: tuple[str, ...], team: str | None, public: bool, as_json: bool) -> int:
    """Get model files from Civitai, from the Hugging Face Hub or from addresses, and verify them.

    WHAT is an AIR (urn:air:…, civitai:<model>@<version>), a file of the hub (hub:<owner>/<repository>:<path>, with
    @<revision> before the colon for another revision than main), a page of either, or an address. The file of a version
    that an import has listed makes the version available.

    The tokens CIVITAI_TOKEN and HF_TOKEN of the environment are sent to their own server only. If you interrupt the
    command, run it again to continue; a running server continues by itself. The exit code is 1 if a file is refused.
    """
    if team is not None:
        refuse_team_name(team)
    if public and team is None:
        raise click.UsageError("--public has no effect without --team: models without a team are public")
    parsed = [_parse(text) for text in dict.fromkeys(sources)]
    visibility = Visibility.PRIVATE if team and not public else Visibility.PUBLIC
    config = home.load_settings()
    with home.open_store(config) as store:
        work = FetchQueue(config, store, as_json=as_json)
        fetches = context.create_fetches(config, store)
        for source in parsed:
            request = FetchRequest(source, team or "", {"visibility": visibility.value})
            try:
                work.follow(fetches.add(request)[0])
            except errors.ModelExists as problem:
                work.note_present(describe_source(str(source)), problem)
        with work.working():
            work.wait()
    code = work.finish()
    if not as_json:
        output.remark(work.summary)
    return code


def _parse(text: str) -> Source:
    try:
        return parse_source(text)
    except errors.InvalidValue as problem:
        # The fields of the API say nothing to whoever typed an argument.
        message = problem.message.removeprefix(f"{problem.facts['field']}: ")
        text = describe_source(text)[:64]
        raise click.UsageError(message if repr(text) in message else f"{text!r}: {message}") from None
