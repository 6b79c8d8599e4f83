"""What Alembic runs: the migrations, inside the transaction and under the lock that ``store.migrate`` holds."""

from alembic import context

from modelyard.store import migrate

context.configure(
    connection=context.config.attributes["connection"],
    version_table=migrate.VERSION_TABLE,
    # SQLite's changes of tables are transactional as PostgreSQL's are; Alembic does not assume it.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
