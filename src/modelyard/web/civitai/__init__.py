"""The API in the shape of Civitai's: programs for Civitai, with this server as their address.

endpoint      errors in Civitai's form, and the key as ``?token=``
search        /models: pages of models
lookups       one model or version, by id or by hash
versions      models and versions as JSON
images        /images
vocabularies  /tags, /creators, /enums and /me
downloads     /api/download/models/{id}: a redirect to a signed link

A model is the versions of one group that the caller may see. Nothing is stored for these routes.
"""
