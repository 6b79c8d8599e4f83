"""What a Python program does with the client: run by the tests in each generation's environment, with its own words.

Arguments: the repository of a team, one of everybody with shards, another team's, and an empty folder.
"""

import json
import sys
from pathlib import Path

from huggingface_hub import HfApi, HfFileSystem, ModelCard, hf_hub_download, snapshot_download
from huggingface_hub.utils import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

private, shards, secret, folder = sys.argv[1:]
api = HfApi()


def error_of(call, *arguments, **options):
    """Return the name of the exception that a call raises."""
    try:
        call(*arguments, **options)
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as problem:
        return next(
            kind.__name__
            for kind in type(problem).__mro__
            if kind in (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError)
        )
    return "none"


described = api.model_info(private, files_metadata=True)
files = api.list_repo_files(private)
weights = next(name for name in files if name.endswith(".safetensors"))
path = hf_hub_download(private, weights)
print(
    json.dumps(
        {
            "whoami": api.whoami()["name"],
            "listed": sorted(model.id for model in api.list_models(limit=10)),
            "paged": [model.id for model in api.list_models()],
            "full": [model.sha for model in api.list_models(full=True, author=private.partition("/")[0])],
            "found": [model.id for model in api.list_models(search="night", filter=["lora", "style"])],
            "by_base": [
                model.id for model in api.list_models(filter="base_model:stabilityai/stable-diffusion-xl-base-1.0")
            ],
            "sorted": [model.id for model in api.list_models(sort="created_at", limit=1)],
            "commit": described.sha,
            "tags": described.tags,
            "sizes": {file.rfilename: file.size for file in described.siblings},
            "lfs": {file.rfilename: file.lfs.sha256 for file in described.siblings if file.lfs},
            "by_commit": api.model_info(private, revision=described.sha).sha,
            "files": files,
            "exists": [api.file_exists(private, weights), api.file_exists(private, "no.txt"), api.repo_exists(secret)],
            "paths": [(entry.path, entry.size) for entry in api.get_paths_info(private, ["README.md", weights, "no"])],
            "tree": [entry.path for entry in api.list_repo_tree(shards, recursive=True, expand=True)],
            "refs": [branch.target_commit for branch in api.list_repo_refs(private).branches],
            "commits": [commit.commit_id for commit in api.list_repo_commits(private)],
            "tensors": sorted(api.parse_safetensors_file_metadata(private, weights).tensors)[:1],
            "path": path,
            "snapshot": sorted(file.name for file in Path(snapshot_download(shards)).iterdir()),
            "local": sorted(file.name for file in Path(snapshot_download(private, local_dir=folder)).glob("*.*")),
            "opened": HfFileSystem().ls(private, detail=False),
            "bytes": HfFileSystem().cat_file(f"{private}/{weights}", start=0, end=8).hex(),
            "card": ModelCard.load(private).data.to_dict(),
            "errors": [
                error_of(api.model_info, secret),
                error_of(api.model_info, "nobody/nothing"),
                error_of(hf_hub_download, private, "no.txt"),
                error_of(hf_hub_download, private, weights, revision="v2"),
                error_of(hf_hub_download, secret, weights),
            ],
        }
    )
)
