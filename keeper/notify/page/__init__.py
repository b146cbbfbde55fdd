"""The status page over HTTP: what is told is shown, live; nothing is asked of the chain, one thing of the daemon.

- ``serving.py``: the routes, and what each answers
- ``guard.py``: who may ask: names, origins, the token; and the headers of every answer
- ``fanout.py``: one message to many viewers, none of whom can hold up another
- ``static/``, ``templates/``: the page itself; every byte of it is served from here
"""
