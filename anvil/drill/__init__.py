"""A drill: the user's own position on a fork of his chain, through a fall, without a keeper and with the real one.

course.py (which prices move, update by update) -> fork.py (the chain, the position, its oracle and pools in our
hands) -> home.py, owner.py (a keeper's home with a throwaway key, and what the owner would sign) -> play.py,
steps.py (both runs, and the largest single update survived) -> outcome.py, page.py (what came of it). Nothing here
can spend: every transaction lands on a local fork that ends with the command.
"""
