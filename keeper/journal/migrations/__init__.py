"""One step a file under ``versions/``, run by alembic; ``keeper.journal.migrate`` decides when, and guards it."""
