"""What is compiled: protocol code from npm, our own contracts, and which sources each of them reaches."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from anvil.tools import HERE, ROOT, ToolMissing

SOLC = "solc-0.8.27"
"""The compiler of Aave v3.6's own build; WASM from npm, the only solc there is without a download site."""

_IMPORT = re.compile(r"""(?:^|;)\s*import\s+(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']""", re.MULTILINE)
_OUTPUT = ("abi", "evm.bytecode.object", "evm.bytecode.linkReferences")
_WITH_RUNTIME = (*_OUTPUT, "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One run of solc: which contracts of which sources, from which folder, with which settings."""

    name: str
    base_dir: Path
    contracts: tuple[tuple[str, str], ...]
    """(source unit, contract name); a source unit is a path under ``base_dir``."""
    remappings: tuple[tuple[str, str], ...] = ()
    evm_version: str = "shanghai"
    runs: int = 200
    optimized: bool = True
    solc: str = SOLC
    outputs: tuple[str, ...] = _OUTPUT

    def standard_json(self) -> dict[str, object]:
        """The whole compiler input, sources included. Raises ToolMissing when a source is not installed."""
        selection: dict[str, dict[str, list[str]]] = {}
        for source, contract in self.contracts:
            selection.setdefault(source, {})[contract] = list(self.outputs)
        return {
            "language": "Solidity",
            "sources": _closure(self),
            "settings": {
                "remappings": [f"{a}={b}" for a, b in self.remappings],
                "optimizer": {"enabled": self.optimized, "runs": self.runs},
                "evmVersion": self.evm_version,
                # without the metadata hash the bytecode is a function of the code alone
                "metadata": {"bytecodeHash": "none"},
                "outputSelection": selection,
            },
        }


def _closure(unit: Unit) -> dict[str, dict[str, str]]:
    """Every source that the unit's contracts reach by import, by solc's own rules for names."""
    found: dict[str, dict[str, str]] = {}
    waiting = [source for source, _ in unit.contracts]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = unit.base_dir / name
        if not path.is_file():
            raise ToolMissing(f"the source {name} is missing under {unit.base_dir}: run `make setup`")
        text = path.read_text(encoding="utf-8")
        found[name] = {"content": text}
        waiting += [_resolve(unit, name, target) for target in _IMPORT.findall(text)]
    return dict(sorted(found.items()))


def _resolve(unit: Unit, importer: str, target: str) -> str:
    if target.startswith("."):
        return posixpath.normpath(posixpath.join(posixpath.dirname(importer), target))
    # solc takes the longest matching prefix
    for prefix, replacement in sorted(unit.remappings, key=lambda r: -len(r[0])):
        if target.startswith(prefix):
            return replacement + target[len(prefix) :]
    return target


_AAVE = "@aave-dao/aave-v3-origin/src/contracts/"
_AAVE_REMAPPINGS = (
    ("openzeppelin-contracts/contracts/", "@openzeppelin/contracts/"),
    ("openzeppelin-contracts-upgradeable/contracts/", "@openzeppelin/contracts-upgradeable/"),
    ("solidity-utils/", "@bgd-labs/solidity-utils/src/"),
)


def _aave(name: str, *contracts: str) -> Unit:
    return Unit(
        name=name,
        base_dir=HERE / "node_modules",
        contracts=tuple((f"{_AAVE}{path}.sol", posixpath.basename(path)) for path in contracts),
        remappings=_AAVE_REMAPPINGS,
    )


AAVE_UNITS = (
    _aave(
        "aave-pool",
        "instances/PoolInstance",
        "protocol/libraries/logic/BorrowLogic",
        "protocol/libraries/logic/FlashLoanLogic",
        "protocol/libraries/logic/LiquidationLogic",
        "protocol/libraries/logic/PoolLogic",
        "protocol/libraries/logic/SupplyLogic",
        "protocol/libraries/helpers/Errors",
    ),
    _aave(
        "aave-rest",
        "instances/PoolConfiguratorInstance",
        "protocol/libraries/logic/ConfiguratorLogic",
        "instances/ATokenInstance",
        "instances/VariableDebtTokenInstance",
        "misc/DefaultReserveInterestRateStrategyV2",
        "misc/AaveOracle",
        "protocol/configuration/PoolAddressesProvider",
        "protocol/configuration/ACLManager",
        "helpers/AaveProtocolDataProvider",
        "mocks/testnet-helpers/TestnetERC20",
        "mocks/WETH9Mock",
    ),
)
"""Two units, so that two cores compile them at once; settings are those of the protocol's own build."""

MORPHO_UNITS = (
    Unit(
        name="morpho-blue",
        base_dir=HERE / "node_modules",
        contracts=(
            ("@morpho-org/morpho-blue/src/Morpho.sol", "Morpho"),
            ("@morpho-org/morpho-blue/src/mocks/OracleMock.sol", "OracleMock"),
        ),
        evm_version="paris",
        solc="solc-0.8.19",
    ),
    Unit(
        name="morpho-irm",
        base_dir=HERE / "node_modules" / "sphere-mezo-solidity-files" / "domains",
        contracts=(("morphoIrm/contracts/AdaptiveCurveIrm.sol", "AdaptiveCurveIrm"),),
    ),
)
"""The real Morpho Blue, without via_ir: slower code, the same rules, a quarter of the compiling; and its adaptive
interest rate model, which the second package carries beside other contracts."""

_SNX = "anvil/node_modules/@synthetixio/"
_SNX_MODULES = (
    "PerpsMarketFactory",
    "AsyncOrder",
    "AsyncOrderSettlementPyth",
    "AsyncOrderCancel",
    "PerpsAccount",
    "PerpsMarket",
    "Liquidation",
    "CollateralConfiguration",
    "MarketConfiguration",
    "GlobalPerpsMarket",
    "FeatureFlag",
)
_CORE = "contracts/mocks/synthetix/"
SYNTHETIX_UNIT = Unit(
    name="synthetix-perps",
    base_dir=ROOT,
    contracts=(
        *((f"{_SNX}perps-market/contracts/modules/{m}Module.sol", f"{m}Module") for m in _SNX_MODULES),
        *(
            (f"{_SNX}perps-market/contracts/mocks/{m}.sol", m)
            for m in ("MockPythERC7412Wrapper", "MockGasPriceNode")
        ),
        (f"{_SNX}oracle-manager/contracts/modules/NodeModule.sol", "NodeModule"),
        *((f"{_CORE}CoreDouble.sol", m) for m in ("CoreDouble", "AccountModuleDouble", "RouterDouble")),
    ),
    remappings=(
        ("@synthetixio/core-contracts/contracts/utils/RevertUtil.sol", f"{_CORE}CoreUtils.sol"),
        ("@synthetixio/core-contracts/contracts/utils/ForkDetector.sol", f"{_CORE}CoreUtils.sol"),
        ("@synthetixio/core-contracts/contracts/utils/ERC2771Context.sol", f"{_CORE}CoreUtils.sol"),
        ("@synthetixio/main/contracts/storage/Account.sol", f"{_CORE}CoreAccount.sol"),
        ("@synthetixio/main/contracts/storage/AccountRBAC.sol", f"{_CORE}CoreAccount.sol"),
        *(
            (f"@synthetixio/main/contracts/interfaces/{name}.sol", f"{_CORE}CoreFaces.sol")
            for name in (
                "IMarketCollateralModule",
                "IVaultModule",
                "IUtilsModule",
                "IMarketManagerModule",
                "ICollateralConfigurationModule",
                "external/IMarket",
                "external/IRewardDistributor",
            )
        ),
        ("@synthetixio/rewards-distributor/src/RewardsDistributor.sol", f"{_CORE}CoreFaces.sol"),
        ("@synthetixio/", _SNX),
    ),
    # a fifth of the compiling; the node that runs it is told to take contracts above 24 kB
    optimized=False,
)
"""The real Synthetix v3 perps market and oracle manager; what is not published of the core system is ours."""

OWN_UNITS = (
    Unit(
        name="own",
        base_dir=ROOT,
        contracts=(("contracts/mocks/PriceFeed.sol", "PriceFeed"),),
    ),
    Unit(
        name="executor",
        base_dir=ROOT,
        contracts=(
            ("contracts/src/AaveV3Executor.sol", "AaveV3Executor"),
            ("contracts/src/CompoundV3Executor.sol", "CompoundV3Executor"),
            ("contracts/src/MorphoBlueExecutor.sol", "MorphoBlueExecutor"),
            ("contracts/src/ExecutorFactory.sol", "ExecutorFactory"),
        ),
        remappings=(("@openzeppelin/", "anvil/node_modules/@openzeppelin/"),),
        # transient storage; without via_ir, whose output nobody reads
        evm_version="cancun",
        outputs=_WITH_RUNTIME,
    ),
    # apart: what another compiler run is told of stands in the artifacts of the three above
    Unit(
        name="maker-executor",
        base_dir=ROOT,
        contracts=(
            ("contracts/src/MakerExecutor.sol", "MakerExecutor"),
            ("contracts/src/MakerBooks.sol", "MakerBooks"),
            ("contracts/src/MakerExecutorFactory.sol", "MakerExecutorFactory"),
        ),
        remappings=(("@openzeppelin/", "anvil/node_modules/@openzeppelin/"),),
        evm_version="cancun",
        outputs=_WITH_RUNTIME,
    ),
    # apart for the same reason
    Unit(
        name="gmx-executor",
        base_dir=ROOT,
        contracts=(
            ("contracts/src/GmxV2Executor.sol", "GmxV2Executor"),
            ("contracts/src/GmxV2ExecutorFactory.sol", "GmxV2ExecutorFactory"),
        ),
        remappings=(("@openzeppelin/", "anvil/node_modules/@openzeppelin/"),),
        evm_version="cancun",
        outputs=_WITH_RUNTIME,
    ),
    Unit(
        name="doubles",
        base_dir=ROOT,
        contracts=tuple(
            (f"contracts/mocks/{source}.sol", contract)
            for source, contracts in (
                ("TokenDouble", ("TokenDouble",)),
                ("CometDouble", ("CometDouble",)),
                ("FeedDoubles", ("BoundedFeedDouble", "CappedRatioDouble")),
                (
                    "MakerDouble",
                    (
                        "VatDouble",
                        "JugDouble",
                        "OsmDouble",
                        "SpotterDouble",
                        "DogDouble",
                        "GemJoinDouble",
                        "DaiJoinDouble",
                        "CdpManagerDouble",
                        "ChainlogDouble",
                        "IlkRegistryDouble",
                        "DsProxyDouble",
                        "ProxyActionsDouble",
                    ),
                ),
            )
            for contract in contracts
        ),
    ),
    Unit(
        name="toxic-token",
        base_dir=ROOT,
        contracts=(("contracts/mocks/ToxicTokenDouble.sol", "ToxicTokenDouble"),),
    ),
    Unit(
        name="governance-doubles",
        base_dir=ROOT,
        contracts=(
            *(
                ("contracts/mocks/TimelockDouble.sol", f"{name}Double")
                for name in ("Timelock", "Payloads", "Pause", "CutPayload")
            ),
            *(
                ("contracts/mocks/AggregatorDouble.sol", f"{name}Double")
                for name in ("Aggregator", "FeedProxy")
            ),
        ),
    ),
    Unit(
        name="gmx-doubles",
        base_dir=ROOT,
        contracts=tuple(
            (f"contracts/mocks/Gmx{source}Double.sol", f"Gmx{contract}Double")
            for source, contracts in (
                ("Data", ("DataStore", "EventEmitter", "Router", "OrderVault", "Wnt")),
                ("Orders", ("OrderHandler",)),
                ("Routers", ("ExchangeRouter", "SubaccountRouter", "OrderReader")),
            )
            for contract in contracts
        ),
    ),
)
"""What is ours and is committed compiled: doubles for feeds and for venues without a package, and what owners
deploy."""
