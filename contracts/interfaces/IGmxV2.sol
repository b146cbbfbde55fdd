// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

// What GmxV2Executor asks of GMX v2, as its package @gmx-io/sdk publishes it.

struct GmxOrderAddresses {
    address receiver;
    address cancellationReceiver;
    address callbackContract;
    address uiFeeReceiver;
    address market;
    address initialCollateralToken;
    address[] swapPath;
}

struct GmxOrderNumbers {
    uint256 sizeDeltaUsd;
    uint256 initialCollateralDeltaAmount;
    uint256 triggerPrice;
    uint256 acceptablePrice;
    uint256 executionFee;
    uint256 callbackGasLimit;
    uint256 minOutputAmount;
    uint256 validFromTime;
}

struct GmxOrder {
    GmxOrderAddresses addresses;
    GmxOrderNumbers numbers;
    uint8 orderType;
    uint8 decreasePositionSwapType;
    bool isLong;
    bool shouldUnwrapNativeToken;
    bool autoCancel;
    bytes32 referralCode;
    bytes32[] dataList;
}

interface IGmxSubaccountRouter {
    function dataStore() external view returns (address);
    function orderVault() external view returns (address);
    function multicall(bytes[] calldata data) external payable returns (bytes[] memory results);
    function sendWnt(address receiver, uint256 amount) external payable;
    function createOrder(address account, GmxOrder calldata params) external payable returns (bytes32);
    function cancelOrder(bytes32 key) external payable;
}

interface IGmxDataStore {
    function getUint(bytes32 key) external view returns (uint256);
    function getAddress(bytes32 key) external view returns (address);
    function containsBytes32(bytes32 set, bytes32 value) external view returns (bool);
}

interface IGmxFeed {
    function latestRoundData() external view returns (uint80, int256 answer, uint256, uint256 updatedAt, uint80);
}

interface IGmxV2Of {
    /// @notice Whose Executor is being deployed, and through which SubaccountRouter it orders.
    function parameters() external view returns (address owner, address subaccounts);
}
