"""The only room that talks to a node.

- ``rpc.py``: one endpoint's JSON-RPC body over HTTP keep-alive
- ``payload.py``: what a large read sends and gets, hex that stays bytes
- ``http1.py``: HTTP/1.1 as large reads need it, strictly
- ``wire.py``: keep-alive connections for large reads, each of which proves its chain id
- ``lane.py``: one endpoint's queue: rate limit, priorities, weights, 429 penalty
- ``endpoint.py``: one endpoint: body, lane, record, and the chain id that it must prove
- ``endpoints.py``: several endpoints as one Transport: failover, hedge, circuit
- ``canvass.py``: several endpoints' own words, the next one asked where one gives none
- ``batch.py``: many calls as one Multicall3 read at one block hash
- ``block.py``: a header from JSON, strictly
- ``line.py``: the heads already seen: what is new, what is old, how deep a reorganisation went
- ``stream.py``: ``newHeads`` over a WebSocket connection of its own
- ``head.py``: stream and polling together, into a mailbox of one place
- ``contract.py``: web3, off the hot path
"""
