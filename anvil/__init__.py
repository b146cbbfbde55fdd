"""The proving ground: real Aave v3.6, Uniswap v3 and Multicall3 on a local anvil; never part of the daemon.

How to, in five lines (the first run compiles for about twenty seconds, later ones start in half a second)::

    from anvil.node import Anvil, AnvilSettings
    from anvil.client import Chain
    from anvil.deploy import deploy
    with Anvil(AnvilSettings(timestamp_s=1_750_000_000)) as node:
        chain = Chain(node.url)
        market = deploy(chain)         # Deployment: provider, pool, tokens, feeds, roles; JSON round trip
        user = market.roles.actors[0]  # unlocked; roles.deployer may mint, pause, set caps
        chain.call(market.tokens[0].address, "balanceOf(address)(uint256)", user)  # signature in, value out
        Actors(chain, market).open(Borrower(account=user, collateral={"WETH": 10**19}, debt={"USDC": 10**10}))

- ``node.py`` the process; ``client.py`` the JSON-RPC client; ``compile.py`` npm solc, cached in ``.cache/``
- ``actors.py`` borrowers (``open``, ``open_many``, ``account``); ``liquidator.py`` a real ``liquidationCall``
- ``shock.py`` prices, base fee, pauses, caps, broken feeds; ``scenario.py`` the story files
- tests get ``chain``, ``deployment`` and their fork twins from tests/anvil/conftest.py; snapshots undo them
"""
