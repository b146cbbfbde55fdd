"""The only thread through all rooms: what wires them, runs the ticks and supervises.

- ``wiring.py``: settings -> endpoints, venues, guarded positions; the one-shot readings of the commands
- ``camera.py``: one photograph a block; ``facts.py``: the chain's when live, the shadows' when dry (``shadow.py``)
- ``loop.py``: one chain's tick and act-lane; ``tick.py``: what a tick writes down
- ``senders.py``: live or dry, and the only place where a key is asked for
- ``service.py``: heads, ticks, lane, slow jobs, watchdog and control socket as one task group a chain

Nothing is imported here: a command that only reads must not load what sends.
"""
