"""A self-hosted on-chain keeper and liquidation-protection daemon.

Each new block the keeper takes a photograph of every guarded position, asks what could hurt, decides whether to
act, writes a bounded plan, sends it, waits until the chain agrees, and writes down everything, including why it
did nothing.

    chain -> snapshot -> risk -> decision -> plan -> transaction -> confirmation -> journal

Rooms know records (``keeper.model``), never their neighbours; ``keeper.daemon`` is the only thread through all.
"""

__version__ = "0.1.0"
