"""What could be done for a position after a fall, by everything that limits it; and which limit binds. Pure.

records.py (a case: the position under stress, ways and limits) <- ways.py (means to ways) -> reach.py (the best that
they allow, and the limit that relaxed raises it).
"""

from keeper.capacity.falls import stressed
from keeper.capacity.reach import reach
from keeper.capacity.records import Case, Limit, Reach, Stress, Way
from keeper.capacity.ways import Scene, case_of

__all__ = ["Case", "Limit", "Reach", "Scene", "Stress", "Way", "case_of", "reach", "stressed"]
