"""Leverage: how much, how concentrated, how fast, who falls with whom, and what comes before a flush.

No kernel reads this folder, so an edit in it compiles none anew (``risk.cache`` hashes the files beside them).
"""
