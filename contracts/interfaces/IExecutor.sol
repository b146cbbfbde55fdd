// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutorErrors} from "./IExecutorErrors.sol";

/// @notice What a token is in a position.
enum Side {
    COLLATERAL,
    DEBT
}

/// @notice Where the money comes from until the collateral is sold.
enum Source {
    /// Nowhere: free collateral is sold piece by piece. Needs a router.
    STEPWISE,
    /// The pool that buys the collateral pays first. No fee of its own; needs no router.
    UNISWAP_V3_SWAP,
    /// `flash` of another Uniswap v3 pool, for that pool's fee.
    UNISWAP_V3_FLASH,
    /// `flashLoanSimple` of Aave v3.
    AAVE_V3,
    /// `flashLoan` of Morpho Blue, free.
    MORPHO_BLUE,
    /// `flashLoan` of a Balancer v2 vault.
    BALANCER
}

/// @notice What was done, in `Acted`. Paid in: supplied where the collateral is named, repaid where the debt is.
enum Act {
    DELEVERAGE,
    PAY_IN
}

/// @notice Where money may be borrowed and swapped on this chain; zero where there is none.
struct Venues {
    address aaveV3Pool;
    address morphoBlue;
    address uniswapV3Factory;
    /// Of the pools' creation code: a pool's address follows from it and needs no asking.
    bytes32 uniswapV3PoolHash;
    address balancerVault;
}

/// @notice What the owner allows for one position, and where it stands. Two slots. Health numbers are wad, on the
/// liquidation threshold.
struct Position {
    /// Below it, strictly, bots may act. 0: not configured.
    uint64 trigger;
    /// What an action must reach.
    uint64 target;
    /// What no action may pass while debt is left.
    uint64 max;
    /// Below it, strictly, a partial is allowed and the cooldown is one block.
    uint64 emergency;
    /// The least useful improvement from the owner's own means between emergency and trigger.
    uint64 hysteresis;
    /// Blocks between two actions, by the number that the chain's BLOCKNUMBER returns.
    uint24 cooldownBlocks;
    /// Length of the epoch in which the caps count, in seconds.
    uint24 epochS;
    /// Unix seconds after which no bot acts.
    uint40 expiry;
    /// The most that a swap may cost against the protocol's oracle.
    uint16 slippageBps;
    /// The most that a flash loan may cost.
    uint8 flashFeeBps;
    /// The number the next action must carry. Never goes back; what the owner gives here is ignored.
    uint40 seq;
    /// Block of the last action, or of the first configuration; what the owner gives here is ignored.
    uint40 lastBlock;
}

/// @notice What was moved in the epoch of that number, in units of the token.
struct Spent {
    uint112 sold;
    uint112 funded;
    uint32 epoch;
}

/// @notice One token of one position.
struct Asset {
    /// The protocol's own token for it (aToken, variable debt token), the token itself where there is none; zero where
    /// the asset is not listed.
    address receipt;
    /// Smallest units in one whole token.
    uint88 unit;
    /// Units that may be sold an epoch.
    uint112 sellCap;
    /// Units that may be paid in from reserve and wallet an epoch.
    uint112 fundCap;
    Spent spent;
}

struct Bot {
    /// Its share of every cap; 0 is no bot, 10000 the whole.
    uint16 shareBps;
    uint40 expiry;
}

/// @notice A bot's whole request to sell collateral and repay debt.
struct Order {
    bytes32 position;
    uint64 seq;
    /// Unix seconds: the last in which the order is worth anything.
    uint64 deadline;
    address collateral;
    address debt;
    /// Debt units to repay; 2**256 - 1 means all. Ignored when STEPWISE.
    uint256 repay;
    /// The most collateral units that may leave the position. With a router: what is taken, the rest given back.
    uint256 sellMax;
    Source source;
    /// UNISWAP_V3_FLASH: the lending pool's other token, and its fee.
    address sourceToken;
    uint24 sourceFee;
    /// An allow-listed router; zero: the Uniswap v3 pool of the two tokens with `swapFee`.
    address router;
    uint24 swapFee;
    /// STEPWISE: collateral units of each step.
    uint256[] sells;
    /// Calldata for the router: one, or one for each step; none for the pool.
    bytes[] data;
}

/// @title An owner's Executor: what three bots may do with the owner's positions, and nothing else.
/// @notice Immutable, no proxy, no delegatecall, no call that a caller composes except to allow-listed routers.
interface IExecutor is IExecutorErrors {
    event Acted(
        bytes32 indexed position,
        uint256 indexed seq,
        address indexed bot,
        Act act,
        address collateral,
        address debt,
        uint256 collateralUnits,
        uint256 debtUnits,
        uint256 healthBefore,
        uint256 healthAfter,
        uint256 priceCollateral,
        uint256 priceDebt
    );
    event Paused(address by);
    event Unpaused();
    event Announced(bytes32 indexed change, uint256 readyAt);
    event GuardianSet(address guardian);
    event BotSet(address indexed bot, uint16 shareBps, uint40 expiry);
    event RouterSet(address indexed router, bool allowed);
    event PositionSet(bytes32 indexed position, Position terms);
    event PositionRemoved(bytes32 indexed position);
    event AssetSet(bytes32 indexed position, address indexed token, Side side, uint112 sellCap, uint112 fundCap);
    event AssetRemoved(bytes32 indexed position, address indexed token, Side side);
    event Rescued(address indexed token, uint256 amount);

    // --- bots -----------------------------------------------------------------------------------------------------------

    /// @notice Sell collateral and repay debt in one transaction.
    function deleverage(Order calldata order) external;

    /// @notice Supply `amount` of a listed collateral from the reserve here, then from the owner's wallet.
    function addCollateral(bytes32 position, uint64 seq, address token, uint256 amount, uint64 deadline) external;

    /// @notice Repay `amount` of a listed debt, at most what is owed, from the reserve here, then the owner's wallet.
    function repayFromReserve(bytes32 position, uint64 seq, address token, uint256 amount, uint64 deadline) external;

    // --- guardian ---------------------------------------------------------------------------------------------------------

    /// @notice Stop all bots; owner or guardian.
    function pause() external;

    // --- owner ------------------------------------------------------------------------------------------------------------

    function unpause() external;

    /// @notice Say a day before what will be loosened: the keccak256 of the whole calldata of that call.
    function announce(bytes32 change) external;

    function setGuardian(address guardian) external;

    function setBot(address bot, uint16 shareBps, uint40 expiry) external;

    function setRouter(address router, bool allowed) external;

    /// @notice `position` is the pool's address for an AaveV3Executor, the market's id for a MorphoBlueExecutor, and the
    /// market's address for a CompoundV3Executor.
    function setPosition(bytes32 position, Position calldata terms) external;

    function removePosition(bytes32 position) external;

    function setAsset(bytes32 position, address token, Side side, uint112 sellCap, uint112 fundCap) external;

    function removeAsset(bytes32 position, address token, Side side) external;

    /// @notice Send tokens held here to the owner.
    function rescue(address token, uint256 amount) external;

    // --- anyone -----------------------------------------------------------------------------------------------------------

    function owner() external view returns (address);
    function guardian() external view returns (address);
    function paused() external view returns (bool);
    function venues() external view returns (Venues memory);
    function setupUntil() external view returns (uint256);
    function positionOf(bytes32 position) external view returns (Position memory);
    function assetOf(bytes32 position, address token, Side side) external view returns (Asset memory);
    function botOf(address bot) external view returns (Bot memory);
    function botSpent(bytes32 position, address token, Side side, address bot) external view returns (Spent memory);
    function routerAllowed(address router) external view returns (bool);
    function readyAt(bytes32 change) external view returns (uint256);
}
