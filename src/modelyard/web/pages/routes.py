"""The pages people see: which address shows what.

    /                     gallery.py     search, filters, cards; /parts/… are pieces of it for its script
    /models/ID            model.py       one model; /edit and /delete change it (changing.py)
    /sign-in, /sign-out   signing.py     a key for a session; /preferences
    /upload, /keys        team.py        what a team does here
    /status               status.py      what the server holds, and how it does
    /docs                 reference.py   the API, to read and to try

Server-rendered, and whole without scripts; ``static/page.js`` makes them quicker. They hold nothing of their own: what
they show comes from ``catalog``, what they change goes through the same verbs as the API.
"""
