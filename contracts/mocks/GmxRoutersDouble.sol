// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Doubles of GMX v2's routers for local test chains only: what owners call, and what their subaccounts may call. Own
// code, written from the published interfaces.

import {GmxDataStoreDouble, GmxRouterDouble, GmxWntDouble, Keys} from "./GmxDataDouble.sol";
import {GmxReaderDouble} from "./GmxReaderDouble.sol";
import {
    CreateOrderParams,
    GmxOrderHandlerDouble,
    MARKET_INCREASE,
    Order,
    OrderInfo
} from "./GmxOrdersDouble.sol";
import {TokenDouble} from "./TokenDouble.sol";

/// @title What both routers can.
abstract contract GmxBaseRouterDouble {
    error Unauthorized(address sender, string role);

    GmxDataStoreDouble public immutable dataStore;
    GmxRouterDouble public immutable router;
    GmxOrderHandlerDouble public immutable orderHandler;

    constructor(address store, address router_, address payable handler) {
        dataStore = GmxDataStoreDouble(store);
        router = GmxRouterDouble(router_);
        orderHandler = GmxOrderHandlerDouble(handler);
    }

    function eventEmitter() external view returns (address) {
        return address(orderHandler.eventEmitter());
    }

    function multicall(bytes[] calldata data) external payable returns (bytes[] memory results) {
        results = new bytes[](data.length);
        for (uint256 i = 0; i < data.length; i++) {
            (bool ok, bytes memory answer) = address(this).delegatecall(data[i]);
            if (!ok) {
                assembly {
                    revert(add(answer, 32), mload(answer))
                }
            }
            results[i] = answer;
        }
    }

    function sendWnt(address receiver, uint256 amount) external payable {
        GmxWntDouble wnt = orderHandler.wnt();
        wnt.deposit{value: amount}();
        wnt.transfer(receiver, amount);
    }

    function sendTokens(address token, address receiver, uint256 amount) external payable {
        router.pluginTransfer(token, msg.sender, receiver, amount);
    }

    function updateOrder(
        bytes32 key,
        uint256 sizeDeltaUsd,
        uint256 acceptablePrice,
        uint256 triggerPrice,
        uint256,
        uint256,
        bool autoCancel
    ) external payable {
        _mayTouch(key);
        orderHandler.updateOrder(key, [sizeDeltaUsd, acceptablePrice, triggerPrice], autoCancel);
    }

    function cancelOrder(bytes32 key) external payable {
        _mayTouch(key);
        orderHandler.cancelOrder(key);
    }

    function _mayTouch(bytes32 key) internal virtual;
}

/// @title What owners call for themselves: the account of an order is whoever calls. As GMX's own, it names its handler
/// and not the vault.
contract GmxExchangeRouterDouble is GmxBaseRouterDouble {
    constructor(
        address store,
        address router_,
        address payable handler
    ) GmxBaseRouterDouble(store, router_, handler) {}

    function createOrder(CreateOrderParams calldata params) external payable returns (bytes32) {
        return orderHandler.createOrder(msg.sender, params);
    }

    function _mayTouch(bytes32 key) internal view override {
        if (orderHandler.getOrder(key).addresses.account != msg.sender) {
            revert Unauthorized(msg.sender, "account for cancelOrder");
        }
    }
}

/// @title What an owner's subaccounts may call, as long and as often as he allows.
contract GmxSubaccountRouterDouble is GmxBaseRouterDouble {
    error InvalidReceiverForSubaccountOrder(address receiver, address expectedReceiver);
    error InvalidCancellationReceiverForSubaccountOrder(address receiver, address expectedReceiver);
    error MaxSubaccountActionCountExceeded(address account, address subaccount, uint256 count, uint256 maxCount);
    error SubaccountApprovalExpired(address account, address subaccount, uint256 expiresAt, uint256 now_);
    error SubaccountNotAuthorized(address account, address subaccount);

    constructor(
        address store,
        address router_,
        address payable handler
    ) GmxBaseRouterDouble(store, router_, handler) {}

    function orderVault() external view returns (address) {
        return address(orderHandler.orderVault());
    }

    function addSubaccount(address subaccount) external payable {
        dataStore.addAddress(Keys.at("SUBACCOUNT_LIST", msg.sender), subaccount);
    }

    function removeSubaccount(address subaccount) external payable {
        dataStore.removeAddress(Keys.at("SUBACCOUNT_LIST", msg.sender), subaccount);
    }

    function setMaxAllowedSubaccountActionCount(address subaccount, bytes32 actionType, uint256 most) external payable {
        bytes32 key = Keys.at("MAX_ALLOWED_SUBACCOUNT_ACTION_COUNT", msg.sender, subaccount, actionType);
        dataStore.setUint(key, most);
    }

    function setSubaccountExpiresAt(address subaccount, bytes32 actionType, uint256 at) external payable {
        dataStore.setUint(Keys.at("SUBACCOUNT_EXPIRES_AT", msg.sender, subaccount, actionType), at);
    }

    function createOrder(address account, CreateOrderParams calldata p) external payable returns (bytes32) {
        _act(account);
        if (p.addresses.receiver != account) revert InvalidReceiverForSubaccountOrder(p.addresses.receiver, account);
        address back = p.addresses.cancellationReceiver;
        if (back != address(0) && back != account) {
            revert InvalidCancellationReceiverForSubaccountOrder(back, account);
        }
        uint256 units = p.numbers.initialCollateralDeltaAmount;
        if (p.orderType == MARKET_INCREASE && units > 0) {
            address vault = address(orderHandler.orderVault());
            router.pluginTransfer(p.addresses.initialCollateralToken, account, vault, units);
        }
        return orderHandler.createOrder(account, p);
    }

    function _mayTouch(bytes32 key) internal override {
        _act(orderHandler.getOrder(key).addresses.account);
    }

    function _act(address account) private {
        address me = msg.sender;
        bytes32 action = Keys.name("SUBACCOUNT_ORDER_ACTION");
        if (!dataStore.containsAddress(Keys.at("SUBACCOUNT_LIST", account), me)) {
            revert SubaccountNotAuthorized(account, me);
        }
        uint256 until = dataStore.getUint(Keys.at("SUBACCOUNT_EXPIRES_AT", account, me, action));
        if (block.timestamp > until) revert SubaccountApprovalExpired(account, me, until, block.timestamp);
        uint256 most = dataStore.getUint(Keys.at("MAX_ALLOWED_SUBACCOUNT_ACTION_COUNT", account, me, action));
        uint256 count = dataStore.incrementUint(Keys.at("SUBACCOUNT_ACTION_COUNT", account, me, action), 1);
        if (count > most) revert MaxSubaccountActionCountExceeded(account, me, count, most);
    }
}

/// @title The Reader with the views over orders, which live in the handler.
contract GmxOrderReaderDouble is GmxReaderDouble {
    function getOrder(GmxDataStoreDouble store, bytes32 key) public view returns (Order memory) {
        return GmxOrderHandlerDouble(payable(store.getAddress(Keys.name("DOUBLE_ORDER_HANDLER")))).getOrder(key);
    }

    function getAccountOrders(
        GmxDataStoreDouble store,
        address account,
        uint256 start,
        uint256 end
    ) external view returns (OrderInfo[] memory found) {
        bytes32[] memory keys = store.getBytes32ValuesAt(Keys.at("ACCOUNT_ORDER_LIST", account), start, end);
        found = new OrderInfo[](keys.length);
        for (uint256 i = 0; i < keys.length; i++) found[i] = OrderInfo(keys[i], getOrder(store, keys[i]));
    }
}
