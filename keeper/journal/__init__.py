"""The journal: what was meant, what was signed, what became of it, and why nothing was done.

SQLite in WAL mode with ``synchronous=FULL`` behind a file lock: one daemon writes, anyone may read. Signed
bytes are durable here before they leave the machine, which is what makes a crash harmless.
"""
