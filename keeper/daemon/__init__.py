"""The only thread through all rooms: what wires them, runs the ticks and supervises.

- ``wiring.py``: settings -> endpoints, venues, guarded positions; the one-shot readings of the commands
- ``camera.py``: one photograph a block; ``facts.py``: the chain's when live, the shadows' when dry (``shadow.py``)
- ``loop.py``: one chain's tick and act-lane; ``tick.py``: what a tick writes down
- ``urgency.py``: a plan's haste and gas in money; ``tank.py``: what the wallet can still pay for
- ``senders.py``: live or dry, and the only place where a key is asked for; ``outgoing.py``: what they talk through
  (``rehearsal.py`` plays a plan first); ``unpooled.py``: chains without a mempool; ``pace.py``: how often to look
- ``service.py``: heads, ticks, lane, slow jobs and pulse as one task group a chain; ``supervise.py``: all chains

Nothing is imported here: a command that only reads must not load what sends.
"""
