"""ABI coding by signature text: ``"balanceOf(address)(uint256)"`` names function, inputs and answer.

The answer's types may be left out. Structs are written as tuples: ``"f((address,uint24),bool)"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.address import to_checksum_address

_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")


@lru_cache(maxsize=1024)
def parse(signature: str) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    """(selector, input types, output types). Raises ValueError on unbalanced text."""
    start = signature.find("(")
    end = _closing(signature, start)
    inputs = _split(signature[start + 1 : end])
    rest = signature[end + 1 :]
    outputs = _split(rest[1 : _closing(rest, 0)]) if rest else ()
    return function_signature_to_4byte_selector(signature[: end + 1]), inputs, outputs


def encode_call(signature: str, *arguments: object) -> bytes:
    """Calldata of a call."""
    selector, inputs, _ = parse(signature)
    return selector + abi_encode(inputs, arguments)


def decode_answer(signature: str, data: bytes) -> Any:
    """The answer's value, or a tuple of them when there are several; raw bytes when no types were given."""
    outputs = parse(signature)[2]
    if not outputs:
        return data
    values = decode(outputs, data)
    return values[0] if len(values) == 1 else values


def decode(types: Iterable[str], data: bytes) -> tuple[Any, ...]:
    """Values of ``types``; top-level addresses in EIP-55."""
    types = tuple(types)
    return tuple(
        to_checksum_address(value) if type_ == "address" else value
        for type_, value in zip(types, abi_decode(types, data), strict=True)
    )


def type_text(entry: Mapping[str, Any]) -> str:
    """Canonical type of one ABI input; tuples are spelled out."""
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(type_text(c) for c in entry['components'])}){kind[len('tuple') :]}"


def constructor_types(abi: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Input types of the constructor, empty without one."""
    for entry in abi:
        if entry["type"] == "constructor":
            return tuple(type_text(i) for i in entry["inputs"])
    return ()


def error_signatures(abi: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Selector (8 hex digits) -> signature of every custom error that an ABI declares."""
    found = {}
    for entry in abi:
        if entry["type"] == "error":
            signature = f"{entry['name']}({','.join(type_text(i) for i in entry['inputs'])})"
            found[function_signature_to_4byte_selector(signature).hex()] = signature
    return found


def explain_revert(data: bytes, errors: Mapping[str, str]) -> tuple[str, tuple[Any, ...]]:
    """(name, arguments) of revert data; the name is the selector in hex when the error is unknown."""
    if len(data) < 4:
        return "reverted without data", ()
    selector, body = data[:4], data[4:]
    try:
        if selector == _ERROR_STRING:
            return str(decode(["string"], body)[0]), ()
        if selector == _PANIC:
            return "Panic", decode(["uint256"], body)
        signature = errors.get(selector.hex())
        if signature is not None:
            return signature.split("(", 1)[0], decode(parse(signature)[1], body)
    except DecodingError:
        pass
    return f"0x{selector.hex()}", ()


def _closing(text: str, start: int) -> int:
    depth = 0
    for i in range(max(start, 0), len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    raise ValueError(f"{text!r} is not a function signature")


def _split(text: str) -> tuple[str, ...]:
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return (*parts, current.strip()) if current.strip() else tuple(parts)
