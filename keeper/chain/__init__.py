"""The only room that talks to a node.

rpc.py        one endpoint's JSON-RPC body over HTTP keep-alive
lane.py       one endpoint's queue: rate limit, priorities, weights, 429 penalty
endpoints.py  several endpoints as one Transport: failover, hedge, circuit, chain id
batch.py      many calls as one Multicall3 read at one block hash
head.py       newHeads with a polling fallback into a mailbox of one place
contract.py   web3, off the hot path
"""
