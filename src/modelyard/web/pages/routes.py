"""The pages for people, and the module of each.

    /                     gallery.py    search, filters, cards; /parts/… are parts of it for its script
    /models/ID            model.py      one model; /edit and /delete change it (edit.py)
    /sign-in, /sign-out   sign_in.py    start and end a session; /preferences
    /upload               upload.py     upload files
    /keys                 keys.py       create and revoke API keys
    /status               status.py     contents, index and traffic of the server
    /docs                 api_docs.py   the API reference, with a form to try it

The server renders complete pages, which work without scripts; ``static/page.js`` makes them faster. Pages have no state
of their own: they read from ``catalog`` and write through the same functions as the API.
"""
