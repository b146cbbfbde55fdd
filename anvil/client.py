"""A thin synchronous JSON-RPC client for a local anvil: half a millisecond a call.

One connection, kept alive; one thread. web3's contract objects cost 7-20 ms a call, which a market of a
hundred transactions and tests of thousands of states would feel.
"""

from __future__ import annotations

import http.client
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from anvil.abi import constructor_types, decode_answer, encode_call, error_signatures, explain_revert
from anvil.compile import Artifact
from keeper.errors import Rejected, Transient
from keeper.model import Block

SEND_GAS = 15_000_000
"""Explicit, because an estimate would hide a revert behind an RPC error; below EIP-7825's 2**24."""
MAX_FEE_WEI = 5_000 * 10**9
"""Far above any base fee a scenario sets, so that no helper's transaction is ever stuck."""
TIP_WEI = 10**9
_BATCH = 400


class Reverted(Exception):
    """A call or a mined transaction reverted: ``name`` and ``arguments`` of the error, raw ``data``."""

    def __init__(self, name: str, arguments: tuple[Any, ...], data: bytes, what: str) -> None:
        self.name = name
        self.arguments = arguments
        self.data = data
        shown = f"({', '.join(map(str, arguments))})" if arguments else ""
        super().__init__(f"{what} reverted: {name}{shown}")


class Chain:
    """One chain behind one URL. ``errors`` maps a selector in hex to the signature of a custom error."""

    def __init__(
        self, url: str, *, errors: Mapping[str, str] | None = None, timeout_s: float = 120.0
    ) -> None:
        self.url = url
        self.errors: dict[str, str] = dict(errors or {})
        where = urllib.parse.urlsplit(url)
        if where.scheme != "http" or where.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError("this client spends unlocked accounts: it speaks to http on loopback only")
        self._connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout_s)
        self._accounts: tuple[str, ...] = ()

    def close(self) -> None:
        """Close the connection; it reopens by itself when used again."""
        self._connection.close()

    @property
    def accounts(self) -> tuple[str, ...]:
        """Unlocked accounts of the node, EIP-55."""
        if not self._accounts:
            self._accounts = tuple(to_checksum_address(a) for a in self.rpc("eth_accounts"))
        return self._accounts

    def rpc(self, method: str, *params: object) -> Any:
        """The ``result`` field. Raises Rejected (an error answer) or Transient (no answer)."""
        return _result(self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))

    def batch(self, requests: Iterable[tuple[str, Sequence[object]]]) -> list[Any]:
        """Results of many calls in their order, a few hundred to a request. Raises at the first error."""
        bodies = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": list(params)}
            for i, (method, params) in enumerate(requests)
        ]
        results: list[Any] = [None] * len(bodies)
        for start in range(0, len(bodies), _BATCH):
            for answer in self._post(bodies[start : start + _BATCH]):
                results[answer["id"]] = _result(answer)
        return results

    def call(
        self,
        to: str,
        signature: str,
        *arguments: object,
        block: int | str = "latest",
        sender: str | None = None,
    ) -> Any:
        """``eth_call``: the decoded answer by the types named in ``signature``. Raises Reverted."""
        tx = {"to": to, "data": _hex(encode_call(signature, *arguments)), "gas": hex(50_000_000)}
        if sender is not None:
            tx["from"] = sender
        try:
            answer = self.rpc("eth_call", tx, hex(block) if isinstance(block, int) else block)
        except Rejected as refused:
            if refused.data is None and "revert" not in refused.message:
                raise
            raise self._reverted(bytes.fromhex((refused.data or "0x")[2:]), signature) from None
        return decode_answer(signature, bytes.fromhex(answer[2:]))

    def submit(
        self, sender: str, to: str | None, data: bytes, *, gas: int = SEND_GAS, tip_wei: int = TIP_WEI
    ) -> str:
        """Hand a transaction of an unlocked account to the pool and return its hash, without waiting."""
        fields = {**transaction(sender, to, data, gas=gas), "maxPriorityFeePerGas": hex(tip_wei)}
        return str(self.rpc("eth_sendTransaction", fields))

    def send(
        self,
        sender: str,
        to: str | None,
        signature: str | bytes,
        *arguments: object,
        value_wei: int = 0,
        gas: int = SEND_GAS,
    ) -> dict[str, Any]:
        """Send a call (signature text with arguments, or calldata) and wait for its receipt. Raises Reverted.

        Needs a node that mines by itself; with ``mining=False`` use ``submit``, ``mine`` and ``confirm``.
        """
        data = signature if isinstance(signature, bytes) else encode_call(signature, *arguments)
        fields = transaction(sender, to, data, value_wei=value_wei, gas=gas)
        return self.confirm([self.rpc("eth_sendTransaction", fields)])[0]

    def confirm(self, hashes: Iterable[str], *, timeout_s: float = 90.0) -> list[dict[str, Any]]:
        """Receipts of transactions, all successful. Raises Reverted, or Transient after ``timeout_s``."""
        receipts = []
        for tx_hash in hashes:
            receipt = self.receipt(tx_hash, timeout_s=timeout_s)
            if receipt["status"] != "0x1":
                trace = self.rpc("debug_traceTransaction", tx_hash, {"tracer": "callTracer"})
                why = bytes.fromhex(trace.get("output", "0x")[2:])
                what = f"transaction to {receipt['to']}"
                if not why and int(receipt["gasUsed"], 16) == int(trace["gas"], 16):
                    what += " (out of gas)"
                raise self._reverted(why, what)
            receipts.append(receipt)
        return receipts

    def receipt(self, tx_hash: str, *, timeout_s: float = 90.0) -> dict[str, Any]:
        """The receipt, whatever its status. Raises Transient after ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            receipt = self.rpc("eth_getTransactionReceipt", tx_hash)
            if receipt is not None:
                return dict(receipt)
            if time.monotonic() > deadline_s:
                raise Transient(f"transaction {tx_hash} was not mined in {timeout_s} s")
            time.sleep(0.001)

    def deploy(
        self,
        artifact: Artifact,
        *arguments: object,
        libs: Mapping[str, str] | None = None,
        sender: str | None = None,
    ) -> str:
        """Deploy from the first account (or ``sender``); the new address. Its custom errors become known."""
        self.learn(artifact)
        code = creation_code(artifact, arguments, libs or {})
        receipt = self.send(sender or self.accounts[0], None, code)
        return str(to_checksum_address(receipt["contractAddress"]))

    def learn(self, artifact: Artifact) -> None:
        """Add an artifact's custom errors to those that reverts are explained by."""
        self.errors.update(error_signatures(artifact.abi))

    def mine(self, timestamp_s: int | None = None) -> Block:
        """Mine one block, at ``timestamp_s`` when given; the new head."""
        self.rpc("evm_mine", *([] if timestamp_s is None else [{"timestamp": timestamp_s}]))
        return self.block()

    def block(self, number: int | str = "latest") -> Block:
        """A block header."""
        head = self.rpc("eth_getBlockByNumber", hex(number) if isinstance(number, int) else number, False)
        return Block(
            chain_id=int(self.rpc("eth_chainId"), 16),
            number=int(head["number"], 16),
            hash=head["hash"],
            parent_hash=head["parentHash"],
            timestamp_s=int(head["timestamp"], 16),
            base_fee_wei=int(head.get("baseFeePerGas", "0x0"), 16),
        )

    def snapshot(self) -> str:
        """An id for ``revert``, good for one use."""
        return str(self.rpc("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Back to the snapshot, time included. Raises Rejected when the id was used before.

        The node shows a receipt a moment before it takes the transaction out of its pool; reverted in
        between, it takes out the next one of that sender and number instead, which is then never mined.
        """
        deadline_s = time.monotonic() + 30.0
        while self.rpc("anvil_getAutomine") and int(self.rpc("txpool_status")["pending"], 16):
            if time.monotonic() > deadline_s:
                break
            time.sleep(0.001)
        if self.rpc("evm_revert", snapshot) is not True:
            raise Rejected(-32602, f"snapshot {snapshot} does not exist (an id works once)")

    def balance_wei(self, account: str) -> int:
        """Native balance at the latest block."""
        return int(self.rpc("eth_getBalance", account, "latest"), 16)

    def has_code(self, address: str) -> bool:
        """True when a contract lives there."""
        return bool(self.rpc("eth_getCode", address, "latest") != "0x")

    def _reverted(self, data: bytes, what: str) -> Reverted:
        name, arguments = explain_revert(data, self.errors)
        return Reverted(name, arguments, data, what)

    def _post(self, body: object) -> Any:
        data = orjson.dumps(body)
        reused = self._connection.sock is not None
        try:
            return self._exchange(data)
        except http.client.RemoteDisconnected as gone:
            self._connection.close()
            if not reused:
                raise Transient(f"{self.url} closed the connection") from gone
        except (OSError, http.client.HTTPException) as failed:
            self._connection.close()
            raise Transient(f"{self.url}: {failed}") from failed
        # an idle keep-alive connection was closed under us before it took the request
        try:
            return self._exchange(data)
        except (OSError, http.client.HTTPException) as failed:
            self._connection.close()
            raise Transient(f"{self.url}: {failed}") from failed

    def _exchange(self, data: bytes) -> Any:
        self._connection.request("POST", "/", data, {"Content-Type": "application/json"})
        return orjson.loads(self._connection.getresponse().read())


def transaction(
    sender: str, to: str | None, data: bytes, *, value_wei: int = 0, gas: int = SEND_GAS
) -> dict[str, str]:
    """The fields of ``eth_sendTransaction``, for ``Chain.batch``."""
    fields = {
        "from": sender,
        "data": _hex(data),
        "gas": hex(gas),
        "value": hex(value_wei),
        "maxFeePerGas": hex(MAX_FEE_WEI),
        "maxPriorityFeePerGas": hex(TIP_WEI),
    }
    return fields if to is None else {**fields, "to": to}


def creation_code(artifact: Artifact, arguments: Sequence[object], libs: Mapping[str, str]) -> bytes:
    """Creation code, libraries linked, constructor arguments appended. ValueError when a library lacks."""
    code = artifact.bytecode[2:]
    for library, start in artifact.links:
        if library not in libs:
            raise ValueError(f"{artifact.name} links {library}, which was not given")
        code = code[: 2 * start] + libs[library][2:].lower() + code[2 * start + 40 :]
    return bytes.fromhex(code) + encode(constructor_types(artifact.abi), arguments)


def _result(answer: Mapping[str, Any]) -> Any:
    if "error" in answer:
        error = answer["error"]
        data = error.get("data")
        raise Rejected(int(error["code"]), str(error["message"]), data if isinstance(data, str) else None)
    return answer["result"]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
