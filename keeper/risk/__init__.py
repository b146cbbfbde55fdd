"""How far each position is from harm: an affine book in arrays, swept by numba. Pure: no network, clock or
log.

outlook.py   records in, records out: what the daemon asks every tick
shocks.py    what could happen: named, ladders, grids, the user's own
book.py      positions as CSR arrays of two affine forms
kernels.py   the sweeps, arrays only
cache.py     where compiled kernels are kept; call ``prepare`` before anything here imports numba
"""
