"""Signing in process: EIP-1559 only, chain id pinned by the policy, nothing signed outside it."""

from __future__ import annotations

from contextlib import suppress

from coincurve import PrivateKey

from keeper.errors import Broken, ConfigError, Unsigned
from keeper.seams import Signed, TxFields
from keeper.signer import eip1559
from keeper.signer.key import Key
from keeper.signer.policy import SigningPolicy
from keeper.signer.selfcheck import check_signing


class LocalSigner:
    """Holds one key and one policy; ``repr`` shows the address only."""

    __slots__ = ("_key", "_policy", "_prepared", "_ready")

    def __init__(self, key: Key, policy: SigningPolicy) -> None:
        """Raises ConfigError (key and policy are for different addresses) or Broken (the self-check)."""
        if key.address.lower() != policy.address.lower():
            raise ConfigError((f"signing policy is for {policy.address}, the key for {key.address}",))
        self._key = key
        self._policy = policy
        # coincurve's own repr names no secret either
        self._prepared = PrivateKey(key.reveal())
        self._ready: tuple[TxFields, SigningPolicy, eip1559.Unsigned] | None = None
        """What was judged and encoded last, by which policy."""
        check_signing(key, self._prepared)

    def __repr__(self) -> str:
        return f"LocalSigner({self._key.address}, chain {self._policy.chain_id})"

    @property
    def address(self) -> str:
        """EIP-55 address of the key."""
        return self._key.address

    def renew(self, policy: SigningPolicy) -> None:
        """Follow the market: the same key under limits of today's prices. Raises ConfigError."""
        if (policy.address.lower(), policy.chain_id) != (self._policy.address.lower(), self._policy.chain_id):
            raise ConfigError((f"signing policy is for {policy.address} on chain {policy.chain_id}",))
        self._policy = policy

    def prepare(self, tx: TxFields) -> None:
        """Judge and encode ``tx`` beforehand; one that the policy refuses is left to ``sign`` to refuse."""
        policy, self._ready = self._policy, None
        if policy.refuses(tx) is None:
            with suppress(ValueError, TypeError, AttributeError, OverflowError):
                self._ready = tx, policy, eip1559.unsigned(tx)

    async def sign(self, tx: TxFields) -> Signed:
        """Signed bytes. Raises Unsigned, with nothing signed, when the policy does not allow ``tx``."""
        ready, self._ready = self._ready, None
        # the policy is a pure function of the fields: the same one said yes to the same fields
        if ready is not None and (ready[1] is not self._policy or ready[0] != tx):
            ready = None
        if ready is None and (why := self._policy.refuses(tx)) is not None:
            raise Unsigned(f"signer refuses: {why}")
        try:
            if ready is not None:
                return eip1559.signed(ready[2], self._prepared)
            return eip1559.sign(tx, self._prepared)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            # frames below hold the key: named by type, not chained
            raise Broken(f"signing failed: {type(error).__name__}") from None
