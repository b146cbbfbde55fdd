"""A signer with a memory: policy first, then the store's rules and the signature as one transaction."""

from __future__ import annotations

from coincurve import PrivateKey

from keeper.errors import Broken, ConfigError, Unsigned
from keeper.seams import Clock, Kept, Signed, TxFields
from keeper.signer import eip1559
from keeper.signer.key import Key
from keeper.signer.policy import SigningPolicy
from keeper.signer.selfcheck import check_signing
from keeper.signer.spending import spent
from keeper.signer.store import Asked, DayCaps, Store


class GuardedSigner:
    """One key, one policy, one store; ``repr`` shows the address only."""

    __slots__ = ("_caps", "_clock", "_key", "_policy", "_prepared", "_store")

    def __init__(self, key: Key, policy: SigningPolicy, caps: DayCaps, store: Store, clock: Clock) -> None:
        """Raises ConfigError (key and policy are for different addresses) or Broken (the self-check)."""
        if key.address.lower() != policy.address.lower():
            raise ConfigError((f"signing policy is for {policy.address}, the key for {key.address}",))
        self._key, self._policy, self._caps = key, policy, caps
        self._store, self._clock = store, clock
        self._prepared = PrivateKey(key.reveal())
        check_signing(key, self._prepared)

    def __repr__(self) -> str:
        return f"GuardedSigner({self._key.address}, chain {self._policy.chain_id})"

    @property
    def address(self) -> str:
        """EIP-55 address of the key."""
        return self._key.address

    async def sign(self, tx: TxFields) -> Signed:
        """Signed bytes, durable in the store; what is refused is not signed.

        Raises Unsigned when the policy, or a rule of the store, does not allow ``tx``, Unwritable when the store's
        disk takes nothing, Broken when the store and whoever asks tell the key's history differently.
        """
        now_s = self._clock.now_s()
        if (why := self._policy.refuses(tx, now_s)) is not None:
            raise Unsigned(f"signer refuses: {why}")
        if not tx.intent:
            raise Broken("signer refuses: the request names no intent")
        spend = spent(tx, self._policy, self._caps.units)
        asked = Asked(
            tx=tx,
            intent=tx.intent,
            payload=eip1559.unsigned_payload(tx),
            cancel=not tx.data,
            token=spend.what,
            units=spend.units,
            most=spend.most,
        )
        try:
            return self._store.sign(asked, self._caps, now_s, lambda: eip1559.sign(tx, self._prepared))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            # frames below hold the key: named by type, not chained
            raise Broken(f"signing failed: {type(error).__name__}") from None

    async def stored(self, intent: str) -> tuple[Kept, ...]:
        """What was signed for an intent, oldest first."""
        return self._store.stored(self._policy.chain_id, intent)
