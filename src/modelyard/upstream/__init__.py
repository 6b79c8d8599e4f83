"""Another hub behind this server: what the catalogue does not have is asked there, with this server's token.

    client      one request to the hub: the description of a repository, or a file of it; its refusals in our words
    snapshots   a repository at a commit: description and list of files, kept, and asked again when it may be old
    files       the files that are kept: small ones as blobs, weights as models
    fetches     one fetch of a file for all who ask for it at the same time

    branch ──asked, at most once a minute──> commit ──asked once──> snapshot ──> files by their hashes

Everything below a commit never changes, so answers agree with each other, also while the hub changes or is away. This
package knows no caller: ``web.hub.upstream`` decides who may read what.
"""
