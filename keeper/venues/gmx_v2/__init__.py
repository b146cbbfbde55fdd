"""GMX v2 perpetuals, the pure part: how a position stands, to the integer. Not yet a venue to configure.

layout.py   the venue's numbers with their units
curves.py   price impact, borrowing, funding
rules.py    when a position may be liquidated; how much margin or reduction restores it
"""
