"""The shape of the Hugging Face Hub under ``/hf``, for programs that let their users set ``HF_ENDPOINT``.

repositories    the name of a repository → its model, for a viewer
entries         the files of a repository, and the commit that changes with them
cards           the README.md that is made from the details of a model
endpoint        the rule that every handler here follows: errors and headers in the client's words
descriptions    ``/api/models/{repo}``, its branch and history, and ``/api/whoami-v2``
trees           ``/api/models/{repo}/tree`` and ``paths-info``
search          ``/api/models``
unknown_paths   what no route has, in the client's words
downloads       ``/{repo}/resolve`` and ``raw``
upstream        repositories of the hub behind this server, and who may read them
upstream_downloads  ``/{repo}/resolve`` and ``raw`` of these
examples        how programs load a model, for its page
commits         writes: create, preupload, commit, delete
commit_bodies   the lines of a commit
lfs, xet        files on their way to a commit
"""
