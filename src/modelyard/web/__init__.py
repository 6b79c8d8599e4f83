"""HTTP and HTML: the only asynchronous code.

Knows the catalogue's verbs, access and the wire's spelling; must not know the store, the index, or how a query is
answered. ``app.create_app`` is the application, ``server`` runs it under uvicorn.
"""
