"""The canary: a rescue of a tiny position through key, route, chain and alarm, now and then.

- ``record.py``: one rescue for practice, stage by stage, as the journal keeps it
- ``stages.py``: how far it has come, read off the plan, the lane and its intent; pure
- ``calm.py``: when it may begin, and what may not be a canary
- ``occasion.py``: the policy under which it is rescued
- ``sighting.py telling.py``: what is seen of it, and in which words it is told
- ``yielding.py``: how the loop lets everybody else go first; pure
- ``cage.py``: begins, follows, tells; one at a time
"""
