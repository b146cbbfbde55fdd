"""A whole grant by signature (EIP-712): what an owner's wallet shows, and the call that takes what he signed. Pure.

Sources: Morpho.setAuthorizationWithSig and IMorpho's Authorization; CometExt.allowBySig. Both recover an address from
the signature: a Safe cannot sign so, it sends the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.executor.abi import selector
from keeper.executor.seat import BySignature, Permit
from keeper.model import Call
from keeper.words import Words

NAME, VERSION = selector("name()"), selector("version()")
TERM_S = 3_600
"""Whoever gets hold of the signature can hand it in so long."""
SIGNATURE_BYTES = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one owner signs for one Executor."""

    permit: Permit
    form: BySignature
    chain_id: int
    owner: str
    executor: str
    nonce: int
    deadline_s: int
    allowed: bool = True
    name: str = ""
    """These two of the contract's own domain; empty where its domain has none."""
    version: str = ""

    @property
    def domain(self) -> dict[str, object]:
        """The domain, in the order of its type."""
        named = {"name": self.name, "version": self.version} if self.form.named else {}
        return {**named, "chainId": self.chain_id, "verifyingContract": self.permit.contract}

    @property
    def words(self) -> tuple[object, ...]:
        """The five values, in the order of the type."""
        return (self.owner, self.executor, self.allowed, self.nonce, self.deadline_s)


KINDS = ("address", "address", "bool", "uint256", "uint256")


def asked(permit: Permit, owner: str) -> tuple[Call, ...]:
    """What must be read before; the order is what ``message`` expects."""
    form = permit.by_signature
    if form is None:
        return ()
    nonce = Call(target=permit.contract, data=form.nonce + encode(["address"], [owner]))
    both = tuple(Call(target=permit.contract, data=data) for data in (NAME, VERSION))
    return (nonce, *(both if form.named else ()))


def message(permit: Permit, who: tuple[int, str, str], now_s: int, words: Words) -> Message | None:
    """The message of (chain id, owner, executor); None where the protocol takes no signatures. Raises Transient."""
    form = permit.by_signature
    if form is None:
        return None
    texts = [words.uint(i, 2).to_bytes(32)[: words.uint(i, 1)].decode() for i in (1, 2)] if form.named else []
    return Message(
        permit=permit,
        form=form,
        chain_id=who[0],
        owner=who[1],
        executor=who[2],
        nonce=words.uint(0),
        deadline_s=now_s + TERM_S,
        name=texts[0] if texts else "",
        version=texts[1] if texts else "",
    )


def typed_data(of: Message) -> dict[str, object]:
    """``eth_signTypedData_v4``'s document."""
    domain = [{"name": n, "type": t} for n, t in _domain_fields(of)]
    fields = [{"name": n, "type": t} for n, t in zip(of.form.fields, KINDS, strict=True)]
    values = dict(zip(of.form.fields, of.words, strict=True))
    return {
        "types": {"EIP712Domain": domain, "Authorization": fields},
        "primaryType": "Authorization",
        "domain": of.domain,
        "message": {n: str(v) if type(v) is int else v for n, v in values.items()},
    }


def digest(of: Message) -> bytes:
    """What is signed in the end: the hash that the contract computes too."""
    kinds = _domain_fields(of)
    head = keccak(text=f"EIP712Domain({','.join(f'{t} {n}' for n, t in kinds)})")
    values = [
        keccak(text=str(v)) if t == "string" else v
        for (_, t), v in zip(kinds, of.domain.values(), strict=True)
    ]
    hashed = ["bytes32" if t == "string" else t for _, t in kinds]
    domain = keccak(head + encode(hashed, values))
    fields = ",".join(f"{t} {n}" for n, t in zip(of.form.fields, KINDS, strict=True))
    body = keccak(keccak(text=f"Authorization({fields})") + encode(KINDS, of.words))
    return keccak(b"\x19\x01" + domain + body)


def handed_in(of: Message, signature: bytes) -> Call:
    """What anybody may send with the owner's signature (r, s, v). ValueError for one of another length."""
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"{len(signature)} bytes are no signature of {SIGNATURE_BYTES}")
    r, s, v = signature[:32], signature[32:64], signature[64]
    v += 27 if v < 27 else 0
    if of.form.in_structs:
        body = encode([f"({','.join(KINDS)})", "(uint8,bytes32,bytes32)"], [of.words, (v, r, s)])
    else:
        body = encode([*KINDS, "uint8", "bytes32", "bytes32"], [*of.words, v, r, s])
    return Call(target=of.permit.contract, data=of.form.submits + body)


def _domain_fields(of: Message) -> tuple[tuple[str, str], ...]:
    named = (("name", "string"), ("version", "string")) if of.form.named else ()
    return (*named, ("chainId", "uint256"), ("verifyingContract", "address"))
