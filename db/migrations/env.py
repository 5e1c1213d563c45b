"""Alembic's entry: runs the revisions on the connection that `db.migrate` hands over, all in its one transaction."""

from alembic import context

from db.models import Row

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("Run `venue migrate`: migrations take their connection from it.")
context.configure(connection=connection, target_metadata=Row.metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
