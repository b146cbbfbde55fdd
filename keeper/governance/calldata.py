"""Queued calldata as the change that it makes: Aave's configurators, oracle and roles. Pure.

Source: IPoolConfigurator of aave-v3-origin 3.6 and core-v3 1.19, IAaveOracle, IACLManager; of v2
LendingPoolConfigurator and LendingPoolAddressesProvider of protocol-v2 1.0.1, which shares what is named alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.units import BPS


class Kind(StrEnum):
    """What a call changes."""

    THRESHOLD = "THRESHOLD"
    """Loan-to-value, liquidation threshold and bonus of one asset."""
    LTV_ZERO = "LTV_ZERO"
    FROZEN = "FROZEN"
    PAUSED = "PAUSED"
    ACTIVE = "ACTIVE"
    CAP = "CAP"
    MODE = "MODE"
    """Parameters of an e-mode category."""
    MEMBER = "MEMBER"
    """Whether an asset belongs to an e-mode."""
    PRICE = "PRICE"
    """Who tells an asset's price: the health after it cannot be computed from today's."""
    TERMS = "TERMS"
    """Rates, fees, roles and permissions: no health changes with them at once."""


class Where(StrEnum):
    """Which contract of a market is called."""

    CONFIGURATOR = "CONFIGURATOR"
    ORACLE = "ORACLE"
    ROLES = "ROLES"
    """The manager of roles; of v2 the addresses provider, which names the admins and the oracle itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A contract through which a market is changed."""

    venue: str
    """The venue's id."""
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one market."""

    venue: str
    kind: Kind
    call: str
    """Name of the function."""
    asset: str = ""
    """EIP-55; empty where it is of no single asset."""
    category: int = 0
    """E-mode, 0 for none."""
    label: str = ""
    values: tuple[int, ...] = ()
    """As the kind needs them: (ltv, threshold, bonus) in bps; (0 or 1); (cap in whole tokens)."""

    def text(self, symbols: Mapping[str, str]) -> str:
        """In words; ``symbols``: of token addresses."""
        name = symbols.get(self.asset, self.asset) or (f"e-mode {self.category}" if self.category else "all")
        if self.kind in (Kind.THRESHOLD, Kind.MODE):
            ltv, threshold, bonus = self.values
            what = f'e-mode {self.category} "{self.label}"' if self.kind is Kind.MODE else name
            return (
                f"{what}: liquidation threshold {threshold / 100:.2f} %, loan-to-value {ltv / 100:.2f} %, "
                f"bonus {max(0, bonus - BPS) / 100:.2f} %"
            )
        if self.kind is Kind.MEMBER:
            return f"{name} in e-mode {self.category}: {'yes' if self.values[0] else 'no'} ({self.call})"
        return f"{name}: {self.call}({', '.join(str(v) for v in self.values)})"


_ASSET_FLAG = "(address,bool)"
_MEMBER = "(address,uint8,bool)"
_TABLE: tuple[tuple[Where, Kind, tuple[str, ...]], ...] = (
    (Where.CONFIGURATOR, Kind.THRESHOLD, ("configureReserveAsCollateral(address,uint256,uint256,uint256)",)),
    (Where.CONFIGURATOR, Kind.LTV_ZERO, (f"setReserveLtvzero{_ASSET_FLAG}",)),
    (Where.CONFIGURATOR, Kind.LTV_ZERO, (f"setAssetLtvzeroInEMode{_MEMBER}",)),
    (
        Where.CONFIGURATOR,
        Kind.FROZEN,
        (f"setReserveFreeze{_ASSET_FLAG}", "freezeReserve(address)", "unfreezeReserve(address)"),
    ),
    (
        Where.CONFIGURATOR,
        Kind.ACTIVE,
        (
            f"setReserveActive{_ASSET_FLAG}",
            "dropReserve(address)",
            "activateReserve(address)",
            "deactivateReserve(address)",
        ),
    ),
    (
        Where.CONFIGURATOR,
        Kind.PAUSED,
        (
            f"setReservePause{_ASSET_FLAG}",
            "setReservePause(address,bool,uint40)",
            "setPoolPause(bool)",
            "setPoolPause(bool,uint40)",
        ),
    ),
    (Where.CONFIGURATOR, Kind.CAP, ("setSupplyCap(address,uint256)", "setBorrowCap(address,uint256)")),
    (
        Where.CONFIGURATOR,
        Kind.MODE,
        (
            "setEModeCategory(uint8,uint16,uint16,uint16,string)",
            "setEModeCategory(uint8,uint16,uint16,uint16,address,string)",
        ),
    ),
    (
        Where.CONFIGURATOR,
        Kind.MEMBER,
        (f"setAssetCollateralInEMode{_MEMBER}", "setAssetEModeCategory(address,uint8)"),
    ),
    (
        Where.CONFIGURATOR,
        Kind.TERMS,
        (
            f"setAssetBorrowableInEMode{_MEMBER}",
            f"setReserveBorrowing{_ASSET_FLAG}",
            f"enableBorrowingOnReserve{_ASSET_FLAG}",
            "disableBorrowingOnReserve(address)",
            "enableReserveStableRate(address)",
            "disableReserveStableRate(address)",
            f"setReserveFlashLoaning{_ASSET_FLAG}",
            f"setReserveStableRateBorrowing{_ASSET_FLAG}",
            f"setBorrowableInIsolation{_ASSET_FLAG}",
            f"setSiloedBorrowing{_ASSET_FLAG}",
            "setReserveFactor(address,uint256)",
            "setReserveInterestRateData(address,bytes)",
            "setReserveInterestRateStrategyAddress(address,address)",
            "setLiquidationProtocolFee(address,uint256)",
            "setDebtCeiling(address,uint256)",
            "setUnbackedMintCap(address,uint256)",
            "disableLiquidationGracePeriod(address)",
            "updateFlashloanPremium(uint128)",
            "updateFlashloanPremiumTotal(uint128)",
            "updateFlashloanPremiumToProtocol(uint128)",
        ),
    ),
    (
        Where.ORACLE,
        Kind.PRICE,
        ("setAssetSources(address[],address[])", "setFallbackOracle(address)"),
    ),
    (Where.ROLES, Kind.PRICE, ("setPriceOracle(address)",)),
    (
        Where.ROLES,
        Kind.TERMS,
        (
            "grantRole(bytes32,address)",
            "revokeRole(bytes32,address)",
            "setRoleAdmin(bytes32,bytes32)",
            "setPoolAdmin(address)",
            "setEmergencyAdmin(address)",
            *(
                f"{verb}{role}(address)"
                for verb in ("add", "remove")
                for role in (
                    "PoolAdmin",
                    "EmergencyAdmin",
                    "RiskAdmin",
                    "FlashBorrower",
                    "Bridge",
                    "AssetListingAdmin",
                )
            ),
        ),
    ),
)


_IMPLIED = {
    "freezeReserve": 1,
    "unfreezeReserve": 0,
    "activateReserve": 1,
    "deactivateReserve": 0,
    "dropReserve": 0,
}
"""What a name says where its arguments carry no flag."""


def selector(signature: str) -> bytes:
    """The four bytes that name a function."""
    return keccak(text=signature)[:4]


_BY_SELECTOR = {
    (where, selector(signature)): (kind, signature)
    for where, kind, signatures in _TABLE
    for signature in signatures
}


def change(place: Place, data: bytes) -> Change | str:
    """What one call does to the market of ``place``, or why that cannot be told from its calldata."""
    found = _BY_SELECTOR.get((place.where, data[:4]))
    if found is None:
        return f"calls 0x{data[:4].hex()} of the {place.where.value.lower()}, which is not known"
    kind, signature = found
    name, _, rest = signature.partition("(")
    types = rest[:-1].split(",")
    try:
        values = decode(types, data[4:])
    except (DecodingError, OverflowError, ValueError) as error:
        return f"{name}: its arguments cannot be read ({type(error).__name__})"
    return _read(place, kind, name, types, values)


def _read(place: Place, kind: Kind, name: str, types: list[str], values: tuple[object, ...]) -> Change:
    plain = tuple(int(v) for v, t in zip(values, types, strict=True) if isinstance(v, int) and t[0] in "ub")
    if kind is Kind.MODE:
        label = str(values[-1])
        return Change(
            venue=place.venue, kind=kind, call=name, category=plain[0], label=label, values=plain[1:4]
        )
    asset = ""
    if types and types[0] == "address" and place.where is not Where.ROLES:
        asset = str(to_checksum_address(str(values[0])))
    if kind in (Kind.MEMBER, Kind.LTV_ZERO) and "uint8" in types:
        flags = plain[1:] or (1,)
        return Change(venue=place.venue, kind=kind, call=name, asset=asset, category=plain[0], values=flags)
    if name in _IMPLIED:
        plain = (_IMPLIED[name],)
    return Change(venue=place.venue, kind=kind, call=name, asset=asset, values=plain)
