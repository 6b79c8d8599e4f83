"""The shape of the Hugging Face Hub under ``/hf``, for programs that let their users set ``HF_ENDPOINT``.

repositories    the name of a repository → its model, for a viewer
entries         the files of a repository, and the commit that changes with them
cards           the README.md that is made from the details of a model
base_models     the hub's names of base models
endpoint        the rule that every handler here follows: errors and headers in the client's words
descriptions    ``/api/models/{repo}`` and what belongs to it
"""
