"""The status page as a process of its own: fed by the daemon after each tick, asking neither it nor the chain.

- ``sheet.py``: what is shown, as plain rows, made between ticks of what the last tick found
- ``child.py``: the daemon's side: starts the process, feeds it, takes acknowledgements from it
- ``process.py``: the page's side, and ``board.py history.py shocks.py story.py`` what it makes of what it is fed
"""
