// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Doubles of GMX v2's order flow for local test chains only: the handler that a fake keeper drives, liquidation by it,
// and the two routers by which owners and their subaccounts ask. Own code, written from the published interfaces.

import {
    AddressItem,
    Bytes32Item,
    BytesItem,
    EventLogData,
    GmxDataStoreDouble,
    GmxEventEmitterDouble,
    GmxOrderVaultDouble,
    GmxRouterDouble,
    GmxWntDouble,
    BoolItem,
    IntItem,
    Keys,
    Market,
    Position,
    PositionAddresses,
    Price,
    Prices,
    StringItem,
    UintItem
} from "./GmxDataDouble.sol";
import {GmxMarketMath, GmxMath, GmxReaderDouble, LiquidationInfo} from "./GmxReaderDouble.sol";
import {TokenDouble} from "./TokenDouble.sol";

struct CreateOrderAddresses {
    address receiver;
    address cancellationReceiver;
    address callbackContract;
    address uiFeeReceiver;
    address market;
    address initialCollateralToken;
    address[] swapPath;
}

struct CreateOrderNumbers {
    uint256 sizeDeltaUsd;
    uint256 initialCollateralDeltaAmount;
    uint256 triggerPrice;
    uint256 acceptablePrice;
    uint256 executionFee;
    uint256 callbackGasLimit;
    uint256 minOutputAmount;
    uint256 validFromTime;
}

struct CreateOrderParams {
    CreateOrderAddresses addresses;
    CreateOrderNumbers numbers;
    uint8 orderType;
    uint8 decreasePositionSwapType;
    bool isLong;
    bool shouldUnwrapNativeToken;
    bool autoCancel;
    bytes32 referralCode;
    bytes32[] dataList;
}

struct OrderAddresses {
    address account;
    address receiver;
    address cancellationReceiver;
    address callbackContract;
    address uiFeeReceiver;
    address market;
    address initialCollateralToken;
    address[] swapPath;
}

struct OrderNumbers {
    uint8 orderType;
    uint8 decreasePositionSwapType;
    uint256 sizeDeltaUsd;
    uint256 initialCollateralDeltaAmount;
    uint256 triggerPrice;
    uint256 acceptablePrice;
    uint256 executionFee;
    uint256 callbackGasLimit;
    uint256 minOutputAmount;
    uint256 updatedAtTime;
    uint256 validFromTime;
    uint256 srcChainId;
}

struct OrderFlags {
    bool isLong;
    bool shouldUnwrapNativeToken;
    bool isFrozen;
    bool autoCancel;
}

struct Order {
    OrderAddresses addresses;
    OrderNumbers numbers;
    OrderFlags flags;
    bytes32[] _dataList;
}

struct OrderInfo {
    bytes32 orderKey;
    Order order;
}

uint8 constant MARKET_INCREASE = 2;
uint8 constant MARKET_DECREASE = 4;
uint8 constant STOP_LOSS_DECREASE = 6;
uint8 constant LIQUIDATION = 7;

/// @title Creates, executes, cancels and freezes orders; whoever calls ``execute...`` plays GMX's keeper.
contract GmxOrderHandlerDouble {
    using GmxMath for uint256;

    error DisabledMarket(address market);
    error EmptyMarket();
    error EmptyOrder();
    error EmptyPosition();
    error EmptySizeDeltaInTokens();
    error InsufficientCollateralAmount(uint256 collateralAmount, int256 collateralDeltaAmount);
    error InsufficientCollateralUsd(int256 remainingCollateralUsd);
    error InsufficientExecutionFee(uint256 minExecutionFee, uint256 executionFee);
    error InsufficientFundsToPayForCosts(uint256 remainingCostUsd, string step);
    error InsufficientWntAmountForExecutionFee(uint256 wntAmount, uint256 executionFee);
    error InvalidDecreaseOrderSize(uint256 sizeDeltaUsd, uint256 positionSizeInUsd);
    error InvalidOrderPrices(uint256 min, uint256 max, uint256 triggerPrice, uint256 orderType);
    error LiquidatablePosition(
        string reason,
        int256 remainingCollateralUsd,
        int256 minCollateralUsd,
        int256 minCollateralUsdForLeverage
    );
    error OrderNotFulfillableAtAcceptablePrice(uint256 price, uint256 acceptablePrice);
    error PositionShouldNotBeLiquidated(string reason, int256 remaining, int256 minUsd, int256 minForLeverage);
    error RequestNotYetCancellable(uint256 requestAge, uint256 requestExpirationAge, string requestType);
    error UnsupportedOrderType(uint256 orderType);

    GmxDataStoreDouble public immutable dataStore;
    GmxReaderDouble public immutable reader;
    GmxEventEmitterDouble public immutable eventEmitter;
    GmxOrderVaultDouble public immutable orderVault;
    GmxWntDouble public immutable wnt;
    uint256 private _count;
    mapping(bytes32 key => Order) private _orders;

    constructor(address store, address reader_, address emitter, address payable vault, address payable wnt_) {
        dataStore = GmxDataStoreDouble(store);
        reader = GmxReaderDouble(reader_);
        eventEmitter = GmxEventEmitterDouble(emitter);
        orderVault = GmxOrderVaultDouble(vault);
        wnt = GmxWntDouble(wnt_);
    }

    function getOrder(bytes32 key) public view returns (Order memory) {
        return _orders[key];
    }

    function minExecutionFee(uint8 orderType, uint256 callbackGas) public view returns (uint256) {
        string memory limit = orderType == MARKET_INCREASE ? "INCREASE_ORDER_GAS_LIMIT" : "DECREASE_ORDER_GAS_LIMIT";
        uint256 gas = dataStore.getUint(Keys.name("ESTIMATED_GAS_FEE_BASE_AMOUNT_V2_1")) +
            3 *
            dataStore.getUint(Keys.name("ESTIMATED_GAS_FEE_PER_ORACLE_PRICE")) +
            (dataStore.getUint(Keys.name(limit)) + callbackGas).applied(
                dataStore.getUint(Keys.name("ESTIMATED_GAS_FEE_MULTIPLIER_FACTOR"))
            );
        return gas * tx.gasprice;
    }

    function createOrder(address account, CreateOrderParams calldata p) external returns (bytes32 key) {
        Market memory m = reader.getMarket(dataStore, p.addresses.market);
        if (m.marketToken == address(0)) revert EmptyMarket();
        if (dataStore.getBool(Keys.at("IS_MARKET_DISABLED", m.marketToken))) revert DisabledMarket(m.marketToken);
        bool increases = p.orderType == MARKET_INCREASE;
        if (!increases && p.orderType != MARKET_DECREASE && p.orderType != STOP_LOSS_DECREASE) {
            revert UnsupportedOrderType(p.orderType);
        }
        uint256 came = p.numbers.initialCollateralDeltaAmount;
        uint256 fee = p.numbers.executionFee;
        if (increases) came = orderVault.recordTransferIn(p.addresses.initialCollateralToken);
        if (increases && p.addresses.initialCollateralToken == address(wnt)) {
            if (came < fee) revert InsufficientWntAmountForExecutionFee(came, fee);
            came -= fee;
        } else {
            uint256 paid = orderVault.recordTransferIn(address(wnt));
            if (paid < fee) revert InsufficientWntAmountForExecutionFee(paid, fee);
            fee = paid;
        }
        uint256 least = minExecutionFee(p.orderType, p.numbers.callbackGasLimit);
        if (fee < least) revert InsufficientExecutionFee(least, fee);
        _count += 1;
        key = keccak256(abi.encode(address(dataStore), _count));
        _store(key, account, p);
        _orders[key].numbers.initialCollateralDeltaAmount = came;
        _orders[key].numbers.executionFee = fee;
        dataStore.addBytes32(Keys.name("ORDER_LIST"), key);
        dataStore.addBytes32(Keys.at("ACCOUNT_ORDER_LIST", account), key);
        _tell("OrderCreated", key, account, "", "");
    }

    function _store(bytes32 key, address account, CreateOrderParams calldata p) private {
        Order storage o = _orders[key];
        o.addresses.account = account;
        o.addresses.receiver = p.addresses.receiver;
        o.addresses.cancellationReceiver = p.addresses.cancellationReceiver;
        o.addresses.callbackContract = p.addresses.callbackContract;
        o.addresses.uiFeeReceiver = p.addresses.uiFeeReceiver;
        o.addresses.market = p.addresses.market;
        o.addresses.initialCollateralToken = p.addresses.initialCollateralToken;
        o.addresses.swapPath = p.addresses.swapPath;
        o.numbers.orderType = p.orderType;
        o.numbers.decreasePositionSwapType = p.decreasePositionSwapType;
        o.numbers.sizeDeltaUsd = p.numbers.sizeDeltaUsd;
        o.numbers.triggerPrice = p.numbers.triggerPrice;
        o.numbers.acceptablePrice = p.numbers.acceptablePrice;
        o.numbers.callbackGasLimit = p.numbers.callbackGasLimit;
        o.numbers.minOutputAmount = p.numbers.minOutputAmount;
        o.numbers.updatedAtTime = block.timestamp;
        o.numbers.validFromTime = p.numbers.validFromTime;
        o.flags.isLong = p.isLong;
        o.flags.shouldUnwrapNativeToken = p.shouldUnwrapNativeToken;
        o.flags.autoCancel = p.autoCancel;
    }

    function updateOrder(bytes32 key, uint256[3] calldata numbers, bool autoCancel) external {
        Order storage o = _live(key);
        if (o.numbers.orderType != STOP_LOSS_DECREASE) revert UnsupportedOrderType(o.numbers.orderType);
        o.numbers.sizeDeltaUsd = numbers[0];
        o.numbers.acceptablePrice = numbers[1];
        o.numbers.triggerPrice = numbers[2];
        o.numbers.updatedAtTime = block.timestamp;
        o.flags.isFrozen = false;
        o.flags.autoCancel = autoCancel;
        _tell("OrderUpdated", key, o.addresses.account, "", "");
    }

    /// @dev By the routers, for the account; a market order only when its time is over.
    function cancelOrder(bytes32 key) external {
        Order storage o = _live(key);
        if (o.numbers.orderType != STOP_LOSS_DECREASE) {
            uint256 age = block.timestamp - o.numbers.updatedAtTime;
            uint256 least = dataStore.getUint(Keys.name("REQUEST_EXPIRATION_TIME"));
            if (age < least) revert RequestNotYetCancellable(age, least, "Order");
        }
        _cancel(key, "USER_INITIATED_CANCEL", "", o.addresses.account);
    }

    /// @notice The fake keeper's: an order that fails is cancelled, one that waits for its price is frozen.
    function executeOrder(bytes32 key, Prices calldata prices) external {
        Order storage o = _live(key);
        if (o.numbers.orderType == STOP_LOSS_DECREASE) _triggered(o, prices);
        try this.perform(key, prices) {
            address account = o.addresses.account;
            uint256 fee = o.numbers.executionFee;
            _forget(key, account);
            _tell("OrderExecuted", key, account, "", "");
            _payFee(fee, account, msg.sender);
        } catch (bytes memory why) {
            bool rests = o.numbers.orderType == STOP_LOSS_DECREASE && bytes4(why) != EmptyPosition.selector;
            if (!rests) {
                _cancel(key, "", why, msg.sender);
                return;
            }
            o.flags.isFrozen = true;
            _tell("OrderFrozen", key, o.addresses.account, "", why);
        }
    }

    function perform(bytes32 key, Prices calldata prices) external {
        require(msg.sender == address(this), "self only");
        Order memory o = _orders[key];
        Market memory m = reader.getMarket(dataStore, o.addresses.market);
        if (dataStore.getBool(Keys.at("IS_MARKET_DISABLED", m.marketToken))) revert DisabledMarket(m.marketToken);
        _accrue(m, prices);
        if (o.numbers.orderType == MARKET_INCREASE) _increase(key, o, m, prices);
        else _decrease(key, o, m, prices);
    }

    /// @notice The fake liquidation keeper's.
    function executeLiquidation(
        address account,
        address market,
        address collateralToken,
        bool isLong,
        Prices calldata prices
    ) external {
        Market memory m = reader.getMarket(dataStore, market);
        _accrue(m, prices);
        bytes32 id = Keys.position(account, market, collateralToken, isLong);
        Position memory p = reader.getPosition(dataStore, id);
        if (p.addresses.account == address(0)) revert EmptyPosition();
        (bool dead, string memory why, LiquidationInfo memory info) = reader.judge(
            dataStore,
            p,
            m,
            prices,
            [true, true]
        );
        if (!dead) {
            revert PositionShouldNotBeLiquidated(
                why,
                info.remainingCollateralUsd,
                info.minCollateralUsd,
                info.minCollateralUsdForLeverage
            );
        }
        uint256 out = _settle(id, p, m, prices, [p.numbers.sizeInUsd, 0, LIQUIDATION]);
        _tellPosition("PositionDecrease", bytes32(0), p, LIQUIDATION, 0);
        if (out > 0) TokenDouble(collateralToken).transfer(account, out);
    }

    /// @notice Anyone may bring a market's accumulators up to date in the double.
    function accrue(address market, Prices calldata prices) external {
        _accrue(reader.getMarket(dataStore, market), prices);
    }

    function _live(bytes32 key) private view returns (Order storage o) {
        o = _orders[key];
        if (o.addresses.account == address(0)) revert EmptyOrder();
    }

    function _triggered(Order storage o, Prices calldata prices) private view {
        Price memory index = prices.indexTokenPrice;
        bool met = o.flags.isLong ? index.max <= o.numbers.triggerPrice : index.min >= o.numbers.triggerPrice;
        if (!met) revert InvalidOrderPrices(index.min, index.max, o.numbers.triggerPrice, o.numbers.orderType);
    }

    function _forget(bytes32 key, address account) private {
        delete _orders[key];
        dataStore.removeBytes32(Keys.name("ORDER_LIST"), key);
        dataStore.removeBytes32(Keys.at("ACCOUNT_ORDER_LIST", account), key);
    }

    function _cancel(bytes32 key, string memory reason, bytes memory why, address executor) private {
        Order memory o = _orders[key];
        _forget(key, o.addresses.account);
        address to = o.addresses.cancellationReceiver;
        if (to == address(0)) to = o.addresses.account;
        uint256 units = o.numbers.initialCollateralDeltaAmount;
        if (o.numbers.orderType == MARKET_INCREASE && units > 0) {
            orderVault.transferOut(o.addresses.initialCollateralToken, to, units);
        }
        _tell("OrderCancelled", key, o.addresses.account, reason, why);
        _payFee(o.numbers.executionFee, o.addresses.account, executor);
    }

    /// @dev What the execution costs goes to whoever executed, the rest back.
    function _payFee(uint256 fee, address account, address executor) private {
        uint256 cost = minExecutionFee(MARKET_DECREASE, 0);
        if (cost > fee) cost = fee;
        if (cost > 0) orderVault.transferOutNative(address(wnt), executor, cost);
        if (fee > cost) orderVault.transferOutNative(address(wnt), account, fee - cost);
    }

    function _accrue(Market memory m, Prices memory prices) private {
        bytes32 at = Keys.at("FUNDING_UPDATED_AT", m.marketToken);
        uint256[4] memory deltas;
        for (uint256 i = 0; i < 4; i++) {
            deltas[i] = GmxMarketMath.fundingDelta(dataStore, m, prices, i < 2, i % 2 == 0);
        }
        (, , int256 saved) = GmxMarketMath.fundingPerSecond(dataStore, m, prices, GmxMarketMath.since(dataStore, at));
        for (uint256 i = 0; i < 4; i++) {
            address token = i % 2 == 0 ? m.longToken : m.shortToken;
            dataStore.incrementUint(
                Keys.at("FUNDING_FEE_AMOUNT_PER_SIZE", m.marketToken, token, i < 2),
                deltas[i]
            );
        }
        dataStore.setInt(Keys.at("SAVED_FUNDING_FACTOR_PER_SECOND", m.marketToken), saved);
        dataStore.setUint(at, block.timestamp);
        for (uint256 i = 0; i < 2; i++) {
            bytes32 when = Keys.at("CUMULATIVE_BORROWING_FACTOR_UPDATED_AT", m.marketToken, i == 0);
            uint256 rate = GmxMarketMath.borrowingPerSecond(dataStore, m, prices, i == 0);
            dataStore.incrementUint(
                Keys.at("CUMULATIVE_BORROWING_FACTOR", m.marketToken, i == 0),
                rate * GmxMarketMath.since(dataStore, when)
            );
            dataStore.setUint(when, block.timestamp);
        }
    }

    function _increase(bytes32 key, Order memory o, Market memory m, Prices memory prices) private {
        address token = o.addresses.initialCollateralToken;
        bytes32 id = Keys.position(o.addresses.account, m.marketToken, token, o.flags.isLong);
        Position memory p = reader.getPosition(dataStore, id);
        uint256 size = o.numbers.sizeDeltaUsd;
        if (p.addresses.account == address(0)) {
            if (size == 0) revert EmptyPosition();
            p.addresses = PositionAddresses(o.addresses.account, m.marketToken, token);
            p.flags.isLong = o.flags.isLong;
            _uptodate(p);
        }
        uint256 units = o.numbers.initialCollateralDeltaAmount;
        if (units > 0) orderVault.transferOut(token, address(this), units);
        if (size > 0) _acceptable(o, prices, p.flags.isLong ? prices.indexTokenPrice.max : prices.indexTokenPrice.min);
        _charge(p, m, prices, [units, size]);
        uint256 tokens = _tokensFor(p.flags.isLong, size, prices);
        p.numbers.sizeInUsd += size;
        p.numbers.sizeInTokens += tokens;
        p.numbers.increasedAtTime = block.timestamp;
        _uptodate(p);
        _interest(p, int256(size), int256(tokens));
        _save(id, p);
        _judge(p, m, prices, [true, size == 0]);
        _tellPosition("PositionIncrease", key, p, o.numbers.orderType, size);
    }

    /// @param what collateral that came, size to open
    function _charge(Position memory p, Market memory m, Prices memory prices, uint256[2] memory what) private view {
        uint256 price = reader.collateralPrice(p, m, prices).min;
        uint256 costs = reader.positionFee(dataStore, p, false, what[1]) / price;
        costs += reader.borrowed(dataStore, p, m, prices, false) / price;
        costs += reader.funded(dataStore, p, m, prices, false);
        uint256 before = p.numbers.collateralAmount;
        if (before + what[0] < costs) revert InsufficientCollateralAmount(before, int256(what[0]) - int256(costs));
        p.numbers.collateralAmount = before + what[0] - costs;
    }

    function _tokensFor(bool long, uint256 size, Prices memory prices) private pure returns (uint256 tokens) {
        if (size == 0) return 0;
        Price memory index = prices.indexTokenPrice;
        tokens = long ? size / index.max : (size + index.min - 1) / index.min;
        if (tokens == 0) revert EmptySizeDeltaInTokens();
    }

    function _decrease(bytes32 key, Order memory o, Market memory m, Prices memory prices) private {
        address token = o.addresses.initialCollateralToken;
        bytes32 id = Keys.position(o.addresses.account, m.marketToken, token, o.flags.isLong);
        Position memory p = reader.getPosition(dataStore, id);
        if (p.addresses.account == address(0)) revert EmptyPosition();
        uint256 size = o.numbers.sizeDeltaUsd;
        if (size > p.numbers.sizeInUsd) {
            if (o.numbers.orderType == MARKET_DECREASE) revert InvalidDecreaseOrderSize(size, p.numbers.sizeInUsd);
            size = p.numbers.sizeInUsd;
        }
        _acceptable(o, prices, p.flags.isLong ? prices.indexTokenPrice.min : prices.indexTokenPrice.max);
        // what would be left is not worth keeping: all of it is closed
        if (_nothingLeft(p, m, prices, size)) size = p.numbers.sizeInUsd;
        uint256 out = _settle(id, p, m, prices, [size, o.numbers.initialCollateralDeltaAmount, o.numbers.orderType]);
        _tellPosition("PositionDecrease", key, p, o.numbers.orderType, size);
        if (p.numbers.sizeInUsd > 0) _judge(p, m, prices, [false, false]);
        if (out > 0) TokenDouble(token).transfer(o.addresses.receiver, out);
    }

    function _acceptable(Order memory o, Prices memory, uint256 price) private pure {
        bool increases = o.numbers.orderType == MARKET_INCREASE;
        bool atMost = o.flags.isLong == increases;
        uint256 bound = o.numbers.acceptablePrice;
        if (atMost ? price > bound : price < bound) revert OrderNotFulfillableAtAcceptablePrice(price, bound);
    }

    function _nothingLeft(
        Position memory p,
        Market memory m,
        Prices memory prices,
        uint256 size
    ) private view returns (bool) {
        if (size >= p.numbers.sizeInUsd) return true;
        if (p.numbers.sizeInUsd - size < dataStore.getUint(Keys.name("MIN_POSITION_SIZE_USD"))) return true;
        (int256 won, ) = reader.pnl(dataStore, p, m, prices);
        int256 rest = int256(p.numbers.collateralAmount * reader.collateralPrice(p, m, prices).min) + won;
        return rest < int256(dataStore.getUint(Keys.name("MIN_COLLATERAL_USD")));
    }

    /// @param what size, collateral to take out, kind of order
    function _settle(
        bytes32 id,
        Position memory p,
        Market memory m,
        Prices memory prices,
        uint256[3] memory what
    ) private returns (uint256 out) {
        uint256 tokens = _tokensOf(p, what[0]);
        uint256 price = reader.collateralPrice(p, m, prices).min;
        int256 left = int256(p.numbers.collateralAmount) - int256(_costs(p, m, prices, what, price));
        (int256 won, ) = reader.pnl(dataStore, p, m, prices);
        won = (won * int256(tokens)) / int256(p.numbers.sizeInTokens);
        if (won < 0) left -= (-won + int256(price) - 1) / int256(price);
        else out = uint256(won) / price;
        if (left < 0) {
            if (what[2] != LIQUIDATION) revert InsufficientFundsToPayForCosts(uint256(-left) * price, "costs");
            left = 0;
        }
        _interest(p, -int256(what[0]), -int256(tokens));
        p.numbers.pendingImpactAmount -=
            (p.numbers.pendingImpactAmount * int256(what[0])) /
            int256(p.numbers.sizeInUsd);
        p.numbers.sizeInUsd -= what[0];
        p.numbers.sizeInTokens -= tokens;
        p.numbers.decreasedAtTime = block.timestamp;
        if (p.numbers.sizeInUsd == 0) {
            p.numbers.collateralAmount = 0;
            _drop(id, p);
            return out + uint256(left);
        }
        if (uint256(left) < what[1]) revert InsufficientCollateralAmount(uint256(left), -int256(what[1]));
        p.numbers.collateralAmount = uint256(left) - what[1];
        out += what[1];
        _uptodate(p);
        _save(id, p);
    }

    function _tokensOf(Position memory p, uint256 size) private pure returns (uint256) {
        if (size == p.numbers.sizeInUsd) return p.numbers.sizeInTokens;
        if (p.flags.isLong) return p.numbers.sizeInTokens.mulDivUp(size, p.numbers.sizeInUsd);
        return p.numbers.sizeInTokens.mulDiv(size, p.numbers.sizeInUsd);
    }

    /// @dev In collateral tokens: the fee of what is closed, its impact where that costs, borrowing and funding of all.
    function _costs(
        Position memory p,
        Market memory m,
        Prices memory prices,
        uint256[3] memory what,
        uint256 price
    ) private view returns (uint256 costs) {
        uint256[2] memory kept = [p.numbers.sizeInUsd, p.numbers.sizeInTokens];
        p.numbers.sizeInTokens = _tokensOf(p, what[0]);
        p.numbers.sizeInUsd = what[0];
        (int256 impact, bool improved) = reader.impactOfClosing(dataStore, p, m, prices);
        (p.numbers.sizeInUsd, p.numbers.sizeInTokens) = (kept[0], kept[1]);
        costs = reader.positionFee(dataStore, p, improved, what[0]) / price;
        costs += reader.borrowed(dataStore, p, m, prices, false) / price;
        costs += reader.funded(dataStore, p, m, prices, false);
        if (what[2] == LIQUIDATION) {
            bytes32 key = Keys.at("LIQUIDATION_FEE_FACTOR", m.marketToken);
            return costs + what[0].applied(dataStore.getUint(key)) / price;
        }
        bytes32 most = Keys.at("MAX_POSITION_IMPACT_FACTOR", m.marketToken, false);
        int256 floor = -int256(what[0].applied(dataStore.getUint(most)));
        if (impact < floor) impact = floor;
        if (impact < 0) costs += (uint256(-impact) + price - 1) / price;
    }

    function _judge(Position memory p, Market memory m, Prices memory prices, bool[2] memory how) private view {
        (bool dead, string memory why, LiquidationInfo memory info) = reader.judge(dataStore, p, m, prices, how);
        if (!dead) return;
        revert LiquidatablePosition(
            why,
            info.remainingCollateralUsd,
            info.minCollateralUsd,
            info.minCollateralUsdForLeverage
        );
    }

    function _interest(Position memory p, int256 usd, int256 tokens) private {
        PositionAddresses memory a = p.addresses;
        bytes32 key = Keys.at("OPEN_INTEREST", a.market, a.collateralToken, p.flags.isLong);
        dataStore.setUint(key, uint256(int256(dataStore.getUint(key)) + usd));
        key = Keys.at("OPEN_INTEREST_IN_TOKENS", a.market, a.collateralToken, p.flags.isLong);
        dataStore.setUint(key, uint256(int256(dataStore.getUint(key)) + tokens));
    }

    function _uptodate(Position memory p) private view {
        PositionAddresses memory a = p.addresses;
        bool long = p.flags.isLong;
        p.numbers.borrowingFactor = dataStore.getUint(Keys.at("CUMULATIVE_BORROWING_FACTOR", a.market, long));
        p.numbers.fundingFeeAmountPerSize = dataStore.getUint(
            Keys.at("FUNDING_FEE_AMOUNT_PER_SIZE", a.market, a.collateralToken, long)
        );
    }

    function _save(bytes32 id, Position memory p) private {
        GmxDataStoreDouble s = dataStore;
        s.addBytes32(Keys.name("POSITION_LIST"), id);
        s.addBytes32(Keys.at("ACCOUNT_POSITION_LIST", p.addresses.account), id);
        s.setAddress(Keys.field(id, "ACCOUNT"), p.addresses.account);
        s.setAddress(Keys.field(id, "MARKET"), p.addresses.market);
        s.setAddress(Keys.field(id, "COLLATERAL_TOKEN"), p.addresses.collateralToken);
        s.setUint(Keys.field(id, "SIZE_IN_USD"), p.numbers.sizeInUsd);
        s.setUint(Keys.field(id, "SIZE_IN_TOKENS"), p.numbers.sizeInTokens);
        s.setUint(Keys.field(id, "COLLATERAL_AMOUNT"), p.numbers.collateralAmount);
        s.setInt(Keys.field(id, "PENDING_IMPACT_AMOUNT"), p.numbers.pendingImpactAmount);
        s.setUint(Keys.field(id, "BORROWING_FACTOR"), p.numbers.borrowingFactor);
        s.setUint(Keys.field(id, "FUNDING_FEE_AMOUNT_PER_SIZE"), p.numbers.fundingFeeAmountPerSize);
        s.setUint(Keys.field(id, "INCREASED_AT_TIME"), p.numbers.increasedAtTime);
        s.setUint(Keys.field(id, "DECREASED_AT_TIME"), p.numbers.decreasedAtTime);
        s.setBool(Keys.field(id, "IS_LONG"), p.flags.isLong);
    }

    function _drop(bytes32 id, Position memory p) private {
        dataStore.removeBytes32(Keys.name("POSITION_LIST"), id);
        dataStore.removeBytes32(Keys.at("ACCOUNT_POSITION_LIST", p.addresses.account), id);
    }

    function _tell(
        string memory name,
        bytes32 key,
        address account,
        string memory reason,
        bytes memory why
    ) private {
        EventLogData memory data;
        data.addressItems.items = new AddressItem[](1);
        data.addressItems.items[0] = AddressItem("account", account);
        data.bytes32Items.items = new Bytes32Item[](1);
        data.bytes32Items.items[0] = Bytes32Item("key", key);
        data.bytesItems.items = new BytesItem[](1);
        data.bytesItems.items[0] = BytesItem("reasonBytes", why);
        data.stringItems.items = new StringItem[](1);
        data.stringItems.items[0] = StringItem("reason", reason);
        eventEmitter.emitEventLog2(name, key, bytes32(uint256(uint160(account))), data);
    }

    function _tellPosition(
        string memory name,
        bytes32 key,
        Position memory p,
        uint256 orderType,
        uint256 size
    ) private {
        EventLogData memory data;
        data.addressItems.items = new AddressItem[](3);
        data.addressItems.items[0] = AddressItem("account", p.addresses.account);
        data.addressItems.items[1] = AddressItem("market", p.addresses.market);
        data.addressItems.items[2] = AddressItem("collateralToken", p.addresses.collateralToken);
        data.uintItems.items = new UintItem[](5);
        data.uintItems.items[0] = UintItem("sizeInUsd", p.numbers.sizeInUsd);
        data.uintItems.items[1] = UintItem("sizeInTokens", p.numbers.sizeInTokens);
        data.uintItems.items[2] = UintItem("collateralAmount", p.numbers.collateralAmount);
        data.uintItems.items[3] = UintItem("sizeDeltaUsd", size);
        data.uintItems.items[4] = UintItem("orderType", orderType);
        data.intItems.items = new IntItem[](1);
        data.intItems.items[0] = IntItem("pendingImpactAmount", p.numbers.pendingImpactAmount);
        data.boolItems.items = new BoolItem[](1);
        data.boolItems.items[0] = BoolItem("isLong", p.flags.isLong);
        data.bytes32Items.items = new Bytes32Item[](1);
        data.bytes32Items.items[0] = Bytes32Item("orderKey", key);
        eventEmitter.emitEventLog1(name, bytes32(uint256(uint160(p.addresses.account))), data);
    }

    receive() external payable {}
}
