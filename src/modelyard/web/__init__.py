"""HTTP and HTML: the only asynchronous code.

``routes`` lists all routes, ``app.create_app`` builds the application, ``server`` runs it under uvicorn. Searches use
``catalog``. Downloads, uploads and the status page also read ``store``, and the gallery uses the facets of ``index``.
"""
