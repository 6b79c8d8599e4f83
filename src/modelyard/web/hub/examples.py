"""Commands and code that load a model through the shape of the Hugging Face Hub, for the page of the model."""

from collections.abc import Iterator

import msgspec

from modelyard.domain import Model
from modelyard.web.hub import cards, entries
from modelyard.web.hub.endpoint import PREFIX
from modelyard.web.hub.repositories import repository_id


def make_examples(base: str, model: Model, file_name: str) -> Iterator[tuple[str, str]]:
    """Yield the name of a program and its code. ``base`` is the address of this server."""
    repository, endpoint, path = repository_id(model), f"{base}{PREFIX}", entries.safe_path(file_name)
    if not path:
        return
    settings = f"export HF_ENDPOINT={endpoint}\nexport HF_TOKEN=$KEY\n"
    yield "hf", f"{settings}hf download {repository}"
    files = [entries.FileEntry(path, 0, "", model.blob)]
    if code := cards.diffusers_code(repository, model, files):
        yield "diffusers", code
    repo, name, hub_url = (msgspec.json.encode(text).decode() for text in (repository, path, endpoint))
    script = (
        'import { downloadFile } from "@huggingface/hub";\n\n'
        'const accessToken = process.env.KEY.replace("sk_", "hf_");\n'
        f"const file = await downloadFile({{ repo: {repo}, path: {name}, hubUrl: {hub_url}, accessToken }});"
    )
    yield "JavaScript", script
