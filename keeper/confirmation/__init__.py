"""Receipt, depth, effect: each block, what became of every transaction that is not beyond doubt.

Conclusions are slow and re-openable. A receipt counts only on the branch that the snapshot was read from; a
receipt that vanishes opens the intent again; "another transaction took the nonce" needs two blocks of depth
and two looks; nothing is ever concluded from an answer that did not come.
"""

from keeper.confirmation.finality import FINAL_DEPTH, finalized
from keeper.confirmation.follow import SETTLED_DEPTH, Confirmation
from keeper.confirmation.former import Following

__all__ = ["FINAL_DEPTH", "SETTLED_DEPTH", "Confirmation", "Following", "finalized"]
