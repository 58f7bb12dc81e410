"""Runs inside alembic, on the connection and in the transaction that `services.shared.database` opened."""

from alembic import context

connection = context.config.attributes["connection"]
# Batch mode: SQLite cannot alter most of a table in place.
context.configure(connection=connection, transactional_ddl=True, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
