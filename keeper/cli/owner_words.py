"""What a user writes of an owner's grant: addresses, shares and times."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation


def address(text: str, option: str) -> str:
    """A checksummed address. Exit 2."""
    from eth_utils.address import is_address, is_checksum_address, to_checksum_address

    from keeper.cli.endings import usage

    mixed = text[2:] != text[2:].lower() and text[2:] != text[2:].upper()
    if not is_address(text) or (mixed and not is_checksum_address(text)):
        raise usage(option, f'"{text}" is no address, or its checksum is wrong')
    return str(to_checksum_address(text))


def shares(given: list[str], option: str) -> dict[str, int]:
    """``["0x...=25"]`` as ``{"0x...": 2500}``: per cents of each cap in bps, more than 0 and at most 100. Exit 2."""
    from keeper.cli.endings import usage

    found: dict[str, int] = {}
    for text in given:
        who, _, number = text.partition("=")
        try:
            bps = Decimal(number) * 100
        except InvalidOperation:
            bps = Decimal("NaN")
        if not who or not bps.is_finite() or not 0 < bps <= 10_000 or bps != int(bps):
            shown = number if option == "--share" else text
            raise usage(option, f'"{shown}" is no share: more than 0, at most 100 per cent, two decimals')
        if who in found:
            raise usage(option, f"names {who} a second time")
        found[who] = int(bps)
    return found


def time_s(text: str) -> int:
    """Unix seconds of a date (midnight, UTC) or of the same number. Exit 2."""
    from keeper.cli.endings import usage

    if text.isdecimal():
        return int(text)
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as e:
        raise usage("--until", f'"{text}" is neither a date like 2027-03-01 nor Unix seconds') from e
