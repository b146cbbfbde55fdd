// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutor, Order, Side, Source, Spent} from "../interfaces/IExecutor.sol";
import {HostileRouter} from "../mocks/HostileRouter.sol";
import {LeakWorld} from "./LeakWorld.sol";

interface ILiquidations {
    function liquidationCall(address collateral, address debt, address user, uint256 cover, bool asReceipt) external;
}

/// @title Seven days with a stolen bot key, a router of the thief's, a pool he can push, and nobody awake.
/// @dev The thief knows the prices of the whole week. He tries each way of the list for all seven days, then changes the
/// best of them day by day and keeps what takes more: what is reported is the worst week that he found.
contract LeakDrill is LeakWorld {
    event log_string(string line);

    enum Way {
        NOTHING,
        SELL,
        SANDWICH,
        PATIENT,
        SLICE,
        FEED,
        GRIEF,
        CLOSE
    }

    uint256 private constant WAYS = 8;
    /// @dev A WETH unit costs less than a USDC unit: what rounding may take in an act, in both.
    uint256 private constant DUST_USDC = 4;
    uint256 private constant DUST_WETH = 4e9;

    Five private _taken;
    uint256 private _market;
    uint256 private _startS;
    uint256 private _startBlock;

    function setUp() public {
        _deploy();
        _startS = block.timestamp;
        _startBlock = block.number;
    }

    function test_leak_drill() public {
        uint256 first = vm.envOr("LEAK_FIRST", uint256(0));
        uint256 many = vm.envOr("LEAK_MANY", uint256(1));
        uint256 tries = vm.envOr("LEAK_TRIES", uint256(6));
        uint256 clean = vm.snapshotState();
        uint256 over;
        for (uint256 seed = first; seed < first + many; ++seed) {
            // a call of its own: memory is given back
            if (this.drill(seed, tries)) over++;
            vm.revertToState(clean);
        }
        require(over == 0, "a thief took more than the bound");
    }

    function drill(uint256 seed, uint256 tries) external returns (bool over) {
        _imagine(seed);
        _settle();
        uint256 ready = vm.snapshotState();
        (uint256 bestWays, Five memory best) = (0, _week(0));
        vm.revertToState(ready);
        uint256 fed;
        for (uint256 n = 1; n < WAYS + tries; ++n) {
            uint256 ways = n < WAYS ? n * 0x01010101010101 : _changed(bestWays, seed, n);
            Five memory found = _week(ways);
            vm.revertToState(ready);
            over = over || _isOver(found);
            fed += found.fed;
            if (found.total > best.total) (bestWays, best) = (ways, found);
        }
        best.fed = fed;
        _tell(seed, bestWays, best, over);
    }

    /// @dev Two of the seven days otherwise.
    function _changed(uint256 ways, uint256 seed, uint256 n) private pure returns (uint256) {
        uint256 dice = uint256(keccak256(abi.encode("ways", seed, n)));
        for (uint256 k; k < 2; ++k) {
            uint256 shift = dice % DAYS * 8;
            ways = ways & ~(uint256(0xff) << shift) | (dice / 8 % WAYS) << shift;
            dice >>= 64;
        }
        return ways;
    }

    // --- a week ---------------------------------------------------------------------------------------------------------

    function _week(uint256 ways) private returns (Five memory) {
        delete _taken;
        _drainTank();
        for (uint256 i; i < STEPS; ++i) {
            vm.warp(_startS + 12 + i * STEP_S);
            vm.roll(_startBlock + 5 + i * STEP_S / 12);
            _feedPrice(_feeds[i]);
            _market = _markets[i];
            _liquidate();
            if (_health(OWNER) >= _t.trigger) continue;
            _move(Way(ways >> (i * DAYS / STEPS * 8) & 0xff), i);
            if (_w.second) _honest();
            _liquidate();
        }
        _taken.tank = _w.tank + OWNERS_WEI + EXECUTORS_WEI - _native();
        _taken.total += _taken.tank * START_USD8 / 1e20;
        return _taken;
    }

    function _drainTank() private {
        vm.prank(BOT);
        (bool ok,) = THIEF.call{value: BOT.balance}("");
        require(ok);
    }

    /// @dev Of all from whom gas money could be taken: the tank is the bot's, the rest is none of his.
    function _native() private view returns (uint256) {
        return BOT.balance + OWNER.balance + address(executor).balance;
    }

    function _move(Way way, uint256 i) private {
        if (way == Way.SELL) _greed();
        else if (way == Way.SANDWICH) _sandwich();
        else if (way == Way.PATIENT && (_ripe() || _lastOfEpoch(i))) _sell(_room());
        else if (way == Way.SLICE) _slices();
        else if (way == Way.FEED && !_feed(_t.max)) _sell(_room());
        else if (way == Way.GRIEF) _grief();
        else if (way == Way.CLOSE) _close();
    }

    /// @dev The market stands high above the feed: what is sold at the feed's price is worth most.
    function _ripe() private view returns (bool) {
        uint256 feed_ = oracle.getAssetPrice(address(weth));
        return _market > feed_ && (_market - feed_) * BPS >= feed_ * _w.gapBps * 7 / 10;
    }

    function _lastOfEpoch(uint256 i) private view returns (bool) {
        return i + 1 == STEPS || block.timestamp / _t.epochS != (block.timestamp + STEP_S) / _t.epochS;
    }

    // --- ways -----------------------------------------------------------------------------------------------------------

    /// @dev More than the caps leave, then for less than the oracle allows, with a dearer loan, then what is allowed.
    function _greed() private {
        (uint256 all, uint256 room) = (_granted(), _room());
        if (all > room && _sell(all)) return;
        if (_sellAt(room, 2 * _t.slippageBps, _t.flashFeeBps)) return;
        if (_sellAt(room, _t.slippageBps, 200)) return;
        _sell(room);
    }

    /// @dev Through his router, at exactly the worst price allowed, with the dearest loan allowed.
    function _sell(uint256 units) private returns (bool) {
        return _sellAt(units, _t.slippageBps, _t.flashFeeBps);
    }

    function _sellAt(uint256 units, uint256 slippageBps, uint256 feeBps) private returns (bool) {
        if (units < 1e12) return false;
        uint256 price = oracle.getAssetPrice(address(weth));
        uint256 bought = (units * price * (BPS - slippageBps) - 1) / (1e20 * BPS) + 1;
        uint256 payable_ = bought * BPS / (BPS + feeBps);
        uint256 repay = _repayAfter(units, price, _t.target);
        if (repay > payable_) repay = payable_;
        // a loan's fee is rounded up: only such an amount costs exactly what is allowed
        repay = repay / BPS * BPS;
        vault.setFee(feeBps);
        return _sale(_routed(_order(repay, units, Source.BALANCER), _swap(units, bought)));
    }

    /// @dev Debt to repay so that with `units` less collateral health is a hair above `target`.
    function _repayAfter(uint256 units, uint256 price, uint256 target) private view returns (uint256) {
        uint256 debt = dUsdc.balanceOf(OWNER);
        uint256 weighted = (aWeth.balanceOf(OWNER) - units) * price / 1e20 * THRESHOLD_BPS / BPS;
        uint256 keep = weighted * WAD / target * 99_990 / 100_000;
        return debt > keep + 1e6 ? debt - keep + BPS : 1e6;
    }

    /// @dev Everything that may be sold, for the whole debt; what is over goes to the owner, at the worst price.
    function _close() private {
        uint256 units = _room();
        uint256 price = oracle.getAssetPrice(address(weth));
        uint256 bought = (units * price * (BPS - _t.slippageBps)) / (1e20 * BPS) + 1;
        vault.setFee(_t.flashFeeBps == 0 ? 0 : _t.flashFeeBps - 1);
        Order memory o = _order(dUsdc.balanceOf(OWNER), units, Source.BALANCER);
        if (units < 1e12 || !_sale(_routed(o, _swap(units, bought)))) _sell(units);
    }

    /// @dev He pushes the real pool down, the Executor sells into it, he buys back.
    function _sandwich() private {
        uint256 price = oracle.getAssetPrice(address(weth));
        for (uint256 k; k < 4; ++k) {
            _poolPrice(price * (BPS - _t.slippageBps + [uint256(7), 15, 40, 100][k]) / BPS);
            Order memory o = _order(_targetRepay(price), _room(), Source.UNISWAP_V3_SWAP);
            if (o.repay == 0 || _sale(o)) break;
        }
        _poolPrice(_market);
    }

    /// @dev R = (T D - W) / (T - threshold / (1 - slippage)), for a sale at the worst price.
    function _targetRepay(uint256 price) private view returns (uint256) {
        uint256 weighted = aWeth.balanceOf(OWNER) * price / 1e20 * THRESHOLD_BPS / BPS;
        uint256 needed = uint256(_t.target) * dUsdc.balanceOf(OWNER) / WAD * 1_001 / 1_000;
        if (needed <= weighted) return 0;
        return (needed - weighted) * WAD / (_t.target - WAD * THRESHOLD_BPS / (BPS - _t.slippageBps));
    }

    /// @dev Below emergency partials are allowed: one in every block, each as small as counts.
    function _slices() private {
        for (uint256 k; k < 8; ++k) {
            uint256 health = _health(OWNER);
            if (health >= _t.emergency || health < WAD) return;
            uint256 units = aWeth.balanceOf(OWNER) / 50;
            if (units > _room()) units = _room();
            if (!_sell(units)) return;
            vm.roll(block.number + 1);
        }
    }

    /// @dev Reserve and wallet into the position, as much as goes before `top`: so that it can be sold again.
    function _feed(uint256 top) private returns (bool) {
        uint256 health = _health(OWNER);
        uint256 units = aWeth.balanceOf(OWNER) * (top - health) / health * 999 / 1_000;
        uint256 have = weth.balanceOf(address(executor)) + weth.allowance(OWNER, address(executor));
        if (units > have) units = have;
        if (_payIn(abi.encodeCall(IExecutor.addCollateral, (id, _seq(), address(weth), units, type(uint64).max)))) {
            return true;
        }
        uint256 debt = dUsdc.balanceOf(OWNER) * (top - health) / top * 999 / 1_000;
        have = usdc.balanceOf(address(executor)) + usdc.allowance(OWNER, address(executor));
        if (debt > have) debt = have;
        return
            _payIn(abi.encodeCall(IExecutor.repayFromReserve, (id, _seq(), address(usdc), debt, type(uint64).max)));
    }

    /// @dev The least that starts a cooldown, or else the cap used up early; and the pool where no rescue can sell.
    function _grief() private {
        if (!_feed(_health(OWNER) + _t.hysteresis * 101 / 100) && _health(OWNER) >= _t.emergency) _sell(_room());
        _poolPrice(oracle.getAssetPrice(address(weth)) * 90 / 100);
    }

    function _liquidate() private {
        if (_health(OWNER) >= WAD) return;
        (, uint256 atMarket) = _wealths();
        vm.prank(THIEF);
        (bool ok,) = address(pool).call(
            abi.encodeCall(
                ILiquidations.liquidationCall, (address(weth), address(usdc), OWNER, type(uint256).max, false)
            )
        );
        if (!ok) return;
        (, uint256 left) = _wealths();
        uint256 lost = atMarket > left ? atMarket - left : 0;
        _taken.acts++;
        _taken.liquidation += lost;
        _taken.total += lost;
    }

    /// @dev The keeper's second bot, with what the thief has left of the cap, at the pool's price.
    function _honest() private {
        if (_health(OWNER) >= _t.trigger) return;
        uint256 price = oracle.getAssetPrice(address(weth));
        vm.roll(block.number + 1);
        Order memory o = _order(_targetRepay(price), type(uint112).max, Source.UNISWAP_V3_SWAP);
        vm.prank(BOT2);
        (bool ok,) = address(executor).call(abi.encodeCall(IExecutor.deleverage, (o)));
        ok;
    }

    // --- counting -------------------------------------------------------------------------------------------------------

    function _sale(Order memory o) private returns (bool ok) {
        (uint256 atOracle, uint256 atMarket) = _wealths();
        vm.prank(BOT);
        (ok,) = address(executor).call(abi.encodeCall(IExecutor.deleverage, (o)));
        if (!ok) return false;
        (uint256 leftOracle, uint256 leftMarket) = _wealths();
        uint256 price = oracle.getAssetPrice(address(weth));
        uint256 slipped = atOracle > leftOracle ? atOracle - leftOracle : 0;
        uint256 lost = atMarket > leftMarket ? atMarket - leftMarket : 0;
        _taken.slippage += slipped * 1e20 / price;
        if (lost > slipped) _taken.gap += (lost - slipped) * 1e20 / price;
        _taken.total += lost;
        _taken.acts++;
        if (price > _taken.priceMax) _taken.priceMax = price;
    }

    function _payIn(bytes memory data) private returns (bool ok) {
        (, uint256 before) = _wealths();
        vm.prank(BOT);
        (ok,) = address(executor).call(data);
        if (!ok) return false;
        (, uint256 left) = _wealths();
        uint256 lost = before > left ? before - left : 0;
        _taken.reserve += lost;
        _taken.total += lost;
        _taken.acts++;
        _taken.fed++;
    }

    /// @dev All that is the owner's, in USDC units, at the feed's price and at the market's; a constant more.
    function _wealths() private view returns (uint256 atOracle, uint256 atMarket) {
        uint256 units = aWeth.balanceOf(OWNER) + weth.balanceOf(OWNER) + weth.balanceOf(address(executor));
        uint256 dollars = usdc.balanceOf(OWNER) + usdc.balanceOf(address(executor)) + 1e18 - dUsdc.balanceOf(OWNER);
        atOracle = units * oracle.getAssetPrice(address(weth)) / 1e20 + dollars;
        atMarket = units * _market / 1e20 + dollars;
    }

    /// @dev What the caps, the grant and the position leave to this bot now.
    function _room() private view returns (uint256 units) {
        Spent memory all = executor.assetOf(id, address(weth), Side.COLLATERAL).spent;
        Spent memory own = executor.botSpent(id, address(weth), Side.COLLATERAL, BOT);
        uint256 epoch = block.timestamp / _t.epochS;
        uint256 share = _w.sellCap * _w.shareBps / BPS;
        units = _less(_w.sellCap, all.epoch == epoch ? all.sold : 0);
        uint256 left = _less(share, _w.shareBps != BPS && own.epoch == epoch ? own.sold : 0);
        if (left < units) units = left;
        uint256 granted = _granted();
        if (granted < units) units = granted;
    }

    function _less(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a - b : 0;
    }

    /// @dev What grant and position leave; less a hair, as the protocol rounds shares up.
    function _granted() private view returns (uint256 units) {
        units = aWeth.allowance(OWNER, address(executor));
        uint256 held = aWeth.balanceOf(OWNER);
        if (held < units) units = held;
        units = units > 4 ? units - 4 : 0;
    }

    function _swap(uint256 sold, uint256 bought) private view returns (bytes memory) {
        return abi.encodeCall(HostileRouter.swap, (address(weth), sold, address(usdc), bought));
    }

    function _seq() private view returns (uint64) {
        return executor.positionOf(id).seq;
    }

    function _isOver(Five memory t) private view returns (bool) {
        Five memory b = _bound(t.priceMax);
        (uint256 dustWeth, uint256 dustUsdc) = (DUST_WETH * t.acts, DUST_USDC * t.acts);
        return t.slippage > b.slippage + dustWeth || t.gap > b.gap + dustWeth || t.reserve > dustUsdc
            || t.tank > b.tank || t.liquidation > b.liquidation + dustUsdc || t.total > b.total + dustUsdc;
    }

    function _tell(uint256 seed, uint256 ways, Five memory t, bool over) private {
        Five memory b = _bound(t.priceMax);
        emit log_string(
            string.concat(
                string.concat("leak ", vm.toString(seed), " ", vm.toString(ways), " ", over ? "1" : "0"),
                _numbers(t),
                _numbers(b)
            )
        );
    }

    function _numbers(Five memory f) private pure returns (string memory) {
        return string.concat(
            string.concat(" ", vm.toString(f.slippage), " ", vm.toString(f.gap), " ", vm.toString(f.reserve)),
            string.concat(" ", vm.toString(f.tank), " ", vm.toString(f.liquidation), " ", vm.toString(f.total)),
            string.concat(" ", vm.toString(f.acts), " ", vm.toString(f.fed))
        );
    }
}
