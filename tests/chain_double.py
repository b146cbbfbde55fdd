"""An in-memory chain for the rooms that spend: geth's pool rules, blocks mined by hand, reorganisations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from eth_utils.crypto import keccak

from keeper.errors import Rejected, Transient
from keeper.model import Block
from keeper.seams import Priority, Signed, TxFields
from keeper.units import GWEI
from tests.plans import WALLET, block, block_hash


class FakeSigner:
    """Signs by writing the fields down; counts what it was asked."""

    def __init__(self, address: str = WALLET) -> None:
        self._address = address
        self.asked: list[TxFields] = []

    @property
    def address(self) -> str:
        """The wallet of the builders."""
        return self._address

    async def sign(self, tx: TxFields) -> Signed:
        """Bytes that ``ChainDouble`` reads."""
        self.asked.append(tx)
        raw = json.dumps({**asdict(tx), "data": tx.data.hex()}).encode()
        return Signed(raw=raw, hash="0x" + keccak(raw).hex())


def read_tx(raw: bytes) -> tuple[TxFields, str]:
    """Inverse of the fake signature."""
    fields = json.loads(raw)
    return TxFields(**{**fields, "data": bytes.fromhex(fields["data"])}), "0x" + keccak(raw).hex()


@dataclass(kw_only=True)
class Mined:
    """One block of the double with its transactions."""

    header: Block
    txs: list[tuple[TxFields, str]] = field(default_factory=list)


class ChainDouble:
    """Implements Transport for one account. Nothing is mined until ``mine``."""

    def __init__(self, *, base_fee_wei: int = 10 * GWEI, nonce: int = 0, start: int = 100) -> None:
        self.base_fee_wei = base_fee_wei
        self.first_nonce = nonce
        self.blocks = [Mined(header=block(start, base_fee_wei=base_fee_wei))]
        self.pool: dict[int, tuple[TxFields, str]] = {}
        self.calls: list[str] = []
        self.sent: list[bytes] = []
        self.revert: Rejected | None = None
        self.fails_on_chain = False
        self.dead: set[str] = set()
        """Methods that time out."""
        self.swallow = False
        """Broadcasts are accepted and forgotten."""
        self.lose_answer = False
        """Broadcasts arrive but their answer does not."""
        self.finalized = -1
        self._fork = 0

    @property
    def head(self) -> Block:
        """The newest header."""
        return self.blocks[-1].header

    @property
    def nonce(self) -> int:
        """Transactions mined, plus those before the double began."""
        return self.first_nonce + sum(len(b.txs) for b in self.blocks)

    def effects(self, target: str) -> list[TxFields]:
        """Mined transactions to ``target``, oldest first."""
        return [t for b in self.blocks for t, _ in b.txs if t.to == target]

    def mine(self, *, base_fee_wei: int | None = None, empty: bool = False) -> Block:
        """One more block with every pooled transaction that pays enough, in order of nonce."""
        self.base_fee_wei = base_fee_wei or self.base_fee_wei
        header = block(self.head.number + 1, base_fee_wei=self.base_fee_wei, fork=self._fork)
        mined = Mined(header=header)
        nonce = self.nonce
        while not empty and nonce in self.pool and self.pool[nonce][0].max_fee_wei >= self.base_fee_wei:
            mined.txs.append(self.pool.pop(nonce))
            nonce += 1
        self.blocks.append(mined)
        return header

    def reorg(self, depth: int, *, replant: bool = False) -> Block:
        """Drop ``depth`` blocks; their transactions are lost (``replant``: pooled); one block longer."""
        self._fork += 1
        lost = [t for b in self.blocks[-depth:] for t in b.txs]
        del self.blocks[-depth:]
        if replant:
            self.pool |= {t.nonce: (t, h) for t, h in lost}
        for _ in range(depth):
            self.mine(empty=True)
        return self.mine(empty=True)

    def foreign(self) -> None:
        """Somebody else's transaction takes the next nonce, in the next block."""
        tx = TxFields(
            chain_id=self.head.chain_id,
            nonce=self.nonce,
            to="0x" + "ff" * 20,
            data=b"",
            value_wei=1,
            gas_limit=21_000,
            max_fee_wei=10**15,
            tip_wei=1,
        )
        self.pool[self.nonce] = (tx, "0x" + keccak(text=f"foreign{self.nonce}").hex())

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """The handful of methods that these rooms use."""
        self.calls.append(method)
        if method in self.dead:
            raise Transient(f"{method} timed out")
        if method == "eth_call":
            if self.revert is not None:
                raise self.revert
            return "0x"
        if method == "eth_blockNumber":
            return hex(self.head.number)
        if method == "eth_getTransactionCount":
            return hex(self._count(params[1]))
        if method == "eth_getTransactionReceipt":
            return self._receipt(params[0])
        if method == "eth_getBlockByNumber":
            return self._header(params[0])
        raise AssertionError(f"the double knows no {method}")

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """One endpoint with geth's pool rules and words."""
        self.calls.append("eth_sendRawTransaction")
        self.sent.append(raw)
        tx, tx_hash = read_tx(raw)
        if "eth_sendRawTransaction" in self.dead:
            return (Transient("timed out"),)
        if self.swallow:
            return (tx_hash,)
        refused = self._refuses(tx, tx_hash)
        if refused is not None:
            return (Rejected(-32000, refused),)
        self.pool[tx.nonce] = (tx, tx_hash)
        return (Transient("the answer was lost"),) if self.lose_answer else (tx_hash,)

    def _refuses(self, tx: TxFields, tx_hash: str) -> str | None:
        if tx.nonce < self.nonce:
            return f"nonce too low: next nonce {self.nonce}, tx nonce {tx.nonce}"
        if tx.max_fee_wei < self.base_fee_wei:
            return "max fee per gas less than block base fee"
        old = self.pool.get(tx.nonce)
        if old is None:
            return None
        if old[1] == tx_hash:
            return "already known"
        if tx.max_fee_wei < old[0].max_fee_wei * 110 // 100 or tx.tip_wei < old[0].tip_wei * 110 // 100:
            return "replacement transaction underpriced"
        return None

    def _count(self, tag: object) -> int:
        if tag == "latest":
            return self.nonce
        if tag == "pending":
            top = self.nonce
            while top in self.pool:
                top += 1
            return top
        upto = int(str(tag), 16)
        return self.first_nonce + sum(len(b.txs) for b in self.blocks if b.header.number <= upto)

    def _receipt(self, tx_hash: object) -> object:
        for mined in self.blocks:
            for tx, found in mined.txs:
                if found == tx_hash:
                    return {
                        "transactionHash": found,
                        "from": WALLET.lower(),
                        "to": tx.to.lower(),
                        "status": "0x0" if self.fails_on_chain and tx.data else "0x1",
                        "blockNumber": hex(mined.header.number),
                        "blockHash": mined.header.hash,
                        "gasUsed": hex(tx.gas_limit // 2),
                        "effectiveGasPrice": hex(mined.header.base_fee_wei + tx.tip_wei),
                    }
        return None

    def _header(self, tag: object) -> object:
        if tag == "finalized":
            return None if self.finalized < 0 else {"number": hex(self.finalized), "hash": "0x00"}
        number = int(str(tag), 16)
        found = next((b.header for b in self.blocks if b.header.number == number), None)
        return None if found is None else {"number": hex(number), "hash": found.hash}


__all__ = ["ChainDouble", "FakeSigner", "block_hash", "read_tx"]
