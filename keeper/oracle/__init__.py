"""What prices the protocols: each feed looked at for what is wrong with it, and for what it will say next.

feeds.py (what a feed is, what one batch asks of it) -> faults.py (what is wrong) and ahead.py (what it says next,
and the health that follows). bases.py: what is behind a computed price. caps.py: ratios and prices that are capped.
market.py: what the market says, from Uniswap v3 on chain. osm.py: prices that are known an hour ahead. sequencer.py:
rollups that stand still. room.py puts them together. Everything but osm.read is pure, or asks through what it is
given; nothing here makes a position look healthier.
Beside them aggregator.py (HTTP) and dialects.py: what an aggregator would pay for a sale, bounded before it is used.
"""
