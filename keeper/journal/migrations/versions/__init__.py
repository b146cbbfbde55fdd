"""Schema 1, 2, ...: each file a revision, frozen once it was released."""
