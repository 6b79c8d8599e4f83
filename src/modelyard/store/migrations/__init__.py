"""Alembic's migrations, which make the tables of ``store.schema`` one step at a time."""
