// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutorErrors} from "./IExecutorErrors.sol";

/// @notice What the owner allows of one position. USD have 30 decimals, as in GMX; ppm is a millionth.
struct PerpTerms {
    /// Unix second after which no bot orders.
    uint40 expiry;
    /// Seconds between two orders.
    uint32 cooldownS;
    /// Length of the epoch of the caps, on a grid from 1970.
    uint32 epochS;
    /// A feed's answer that is older is no price.
    uint32 staleS;
    /// An order that closes may be filled so much worse than the feed says.
    uint16 slippageBps;
    /// Whether all of it may be closed.
    bool mayClose;
    /// Orders are given only while equity is below this share of the size.
    uint32 triggerPpm;
    /// A part is closed only as far as equity stays at or below this share of what is left.
    uint32 maxPpm;
    /// Closed by orders of one epoch, at most; and by one order, at the least.
    uint128 sizeCapUsd;
    uint128 sizeMinUsd;
    /// Margin added by orders of one epoch, at most; and by one order, at the least. Units of the collateral.
    uint128 marginCap;
    uint128 marginMin;
    /// Paid for the execution of one order, at most.
    uint128 feeMax;
}

/// @notice What the Executor remembers and finds of a position, for whoever is about to order.
struct PerpState {
    PerpTerms terms;
    bool paused;
    uint64 seq;
    /// No order before this second.
    uint40 readyAt;
    /// Left of this epoch's caps.
    uint256 sizeLeftUsd;
    uint256 marginLeft;
    /// This Executor's order that waits on GMX; zero when there is none.
    bytes32 order;
    address[3] bots;
    uint40[3] botsUntil;
}

/// @title What bots may do with one owner's positions on GMX v2, as his subaccount.
interface IGmxV2Executor is IExecutorErrors {
    enum Act {
        ADD_MARGIN,
        REDUCE
    }

    event Ordered(
        bytes32 indexed position,
        uint64 indexed seq,
        address indexed bot,
        Act act,
        bytes32 order,
        uint256 amount,
        uint256 acceptablePrice,
        uint256 equityPpm
    );
    event TakenBack(bytes32 indexed position, bytes32 order, address indexed by);
    event Paused(address by);
    event Unpaused();
    event Announced(bytes32 indexed change, uint256 readyAt);
    event GuardianSet(address guardian);
    event BotSet(address indexed bot, uint40 expiry);
    event PositionSet(bytes32 indexed position, address market, address collateral, bool isLong, PerpTerms terms);
    event PositionRemoved(bytes32 indexed position);
    event Rescued(address token, uint256 amount);

    /// @notice The account has no such position, or no longer.
    error PositionClosed(bytes32 position);
    /// @notice An order of this Executor waits on GMX already.
    error OrderWaits(bytes32 order);
    /// @notice Not the order that this Executor gave last on the position.
    error OrderUnknown(bytes32 order);
    /// @notice What is paid for the execution is not what was said, nothing, or more than the owner allows.
    error BadFee(uint256 paid, uint256 said, uint256 feeMax);
    /// @notice The feed's last answer is older than the owner allows.
    error PriceStale(address feed, uint256 updatedAt);
    /// @notice The order could be filled at a price that is worse than the feed's less the owner's slippage.
    error PriceOutOfBound(uint256 acceptablePrice, uint256 bound);
    /// @notice Less than the least that an order may move.
    error TooLittle(uint256 amount, uint256 least);
    /// @notice The whole position would be closed, which the owner does not allow.
    error MayNotClose(bytes32 position);

    // --- bots -----------------------------------------------------------------------------------------------------------

    /// @notice An increase of size nothing: `amount` of the collateral, from the caller's own wallet, becomes margin.
    function addMargin(bytes32 position, uint64 seq, uint256 amount, uint256 executionFee, uint64 deadline)
        external
        payable
        returns (bytes32 order);

    /// @notice A market decrease by `sizeDeltaUsd`; what comes out of it GMX pays to the owner.
    function reduce(
        bytes32 position,
        uint64 seq,
        uint256 sizeDeltaUsd,
        uint256 acceptablePrice,
        uint256 executionFee,
        uint64 deadline
    ) external payable returns (bytes32 order);

    /// @notice Take back the last order given here, once GMX lets it; its money returns to the owner.
    function takeBack(bytes32 position, bytes32 order) external;

    // --- anyone -----------------------------------------------------------------------------------------------------------

    function owner() external view returns (address);
    /// @notice The SubaccountRouter, the DataStore and the OrderVault, fixed at deployment.
    function venue() external view returns (address subaccounts, address dataStore, address orderVault);
    function stateOf(bytes32 position) external view returns (PerpState memory);
    /// @notice The index's price (30 decimals of one smallest unit) and equity in ppm of the size, as orders are judged.
    function priceOf(bytes32 position) external view returns (uint256 price, uint256 equityPpm);
}
