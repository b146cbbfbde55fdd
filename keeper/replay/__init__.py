"""Price histories through the same pure rooms: would it have saved these positions, and at what cost?

bars.py      open, high, low and close of assets over time, from parquet or CSV, with what is wrong with them
fleet.py     whose positions: accounts by asset from CSV, a book file, the live configuration
oracle.py    what the feeds would have said: deviation, heartbeat, scheduled; no peeking into a bar
market.py    what acting costs (gas, impact, fees, delay) and how the venue liquidates
policies.py  the keepers that are compared
run.py       the replay itself: kernels screen every bar, policies run where a level changes
"""
