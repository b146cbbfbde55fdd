// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Doubles of GMX v2 for local test chains only: the data store with GMX's keys, the event emitter with its log shapes,
// the router that pulls tokens, the vault of orders, the wrapped native token. Own code, written from the published
// interfaces. Anyone may set them: they must never hold anything of value.

import {TokenDouble} from "./TokenDouble.sol";

struct Price {
    uint256 min;
    uint256 max;
}

struct Prices {
    Price indexTokenPrice;
    Price longTokenPrice;
    Price shortTokenPrice;
}

struct Market {
    address marketToken;
    address indexToken;
    address longToken;
    address shortToken;
}

struct PositionAddresses {
    address account;
    address market;
    address collateralToken;
}

struct PositionNumbers {
    uint256 sizeInUsd;
    uint256 sizeInTokens;
    uint256 collateralAmount;
    int256 pendingImpactAmount;
    uint256 borrowingFactor;
    uint256 fundingFeeAmountPerSize;
    uint256 longTokenClaimableFundingAmountPerSize;
    uint256 shortTokenClaimableFundingAmountPerSize;
    uint256 increasedAtTime;
    uint256 decreasedAtTime;
}

struct PositionFlags {
    bool isLong;
}

struct Position {
    PositionAddresses addresses;
    PositionNumbers numbers;
    PositionFlags flags;
}

struct AddressItem {
    string key;
    address value;
}

struct AddressesItem {
    string key;
    address[] value;
}

struct AddressItems {
    AddressItem[] items;
    AddressesItem[] arrayItems;
}

struct UintItem {
    string key;
    uint256 value;
}

struct UintsItem {
    string key;
    uint256[] value;
}

struct UintItems {
    UintItem[] items;
    UintsItem[] arrayItems;
}

struct IntItem {
    string key;
    int256 value;
}

struct IntsItem {
    string key;
    int256[] value;
}

struct IntItems {
    IntItem[] items;
    IntsItem[] arrayItems;
}

struct BoolItem {
    string key;
    bool value;
}

struct BoolsItem {
    string key;
    bool[] value;
}

struct BoolItems {
    BoolItem[] items;
    BoolsItem[] arrayItems;
}

struct Bytes32Item {
    string key;
    bytes32 value;
}

struct Bytes32sItem {
    string key;
    bytes32[] value;
}

struct Bytes32Items {
    Bytes32Item[] items;
    Bytes32sItem[] arrayItems;
}

struct BytesItem {
    string key;
    bytes value;
}

struct BytessItem {
    string key;
    bytes[] value;
}

struct BytesItems {
    BytesItem[] items;
    BytessItem[] arrayItems;
}

struct StringItem {
    string key;
    string value;
}

struct StringsItem {
    string key;
    string[] value;
}

struct StringItems {
    StringItem[] items;
    StringsItem[] arrayItems;
}

struct EventLogData {
    AddressItems addressItems;
    UintItems uintItems;
    IntItems intItems;
    BoolItems boolItems;
    Bytes32Items bytes32Items;
    BytesItems bytesItems;
    StringItems stringItems;
}

/// @notice Keys of the store: a name is the hash of its encoding, and arguments follow it.
library Keys {
    function name(string memory text) internal pure returns (bytes32) {
        return keccak256(abi.encode(text));
    }

    function at(string memory text, address a) internal pure returns (bytes32) {
        return keccak256(abi.encode(name(text), a));
    }

    function at(string memory text, address a, bool b) internal pure returns (bytes32) {
        return keccak256(abi.encode(name(text), a, b));
    }

    function at(string memory text, address a, address b) internal pure returns (bytes32) {
        return keccak256(abi.encode(name(text), a, b));
    }

    function at(string memory text, address a, address b, bool c) internal pure returns (bytes32) {
        return keccak256(abi.encode(name(text), a, b, c));
    }

    function at(string memory text, address a, address b, bytes32 c) internal pure returns (bytes32) {
        return keccak256(abi.encode(name(text), a, b, c));
    }

    function field(bytes32 key, string memory text) internal pure returns (bytes32) {
        return keccak256(abi.encode(key, name(text)));
    }

    function pnl(address market, bool long) internal pure returns (bytes32) {
        return keccak256(abi.encode(name("MAX_PNL_FACTOR"), name("MAX_PNL_FACTOR_FOR_TRADERS"), market, long));
    }

    function position(
        address account,
        address market,
        address collateral,
        bool long
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(account, market, collateral, long));
    }
}

/// @notice Values in the order in which they came, until one is removed: the last one takes its place.
library Sets {
    struct Set {
        bytes32[] values;
        mapping(bytes32 value => uint256) places;
    }

    function contains(Set storage set, bytes32 value) internal view returns (bool) {
        return set.places[value] != 0;
    }

    function slice(Set storage set, uint256 start, uint256 end) internal view returns (bytes32[] memory values) {
        if (end > set.values.length) end = set.values.length;
        if (start >= end) return values;
        values = new bytes32[](end - start);
        for (uint256 i = start; i < end; i++) values[i - start] = set.values[i];
    }

    function add(Set storage set, bytes32 value) internal {
        if (contains(set, value)) return;
        set.values.push(value);
        set.places[value] = set.values.length;
    }

    function remove(Set storage set, bytes32 value) internal {
        uint256 place = set.places[value];
        if (place == 0) return;
        bytes32 last = set.values[set.values.length - 1];
        set.values[place - 1] = last;
        set.places[last] = place;
        set.values.pop();
        delete set.places[value];
    }

    function asValue(address value) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(value)));
    }
}

/// @title Everything that GMX knows, under its keys.
contract GmxDataStoreDouble {
    using Sets for Sets.Set;

    mapping(bytes32 key => uint256) public getUint;
    mapping(bytes32 key => int256) public getInt;
    mapping(bytes32 key => bool) public getBool;
    mapping(bytes32 key => address) public getAddress;
    mapping(bytes32 key => bytes32) public getBytes32;
    mapping(bytes32 set => Sets.Set) private _bytes32s;
    mapping(bytes32 set => Sets.Set) private _addresses;

    function setUint(bytes32 key, uint256 value) external returns (uint256) {
        getUint[key] = value;
        return value;
    }

    /// @dev Of the double alone: a whole market in one transaction.
    function setUints(bytes32[] calldata keys, uint256[] calldata values) external {
        for (uint256 i = 0; i < keys.length; i++) getUint[keys[i]] = values[i];
    }

    function setInt(bytes32 key, int256 value) external returns (int256) {
        getInt[key] = value;
        return value;
    }

    function setBool(bytes32 key, bool value) external returns (bool) {
        getBool[key] = value;
        return value;
    }

    function setAddress(bytes32 key, address value) external returns (address) {
        getAddress[key] = value;
        return value;
    }

    function setBytes32(bytes32 key, bytes32 value) external returns (bytes32) {
        getBytes32[key] = value;
        return value;
    }

    function incrementUint(bytes32 key, uint256 value) external returns (uint256) {
        getUint[key] += value;
        return getUint[key];
    }

    function containsBytes32(bytes32 set, bytes32 value) external view returns (bool) {
        return _bytes32s[set].contains(value);
    }

    function getBytes32Count(bytes32 set) external view returns (uint256) {
        return _bytes32s[set].values.length;
    }

    function getBytes32ValuesAt(bytes32 set, uint256 start, uint256 end) external view returns (bytes32[] memory) {
        return _bytes32s[set].slice(start, end);
    }

    function addBytes32(bytes32 set, bytes32 value) external {
        _bytes32s[set].add(value);
    }

    function removeBytes32(bytes32 set, bytes32 value) external {
        _bytes32s[set].remove(value);
    }

    function containsAddress(bytes32 set, address value) external view returns (bool) {
        return _addresses[set].contains(Sets.asValue(value));
    }

    function getAddressCount(bytes32 set) external view returns (uint256) {
        return _addresses[set].values.length;
    }

    function getAddressValuesAt(
        bytes32 set,
        uint256 start,
        uint256 end
    ) external view returns (address[] memory values) {
        bytes32[] memory found = _addresses[set].slice(start, end);
        values = new address[](found.length);
        for (uint256 i = 0; i < found.length; i++) values[i] = address(uint160(uint256(found[i])));
    }

    function addAddress(bytes32 set, address value) external {
        _addresses[set].add(Sets.asValue(value));
    }

    function removeAddress(bytes32 set, address value) external {
        _addresses[set].remove(Sets.asValue(value));
    }
}

/// @title Where every event of GMX comes from.
contract GmxEventEmitterDouble {
    event EventLog1(
        address msgSender,
        string eventName,
        string indexed eventNameHash,
        bytes32 indexed topic1,
        EventLogData eventData
    );
    event EventLog2(
        address msgSender,
        string eventName,
        string indexed eventNameHash,
        bytes32 indexed topic1,
        bytes32 indexed topic2,
        EventLogData eventData
    );

    function emitEventLog1(string memory eventName, bytes32 topic1, EventLogData memory data) external {
        emit EventLog1(msg.sender, eventName, eventName, topic1, data);
    }

    function emitEventLog2(
        string memory eventName,
        bytes32 topic1,
        bytes32 topic2,
        EventLogData memory data
    ) external {
        emit EventLog2(msg.sender, eventName, eventName, topic1, topic2, data);
    }
}

/// @title Whom owners approve: it pulls tokens for the routers that are its plugins.
contract GmxRouterDouble {
    error Unauthorized(address sender, string role);

    mapping(address router => bool) public plugins;

    function addPlugin(address router) external {
        plugins[router] = true;
    }

    function pluginTransfer(address token, address account, address receiver, uint256 amount) external {
        if (!plugins[msg.sender]) revert Unauthorized(msg.sender, "ROUTER_PLUGIN");
        TokenDouble(token).transferFrom(account, receiver, amount);
    }
}

/// @title Holds what orders bring, and knows what came since it was asked last.
contract GmxOrderVaultDouble {
    mapping(address token => uint256) public tokenBalances;

    function recordTransferIn(address token) external returns (uint256 came) {
        uint256 now_ = TokenDouble(token).balanceOf(address(this));
        came = now_ - tokenBalances[token];
        tokenBalances[token] = now_;
    }

    function transferOut(address token, address receiver, uint256 amount) external {
        TokenDouble(token).transfer(receiver, amount);
        tokenBalances[token] = TokenDouble(token).balanceOf(address(this));
    }

    function transferOutNative(address wnt, address receiver, uint256 amount) external {
        GmxWntDouble(payable(wnt)).withdraw(amount);
        tokenBalances[wnt] = TokenDouble(wnt).balanceOf(address(this));
        (bool ok, ) = receiver.call{value: amount}("");
        require(ok, "native transfer failed");
    }

    receive() external payable {}
}

/// @title The wrapped native token.
contract GmxWntDouble is TokenDouble {
    constructor() TokenDouble("WETH", 18) {}

    function deposit() external payable {
        totalSupply += msg.value;
        balanceOf[msg.sender] += msg.value;
    }

    function withdraw(uint256 amount) external {
        totalSupply -= amount;
        balanceOf[msg.sender] -= amount;
        (bool ok, ) = msg.sender.call{value: amount}("");
        require(ok, "native transfer failed");
    }

    receive() external payable {}
}
