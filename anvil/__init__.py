"""The proving ground: real Aave v3.6, Uniswap v3 and Multicall3 on a local anvil. Nothing here ships in the daemon.

How to, in five lines (the first run compiles for about twenty seconds, later ones start in half a second)::

    from anvil.node import Anvil, AnvilSettings
    from anvil.client import Chain
    from anvil.deploy import deploy
    with Anvil(AnvilSettings(timestamp_s=1_750_000_000)) as node:
        chain = Chain(node.url)
        market = deploy(chain)          # -> Deployment: provider, pool, tokens, feeds, roles ... (JSON round trip)
        user = market.roles.actors[0]   # unlocked accounts; roles.deployer may mint, pause, set caps
        chain.call(market.pool, "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)", user)

``node.py`` the process · ``client.py`` the JSON-RPC client (signature text in, values out) · ``actors.py`` borrowers
and a real liquidator · ``shock.py`` prices, base fee, pauses, broken feeds · ``scenario.py`` the story files ·
``compile.py`` npm solc with a cache in ``.cache/``. Tests get ``chain``, ``deployment`` and their fork twins from
``tests/anvil/conftest.py``; each test is undone by a snapshot.
"""
