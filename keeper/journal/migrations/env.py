"""Alembic's entry: the connection, and its open transaction, are the caller's."""

from alembic import context

from keeper.journal.tables import Row

context.configure(connection=context.config.attributes["connection"], target_metadata=Row.metadata)
context.run_migrations()
