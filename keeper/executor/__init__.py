"""An owner's Executor: its calls, its facts, its errors, and its rules as exact functions. Pure.

seat.py (what a venue says of a position and of its grant) and abi.py (signatures, calldata) -> read.py (a batch's
words to mandates) -> desk.py (what one chain asks each block) -> rules.py (what the contract would say) and errors.py
(its refusals in our words); verify.py compares code.
"""
