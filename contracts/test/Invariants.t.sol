// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IAaveV3FlashReceiver} from "../interfaces/IAaveV3.sol";
import {IExecutor, Order, Position, Side, Source} from "../interfaces/IExecutor.sol";
import {IBalancerFlashReceiver, IMorphoBlueFlashReceiver} from "../interfaces/IFlashLenders.sol";
import {IUniswapV3Callbacks} from "../interfaces/IUniswapV3.sol";
import {HostileRouter} from "../mocks/HostileRouter.sol";
import {Stage} from "./Stage.sol";

/// @title Whoever holds the bot key and a listed router, searchers, strangers, an owner, and a moving market.
/// @dev A function that carries out a bot call reverts when the Executor refuses, so that forge's own table of calls and
/// reverts tells how often each bot function succeeded. Everything is booked here, never read from the contract's books.
contract Handler is Stage {
    uint112 private constant SELL_CAP = 8e18;
    uint112 private constant FUND_CAP = 8e18;
    uint256 private constant GAS_MAX = 2_500_000;

    /// @dev The names of what was broken; empty while all holds.
    string public broken;
    uint256 public soldValue;
    uint256 public lostValue;
    uint256 public successes;

    uint256 private _epoch;
    uint256 private _soldInEpoch;
    uint256 private _lastBlock;
    uint256 private _lastSeq = type(uint256).max;
    bytes32 private _neighbour;

    /// @dev The state before a bot call.
    struct Before {
        uint256 health;
        uint256 supplied;
        uint256 price;
        uint256 wealth;
        uint256 seq;
        uint256 gas;
        uint256 reserveWeth;
        uint256 reserveUsdc;
        bool paused;
        bool expired;
    }

    uint256 private immutable _cap;

    constructor(uint16 shareBps) {
        _cap = uint256(SELL_CAP) * shareBps / 10_000;
        _deploy();
        _configure(SELL_CAP, FUND_CAP);
        vm.prank(OWNER);
        executor.setBot(BOT, shareBps, type(uint40).max);
        _open(OWNER, 10e18, 17_000e6);
        _open(NEIGHBOUR, 10e18, 12_000e6);
        _grant(type(uint256).max);
        vm.startPrank(OWNER);
        usdc.approve(address(executor), type(uint256).max);
        weth.approve(address(executor), type(uint256).max);
        vm.stopPrank();
        _neighbour = _positionOfNeighbour();
    }

    // --- the bot key, honest or not ---------------------------------------------------------------------------------------

    function rescueThroughThePool(uint256 level, uint256 source, uint256 target) external {
        _toZone(level, 1.24e18);
        _poolPrice(oracle.getAssetPrice(address(weth)));
        Source s = [Source.UNISWAP_V3_SWAP, Source.UNISWAP_V3_FLASH, Source.AAVE_V3][source % 3];
        _act(_order(_repayFor(1.41e18 + target % 0.1e18), 8e18, s));
    }

    function rescueThroughTheRouter(uint256 level, uint256 skimBps, uint256 slack) external {
        _toZone(level, 1.24e18);
        _act(_stolen(1.43e18, skimBps % 110, slack % 0.2e18));
    }

    /// @dev A thief's best: exactly what the slippage allows, and a call in the middle that tries to break in.
    function stealWithin(uint256 level, uint256 seed, uint256 amount) external {
        _toZone(level, 1.24e18);
        Order memory o = _stolen(1.55e18, 500, 0);
        HostileRouter r = router;
        uint256 sold = o.sellMax;
        uint256 bought = _worth(sold) * (9_895 + seed % 100) / 10_000;
        o.data[0] = abi.encodeCall(
            r.swapAnd, (address(weth), sold, address(usdc), bought, _targetOf(seed), _attack(seed, amount))
        );
        _act(o);
        if (r.broken() != 0) broken = "a call in the middle of a swap succeeded";
    }

    function stealAnything(uint256 amount, uint256 sellMax, uint256 sold, uint256 bought, uint256 level) external {
        _toZone(level, 1.3e18);
        sold = sold % 3e18;
        bytes memory data = abi.encodeCall(
            HostileRouter.swap, (address(weth), sold, address(usdc), _worth(sold) * (9_500 + bought % 600) / 10_000)
        );
        _act(_routed(_order(amount % 17_000e6, sellMax % 8e18, Source.BALANCER), data));
    }

    function topUp(uint256 level, uint256 amount) external {
        _toZone(level, 1.24e18);
        _mint(weth, amount % 2 == 0 ? OWNER : address(executor), 6e18);
        uint256 missing = (1.42e18 - _health(OWNER)) * aWeth.balanceOf(OWNER) / _health(OWNER);
        _payIn(abi.encodeCall(IExecutor.addCollateral, (id, _seq(), address(weth), missing, type(uint64).max)));
    }

    function topUpAnything(uint256 level, uint256 amount, uint256 seq) external {
        _toZone(level, 1.3e18);
        _mint(weth, OWNER, 6e18);
        uint64 n = seq % 8 == 0 ? uint64(seq) : _seq();
        _payIn(abi.encodeCall(IExecutor.addCollateral, (id, n, address(weth), amount % 7e18, type(uint64).max)));
    }

    function repay(uint256 level, uint256 amount) external {
        _toZone(level, 1.24e18);
        _mint(usdc, amount % 2 == 0 ? OWNER : address(executor), 12_000e6);
        uint256 debt = dUsdc.balanceOf(OWNER);
        uint256 missing = debt - debt * _health(OWNER) / (1.42e18 + amount % 0.1e18);
        _payIn(abi.encodeCall(IExecutor.repayFromReserve, (id, _seq(), address(usdc), missing, type(uint64).max)));
    }

    function repayAnything(uint256 level, uint256 amount, uint256 late) external {
        _toZone(level, 1.3e18);
        _mint(usdc, OWNER, 12_000e6);
        uint64 deadline = uint64(block.timestamp + 5 - late % 10);
        _payIn(abi.encodeCall(IExecutor.repayFromReserve, (id, _seq(), address(usdc), amount % 12_000e6, deadline)));
        if (block.timestamp > deadline) broken = "acted after the deadline";
    }

    /// @dev The next block or the same: as soon as the key may, and sooner.
    function actAgain(uint256 blocks, uint256 price) external {
        vm.roll(block.number + blocks % 6);
        _price(oracle.getAssetPrice(address(weth)) * (850 + price % 150) / 1_000);
        _act(_order(_repayFor(1.42e18), 8e18, Source.UNISWAP_V3_SWAP));
    }

    function botConfigures(uint256 what) external {
        _mustFail(BOT, address(executor), _configuration(what));
    }

    // --- strangers ----------------------------------------------------------------------------------------------------------

    function strangerConfigures(uint256 what) external {
        _mustFail(THIEF, address(executor), _configuration(what));
    }

    function strangerCalls(uint256 seed, uint256 amount) external {
        _mustFail(THIEF, _targetOf(seed), _attack(seed, amount));
    }

    function lenderCalls(uint256 seed, uint256 amount) external {
        address[4] memory lenders = [address(pool), uniswap, address(vault), address(router)];
        _mustFail(lenders[seed % 4], address(executor), _attack(seed % 5, amount));
    }

    // --- the world ------------------------------------------------------------------------------------------------------------

    function marketMoves(uint256 seconds_, uint256 price, uint256 poolPrice) external {
        vm.warp(block.timestamp + seconds_ % 6 hours);
        vm.roll(block.number + 1 + seconds_ % 1_800);
        uint256 usd8 = oracle.getAssetPrice(address(weth)) * (970 + price % 60) / 1_000;
        _price(_within(usd8, 500e8, 8_000e8));
        _poolPrice(oracle.getAssetPrice(address(weth)) * (980 + poolPrice % 40) / 1_000);
    }

    function ownerPauses(uint256 who) external {
        vm.prank(who % 2 == 0 ? OWNER : GUARDIAN);
        executor.pause();
        if (!executor.paused()) broken = "a pause did not pause";
    }

    /// @dev Whatever happened, the owner leaves when he wants to.
    function ownerExits(uint256 units) external {
        uint256 reserve = usdc.balanceOf(address(executor));
        vm.startPrank(OWNER);
        executor.rescue(address(usdc), reserve);
        executor.unpause();
        aWeth.approve(address(executor), 0);
        aWeth.approve(address(executor), type(uint256).max);
        vm.stopPrank();
        units;
    }

    // --- inside ---------------------------------------------------------------------------------------------------------------

    function _stolen(uint256 target, uint256 skimBps, uint256 slack) private view returns (Order memory) {
        uint256 amount = _repayFor(target);
        uint256 sold = amount * 1e20 / oracle.getAssetPrice(address(weth)) * (10_000 + skimBps) / 10_000 + 1;
        bytes memory data = abi.encodeCall(HostileRouter.swap, (address(weth), sold, address(usdc), amount + 1));
        return _routed(_order(amount, sold + slack, Source.BALANCER), data);
    }

    /// @dev A health between 1 and `top`, a position large enough, the cooldown over, not paused.
    function _toZone(uint256 level, uint256 top) private {
        if (executor.paused()) {
            vm.prank(OWNER);
            executor.unpause();
        }
        vm.roll(block.number + 5);
        // two of three times a new epoch has begun, else the caps stop nearly everything
        if (level % 3 != 0) vm.warp(block.timestamp + 1 days);
        if (executor.positionOf(id).expiry < block.timestamp + 2 days) {
            vm.prank(OWNER);
            executor.setPosition(id, _terms());
        }
        uint256 debt = dUsdc.balanceOf(OWNER);
        uint256 supplied = aWeth.balanceOf(OWNER);
        if (debt < 8_000e6 || debt > 40_000e6 || supplied < 5e18 || supplied > 30e18) _reset();
        (debt, supplied) = (dUsdc.balanceOf(OWNER), aWeth.balanceOf(OWNER));
        uint256 health = 1.001e18 + level % (top - 1.001e18);
        _feedPrice(_within(health * debt / WAD * 1e20 / supplied * 100 / 83, 300e8, 20_000e8));
    }

    /// @dev The owner rebuilds his position: ten WETH against 17,000 USDC at 3,000 dollars.
    function _reset() private {
        _feedPrice(3_000e8);
        uint256 owed = dUsdc.balanceOf(OWNER);
        _mint(usdc, OWNER, owed);
        vm.startPrank(OWNER);
        usdc.approve(address(pool), type(uint256).max);
        if (owed != 0) pool.repay(address(usdc), type(uint256).max, 2, OWNER);
        if (aWeth.balanceOf(OWNER) != 0) pool.withdraw(address(weth), type(uint256).max, OWNER);
        weth.transfer(address(0xdead), weth.balanceOf(OWNER));
        usdc.approve(address(executor), type(uint256).max);
        vm.stopPrank();
        _open(OWNER, 10e18, 17_000e6);
    }

    function _seq() private view returns (uint64) {
        return executor.positionOf(id).seq;
    }

    /// @dev USDC units for that much WETH at the oracle's price.
    function _worth(uint256 units) private view returns (uint256) {
        return units * oracle.getAssetPrice(address(weth)) / 1e20;
    }

    function _within(uint256 x, uint256 low, uint256 high) private pure returns (uint256) {
        return x < low ? low : x > high ? high : x;
    }

    /// @dev All that is the owner's, in USDC units at the oracle's price.
    function _wealth() private view returns (uint256) {
        uint256 units = aWeth.balanceOf(OWNER) + weth.balanceOf(OWNER) + weth.balanceOf(address(executor));
        uint256 dollars = usdc.balanceOf(OWNER) + usdc.balanceOf(address(executor));
        return _worth(units) + dollars + 1e18 - dUsdc.balanceOf(OWNER);
    }

    function _before() private view returns (Before memory b) {
        b.health = _health(OWNER);
        b.supplied = aWeth.balanceOf(OWNER);
        b.price = oracle.getAssetPrice(address(weth));
        b.wealth = _wealth();
        b.seq = _seq();
        b.reserveWeth = weth.balanceOf(address(executor));
        b.reserveUsdc = usdc.balanceOf(address(executor));
        b.paused = executor.paused();
        b.expired = block.timestamp > executor.positionOf(id).expiry;
        b.gas = gasleft();
    }

    function _act(Order memory o) private {
        Before memory b = _before();
        vm.prank(BOT);
        executor.deleverage(o);
        uint256 gas = b.gas - gasleft();
        _always(b, gas, true);
        uint256 left = aWeth.balanceOf(OWNER);
        uint256 sold = b.supplied > left ? b.supplied - left : 0;
        if (sold > o.sellMax + 2) broken = "sold more than the order said";
        _book(sold);
        // the slippage on what was sold, the flash fee, and a unit of each rounding
        uint256 bound = _worth(sold) * 100 / 10_000 + o.repay * 10 / 10_000 + 4;
        uint256 wealth = _wealth();
        if (wealth + bound < b.wealth) broken = "lost more than the bound";
        if (wealth < b.wealth) lostValue += b.wealth - wealth;
        soldValue += _worth(sold);
        if (b.reserveWeth != weth.balanceOf(address(executor))) broken = "reserve touched";
        if (b.reserveUsdc != usdc.balanceOf(address(executor))) broken = "reserve touched";
    }

    function _payIn(bytes memory data) private {
        Before memory b = _before();
        vm.prank(BOT);
        (bool ok, bytes memory answer) = address(executor).call(data);
        if (!ok) {
            assembly {
                revert(add(answer, 0x20), mload(answer))
            }
        }
        _always(b, b.gas - gasleft(), false);
        if (_wealth() + 4 < b.wealth) broken = "a payment in lost value";
        if (weth.balanceOf(address(executor)) > b.reserveWeth) broken = "residue";
        if (usdc.balanceOf(address(executor)) > b.reserveUsdc) broken = "residue";
    }

    /// @dev What holds after every bot call that went through.
    function _always(Before memory b, uint256 gas, bool selling) private {
        successes++;
        uint256 health = _health(OWNER);
        bool debtFree = dUsdc.balanceOf(OWNER) == 0;
        if (health <= b.health) broken = "health did not rise";
        if (!debtFree && health > 1.6e18) broken = "beyond max health";
        uint256 least = b.health < 1.08e18 ? b.health + b.health / 1_000 : selling ? 1.4e18 : b.health + 0.02e18;
        if (health < least && health < 1.4e18) broken = "target missed";
        if (b.health >= 1.25e18) broken = "acted while healthy";
        if (b.paused) broken = "acted while paused";
        if (b.expired) broken = "acted after expiry";
        if (gas > GAS_MAX) broken = "gas";
        if (_seq() != b.seq + 1) broken = "seq did not count";
        if (_lastSeq != type(uint256).max && b.seq <= _lastSeq) broken = "seq used twice";
        _lastSeq = b.seq;
        uint256 wait = b.health < 1.08e18 ? 1 : 5;
        if (_lastBlock != 0 && block.number < _lastBlock + wait) broken = "cooldown";
        _lastBlock = block.number;
        if (_positionOfNeighbour() != _neighbour) broken = "a neighbour's position moved";
        if (aWeth.balanceOf(address(executor)) != 0) broken = "receipt residue";
        if (address(executor).balance != 0) broken = "ether";
        _noAllowance(address(router));
        _noAllowance(address(pool));
        _noAllowance(address(vault));
        _noAllowance(uniswap);
    }

    function _noAllowance(address spender) private {
        uint256 left = weth.allowance(address(executor), spender) + usdc.allowance(address(executor), spender);
        if (left + aWeth.allowance(address(executor), spender) != 0) broken = "allowance left";
    }

    function _book(uint256 sold) private {
        uint256 epoch = block.timestamp / 1 days;
        if (epoch != _epoch) (_epoch, _soldInEpoch) = (epoch, 0);
        _soldInEpoch += sold;
        if (_soldInEpoch > _cap + 2) broken = "epoch cap";
    }

    /// @dev In his own shares, which interest does not move.
    function _positionOfNeighbour() private view returns (bytes32) {
        return keccak256(abi.encode(_scaled(address(aWeth)), _scaled(address(dUsdc))));
    }

    function _scaled(address receipt) private view returns (uint256 units) {
        (, bytes memory answer) = receipt.staticcall(abi.encodeWithSignature("scaledBalanceOf(address)", NEIGHBOUR));
        units = abi.decode(answer, (uint256));
    }

    function _mustFail(address caller, address target, bytes memory data) private {
        vm.prank(caller);
        (bool ok,) = target.call(data);
        if (ok) broken = "an open door";
    }

    function _targetOf(uint256 seed) private view returns (address) {
        uint256 n = seed % 9;
        if (n == 5) return address(vault);
        if (n == 6) return address(pool);
        return address(executor);
    }

    /// @dev Everything that is not for strangers: callbacks, loans in our name, bot functions.
    function _attack(uint256 seed, uint256 amount) private view returns (bytes memory) {
        uint256 n = seed % 9;
        (address[] memory tokens, uint256[] memory amounts) = (new address[](1), new uint256[](1));
        (tokens[0], amounts[0]) = (address(usdc), amount % 1e9 + 1);
        bytes memory data = abi.encode(amount);
        if (n == 0) {
            return abi.encodeCall(
                IAaveV3FlashReceiver.executeOperation, (address(usdc), amount, 0, address(executor), data)
            );
        }
        if (n == 1) return abi.encodeCall(IMorphoBlueFlashReceiver.onMorphoFlashLoan, (amount, data));
        if (n == 2) return abi.encodeCall(IBalancerFlashReceiver.receiveFlashLoan, (tokens, amounts, amounts, data));
        if (n == 3) return abi.encodeCall(IUniswapV3Callbacks.uniswapV3FlashCallback, (0, amount, data));
        if (n == 4) return abi.encodeCall(IUniswapV3Callbacks.uniswapV3SwapCallback, (int256(amount >> 1), -1, data));
        if (n == 5) return abi.encodeCall(vault.flashLoan, (address(executor), tokens, amounts, data));
        if (n == 6) {
            return abi.encodeCall(pool.flashLoanSimple, (address(executor), address(usdc), amounts[0], data, 0));
        }
        if (n == 7) {
            Order memory o = _order(amount % 17_000e6, 8e18, Source.UNISWAP_V3_SWAP);
            return abi.encodeCall(IExecutor.deleverage, (o));
        }
        return abi.encodeCall(IExecutor.repayFromReserve, (id, _seq(), address(usdc), amount, type(uint64).max));
    }

    function _configuration(uint256 what) private view returns (bytes memory) {
        uint256 n = what % 10;
        if (n == 0) return abi.encodeCall(IExecutor.unpause, ());
        if (n == 1) return abi.encodeCall(IExecutor.announce, (bytes32(what)));
        if (n == 2) return abi.encodeCall(IExecutor.setGuardian, (THIEF));
        if (n == 3) return abi.encodeCall(IExecutor.setBot, (THIEF, 10_000, type(uint40).max));
        if (n == 4) return abi.encodeCall(IExecutor.setRouter, (THIEF, true));
        if (n == 5) return abi.encodeCall(IExecutor.setPosition, (id, executor.positionOf(id)));
        if (n == 6) return abi.encodeCall(IExecutor.setAsset, (id, address(weth), Side.COLLATERAL, 1, 1));
        if (n == 7) return abi.encodeCall(IExecutor.removeAsset, (id, address(weth), Side.COLLATERAL));
        if (n == 8) return abi.encodeCall(IExecutor.rescue, (address(usdc), 0));
        return abi.encodeCall(IExecutor.pause, ());
    }
}

/// @title The invariants, as one: nothing of what the handler books was ever broken.
abstract contract Invariants {
    Handler internal _handler;

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function invariant_nothing_is_broken() public view {
        require(bytes(_handler.broken()).length == 0, _handler.broken());
        // over all calls: at most the slippage and the flash fee of what was sold
        require(_handler.lostValue() * 10_000 <= _handler.soldValue() * 112 + _handler.successes() * 40_000, "bound");
    }
}

contract InvariantsTest is Invariants {
    function setUp() public {
        _handler = new Handler(10_000);
    }
}

/// @dev The same with a bot that has a part of the caps, which are kept in other books.
contract InvariantsOfAShareTest is Invariants {
    function setUp() public {
        _handler = new Handler(9_000);
    }
}
