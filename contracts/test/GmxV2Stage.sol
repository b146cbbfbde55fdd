// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {GmxOrder} from "../interfaces/IGmxV2.sol";
import {IGmxV2Executor, PerpState, PerpTerms} from "../interfaces/IGmxV2Executor.sol";
import {GmxV2ExecutorFactory} from "../src/GmxV2ExecutorFactory.sol";
import {Vm} from "./Vm.sol";

/// @notice The owner's half of the Executor.
interface IGmxV2Owned is IGmxV2Executor {
    function setupUntil() external view returns (uint256);
    function guardian() external view returns (address);
    function paused() external view returns (bool);
    function readyAt(bytes32 change) external view returns (uint256);
    function pause() external;
    function unpause() external;
    function announce(bytes32 change) external;
    function setGuardian(address guardian_) external;
    function setBot(address bot, uint40 expiry) external;
    function setPosition(address market, address collateral, bool isLong, PerpTerms memory terms)
        external
        returns (bytes32);
    function removePosition(bytes32 position) external;
    function rescue(address token, uint256 amount) external;
}

/// @title A token that counts.
contract CoinStub {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    uint256 public taken;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    /// @notice From now on a transfer loses so much.
    function take(uint256 amount) external {
        taken = amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        (balanceOf[msg.sender], balanceOf[to]) = (balanceOf[msg.sender] - amount, balanceOf[to] + amount - taken);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        (balanceOf[from], balanceOf[to]) = (balanceOf[from] - amount, balanceOf[to] + amount - taken);
        return true;
    }
}

contract FeedStub {
    int256 public answer;
    uint256 public updatedAt;

    function set(int256 answer_, uint256 updatedAt_) external {
        (answer, updatedAt) = (answer_, updatedAt_);
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (1, answer, updatedAt, updatedAt, 1);
    }
}

contract StoreStub {
    mapping(bytes32 => uint256) public getUint;
    mapping(bytes32 => address) public getAddress;
    mapping(bytes32 => mapping(bytes32 => bool)) public containsBytes32;

    function setUint(bytes32 key, uint256 value) external {
        getUint[key] = value;
    }

    function setAddress(bytes32 key, address value) external {
        getAddress[key] = value;
    }

    function list(bytes32 set, bytes32 value, bool there) external {
        containsBytes32[set][value] = there;
    }
}

/// @title What of GMX's SubaccountRouter the Executor calls: it keeps what it was told, to the last argument.
contract SubaccountsStub {
    StoreStub public immutable dataStore = new StoreStub();
    address public immutable orderVault = address(uint160(0xA17));
    address public sender;
    address public account;
    address public feeTo;
    uint256 public feeWei;
    uint256 public made;
    bytes public told;
    bytes32 public cancelled;

    function multicall(bytes[] calldata data) external payable returns (bytes[] memory results) {
        results = new bytes[](data.length);
        for (uint256 i; i < data.length; ++i) {
            (bool ok, bytes memory answer) = address(this).delegatecall(data[i]);
            require(ok, "call");
            results[i] = answer;
        }
    }

    function sendWnt(address receiver, uint256 amount) external payable {
        (feeTo, feeWei) = (receiver, amount);
        payable(address(0xdead)).transfer(amount);
    }

    function createOrder(address account_, GmxOrder calldata params) external payable returns (bytes32 order) {
        (sender, account, told) = (msg.sender, account_, abi.encode(params));
        order = keccak256(abi.encode(++made));
        dataStore.list(keccak256(abi.encode("ORDER_LIST")), order, true);
    }

    function cancelOrder(bytes32 key) external payable {
        (cancelled, sender) = (key, msg.sender);
        dataStore.list(keccak256(abi.encode("ORDER_LIST")), key, false);
    }

    function order() external view returns (GmxOrder memory) {
        return abi.decode(told, (GmxOrder));
    }
}

/// @title One owner with a long and a short on a market of stubs.
abstract contract GmxV2Stage {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    string internal constant ARTIFACT = "contracts/artifacts/GmxV2Executor.json";

    address internal constant OWNER = address(0x0111E1);
    address internal constant BOT = address(0xB07);
    address internal constant GUARDIAN = address(0x64A2D);
    address internal constant THIEF = address(0x7B1EF);
    address internal constant MARKET = address(0x3A2CE7);
    address internal constant INDEX = address(0x14DE);
    uint256 internal constant FEE = 0.01 ether;
    /// @dev Dollars of one wei of an ether, 30 decimals.
    uint256 internal constant PRICE = 2_000e12;
    uint256 internal constant SIZE = 20_000e30;

    SubaccountsStub internal gmx;
    StoreStub internal store;
    CoinStub internal usdc;
    FeedStub internal ethFeed;
    FeedStub internal usdcFeed;
    GmxV2ExecutorFactory internal factory;
    IGmxV2Owned internal executor;
    bytes32 internal long;
    bytes32 internal short;

    function _begin() internal {
        vm.warp(1_750_000_000);
        gmx = new SubaccountsStub();
        (store, usdc, ethFeed, usdcFeed) = (gmx.dataStore(), new CoinStub(), new FeedStub(), new FeedStub());
        _token("INDEX_TOKEN", INDEX);
        _token("LONG_TOKEN", INDEX);
        _token("SHORT_TOKEN", address(usdc));
        _feed(INDEX, address(ethFeed), 1e34);
        _feed(address(usdc), address(usdcFeed), 1e46);
        _prices(2_000e8);
        factory = new GmxV2ExecutorFactory();
        string memory json = vm.readFile(vm.envOr("GMX_V2_ARTIFACT", ARTIFACT));
        bytes memory code = vm.parseJsonBytes(json, ".bytecode");
        vm.prank(OWNER);
        executor = IGmxV2Owned(factory.deploy(code, address(gmx)));
        vm.startPrank(OWNER);
        executor.setBot(BOT, uint40(block.timestamp + 30 days));
        executor.setGuardian(GUARDIAN);
        long = executor.setPosition(MARKET, address(usdc), true, _terms());
        short = executor.setPosition(MARKET, address(usdc), false, _terms());
        vm.stopPrank();
        // equity of 200 dollars is one per cent of the size
        _position(long, SIZE, 10e18, 200e6);
        _position(short, SIZE, 10e18, 200e6);
        vm.deal(BOT, 10 ether);
        usdc.mint(BOT, 1_000_000e6);
        vm.prank(BOT);
        usdc.approve(address(executor), 1_000_000e6);
    }

    function _terms() internal view returns (PerpTerms memory) {
        return PerpTerms({
            expiry: uint40(block.timestamp + 30 days),
            cooldownS: 60,
            epochS: 1 days,
            staleS: 1 hours,
            slippageBps: 300,
            mayClose: false,
            triggerPpm: 20_000,
            maxPpm: 50_000,
            sizeCapUsd: 15_000e30,
            sizeMinUsd: 500e30,
            marginCap: 5_000e6,
            marginMin: 10e6,
            feeMax: 0.05 ether
        });
    }

    function _token(string memory what, address token) internal {
        store.setAddress(keccak256(abi.encode(MARKET, keccak256(abi.encode(what)))), token);
    }

    function _feed(address token, address feed, uint256 multiplier) internal {
        store.setAddress(keccak256(abi.encode(keccak256(abi.encode("PRICE_FEED")), token)), feed);
        store.setUint(keccak256(abi.encode(keccak256(abi.encode("PRICE_FEED_MULTIPLIER")), token)), multiplier);
    }

    function _prices(int256 eth8) internal {
        ethFeed.set(eth8, block.timestamp);
        usdcFeed.set(1e8, block.timestamp);
    }

    function _position(bytes32 id, uint256 size, uint256 tokens, uint256 margin) internal {
        store.setUint(keccak256(abi.encode(id, keccak256(abi.encode("SIZE_IN_USD")))), size);
        store.setUint(keccak256(abi.encode(id, keccak256(abi.encode("SIZE_IN_TOKENS")))), tokens);
        store.setUint(keccak256(abi.encode(id, keccak256(abi.encode("COLLATERAL_AMOUNT")))), margin);
    }

    function _executed(bytes32 order) internal {
        store.list(keccak256(abi.encode("ORDER_LIST")), order, false);
    }

    /// @dev The next order may come.
    function _later(bytes32 order) internal {
        _executed(order);
        vm.warp(block.timestamp + 61);
        _prices(2_000e8);
    }

    function _seq(bytes32 id) internal view returns (uint64) {
        return executor.stateOf(id).seq;
    }

    function _soon() internal view returns (uint64) {
        return uint64(block.timestamp + 60);
    }

    function _reduce(bytes32 id, uint256 size, uint256 price) internal returns (bytes32) {
        uint64 seq = _seq(id);
        vm.prank(BOT);
        return executor.reduce{value: FEE}(id, seq, size, price, FEE, _soon());
    }

    function _add(bytes32 id, uint256 amount) internal returns (bytes32) {
        uint64 seq = _seq(id);
        vm.prank(BOT);
        return executor.addMargin{value: FEE}(id, seq, amount, FEE, _soon());
    }

    function _noReduce(bytes32 id, uint256 size, uint256 price, bytes4 why) internal {
        uint64 seq = _seq(id);
        vm.prank(BOT);
        vm.expectPartialRevert(why);
        executor.reduce{value: FEE}(id, seq, size, price, FEE, _soon());
    }

    function _noAdd(bytes32 id, uint256 amount, bytes4 why) internal {
        uint64 seq = _seq(id);
        vm.prank(BOT);
        vm.expectPartialRevert(why);
        executor.addMargin{value: FEE}(id, seq, amount, FEE, _soon());
    }
}
