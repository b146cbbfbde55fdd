"""Changes that wait behind a timelock: what is queued, whether it can be read, and the health after it lands.

Governance seldom queues the call itself: it queues the address of a payload whose code makes the calls. So there are
two ways to know, and both are tried: the calldata where it names what changes (``calldata``, ``effect``), and a
rehearsal, in which a node runs the queued payload in an ``eth_call`` at the time at which it may land, and the
venue's own reader looks at the state that it leaves (``keeper.daemon.trial``). What neither can tell is said so.
"""
