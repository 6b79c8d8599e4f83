"""HTTP and HTML: the only asynchronous code.

``routes`` lists which address answers what, ``app.create_app`` puts the application together, ``server`` runs it under
uvicorn. Questions about models go to ``catalog``; downloads, uploads and the status page read ``store`` too, and the
gallery takes its counts as ``index`` has them.
"""
