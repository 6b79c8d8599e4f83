"""Several nodes on one database and one file store, and what happens when any of them dies."""
