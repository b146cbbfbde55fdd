// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Position, Side} from "../interfaces/IExecutor.sol";
import {Dice} from "./Dice.sol";
import {Stage} from "./Stage.sol";

/// @title What a seed decides: an owner's position, terms and grants, and seven days of prices.
/// @dev The feed stands within `gapBps` of the market at every step: that is the gap of docs/TRUST.md.
abstract contract LeakWorld is Stage, Dice {
    uint256 internal constant BPS = 10_000;
    uint256 internal constant DAYS = 7;
    uint256 internal constant STEPS = 42;
    uint256 internal constant STEP_S = 4 hours;
    uint256 internal constant START_USD8 = 3_000e8;
    /// @dev Gas money that is none of the bot's.
    uint256 internal constant OWNERS_WEI = 3 ether;
    uint256 internal constant EXECUTORS_WEI = 1 ether;
    uint256 internal constant THRESHOLD_BPS = 8_300;
    uint256 internal constant BONUS_BPS = 500;
    /// @dev More than a week's interest on the debt, and on the collateral, of this market.
    uint256 internal constant INTEREST_BPS = 50;

    struct World {
        uint256 collateral;
        uint256 debt;
        uint256 allowance;
        uint256 sellCap;
        uint256 fundCap;
        uint256 shareBps;
        uint256 gapBps;
        uint256 tank;
        uint256 reserveWeth;
        uint256 reserveUsdc;
        uint256 walletWeth;
        uint256 walletUsdc;
        /// An honest second bot, with the rest of the share.
        bool second;
    }

    /// @dev What the page on trust promises, and what was taken; the same five ways in both. Slippage and gap in WETH
    /// units at the price of each sale, the tank in wei, the rest in USDC units.
    struct Five {
        uint256 slippage;
        uint256 gap;
        uint256 reserve;
        uint256 tank;
        uint256 liquidation;
        /// USDC units: in `taken` the first two at the prices of the sales, in `bound` at the highest of them.
        uint256 total;
        /// The dearest price of a sale, and how many calls carried something out.
        uint256 priceMax;
        uint256 acts;
        /// Payments into the position from reserve and wallet; of the week told, those of all weeks tried.
        uint256 fed;
    }

    World internal _w;
    Position internal _t;
    uint256[] internal _feeds;
    uint256[] internal _markets;

    function _imagine(uint256 seed) internal {
        _cast(seed);
        _imagineTerms();
        _w.collateral = _draw(2e18, 58e18);
        uint256 health = _t.trigger + _draw(0.002e18, 0.18e18);
        if (health < 1.06e18) health = 1.06e18;
        _w.debt = _w.collateral * START_USD8 / 1e20 * THRESHOLD_BPS / BPS * WAD / health;
        // a part of the position, or more than all of it
        _w.allowance = _w.collateral * _draw(10, 140) / 100;
        _w.sellCap = _w.collateral * (_draw(0, 3) == 0 ? _draw(2, 12) : _draw(10, 110)) / 100;
        _w.fundCap = _w.collateral * _draw(1, 60) / 100;
        _w.shareBps = _draw(0, 2) == 0 ? BPS : _draw(2_500, 7_000);
        _w.gapBps = _draw(0, 4) == 0 ? 0 : _draw(10, 190);
        _w.tank = _draw(0.005e18, 0.2e18);
        _w.reserveWeth = _draw(0, 3) == 0 ? _w.collateral * _draw(1, 20) / 100 : 0;
        _w.reserveUsdc = _draw(0, 3) == 0 ? _w.debt * _draw(1, 20) / 100 : 0;
        _w.walletWeth = _draw(0, 3) == 0 ? _w.collateral * _draw(1, 20) / 100 : 0;
        _w.walletUsdc = _draw(0, 3) == 0 ? _w.debt * _draw(1, 20) / 100 : 0;
        _w.second = _w.shareBps != BPS && _draw(0, 2) == 0;
        _imaginePrices();
    }

    function _imagineTerms() private {
        Position memory t = _terms();
        t.emergency = uint64(_draw(1.01e18, 0.09e18));
        t.trigger = t.emergency + uint64(_draw(0.01e18, 0.2e18));
        t.hysteresis = uint64(_draw(0.002e18, 0.03e18));
        t.target = t.trigger + t.hysteresis + uint64(_draw(0, 0.15e18));
        t.max = t.target + uint64(_draw(0.02e18, 0.3e18));
        t.cooldownBlocks = uint24(_draw(1, 600));
        t.epochS = [uint24(6 hours), 12 hours, 1 days, 2 days, 7 days][_draw(0, 5)];
        t.slippageBps = uint16(_draw(20, 281));
        t.flashFeeBps = uint8(_draw(0, 2) == 0 ? 0 : _draw(1, 30));
        _t = t;
    }

    /// @dev Calm, falling or choppy, with a crash in one of two weeks; then where the feed stands beside the market.
    function _imaginePrices() private {
        delete _feeds;
        delete _markets;
        uint256 price = START_USD8;
        uint256 style = _draw(0, 3);
        uint256 crashAt = _draw(0, STEPS + STEPS / 2);
        uint256 crashBps = _draw(800, 2_700);
        for (uint256 i; i < STEPS; ++i) {
            uint256 spread = style == 2 ? 800 : 300;
            price = price * (BPS - spread / 2 + _draw(0, spread) - (style == 1 ? 110 : 60)) / BPS;
            if (i == crashAt) price = price * (BPS - crashBps) / BPS;
            _markets.push(price);
            uint256 lean = _draw(0, 3) == 0 ? 2 * _w.gapBps : _draw(0, 2 * _w.gapBps + 1);
            // market = feed x (1 + lean - gap)
            _feeds.push(price * BPS / (BPS + lean - _w.gapBps) + 1);
        }
    }

    function _settle() internal {
        vm.startPrank(OWNER);
        executor.setPosition(id, _t);
        executor.setAsset(id, address(weth), Side.COLLATERAL, uint112(_w.sellCap), uint112(_w.fundCap));
        executor.setAsset(id, address(usdc), Side.DEBT, 0, uint112(_w.fundCap * START_USD8 / 1e20));
        executor.setBot(BOT, uint16(_w.shareBps), type(uint40).max);
        if (_w.second) executor.setBot(BOT2, uint16(BPS - _w.shareBps), type(uint40).max);
        executor.setGuardian(GUARDIAN);
        executor.setRouter(address(router), true);
        vm.stopPrank();
        _open(OWNER, _w.collateral, _w.debt);
        _grant(_w.allowance);
        _mint(weth, address(executor), _w.reserveWeth);
        _mint(usdc, address(executor), _w.reserveUsdc);
        _mint(weth, OWNER, _w.walletWeth);
        _mint(usdc, OWNER, _w.walletUsdc);
        vm.startPrank(OWNER);
        weth.approve(address(executor), _w.walletWeth);
        usdc.approve(address(executor), _w.walletUsdc);
        vm.stopPrank();
        vm.deal(BOT, _w.tank);
        vm.deal(OWNER, OWNERS_WEI);
        vm.deal(address(executor), EXECUTORS_WEI);
        _mint(usdc, THIEF, 1e15);
        vm.prank(THIEF);
        usdc.approve(address(pool), type(uint256).max);
    }

    /// @dev docs/TRUST.md, "Each grant, and what a thief of the bot key can take", in that order. Known on day one.
    function _bound(uint256 priceMax) internal view returns (Five memory b) {
        uint256 epochs = (DAYS * 1 days + _t.epochS - 1) / _t.epochS + 1;
        uint256 units = epochs * (_w.sellCap * _w.shareBps / BPS);
        uint256 all = _w.collateral * (BPS + INTEREST_BPS) / BPS + _w.reserveWeth + _w.walletWeth;
        if (_w.allowance < units) units = _w.allowance;
        if (all < units) units = all;
        b.slippage = units * (_t.slippageBps + _t.flashFeeBps) / BPS;
        b.gap = units * _w.gapBps / BPS;
        b.tank = _w.tank;
        uint256 owed = _w.debt * (BPS + INTEREST_BPS) / BPS;
        b.liquidation = owed * ((BPS + BONUS_BPS) * (BPS + _w.gapBps) - BPS * BPS) / BPS / BPS;
        uint256 trigger = uint256(_t.trigger) * owed / WAD * BPS / THRESHOLD_BPS * 1e20 / _w.collateral;
        b.priceMax = priceMax > trigger ? priceMax : trigger;
        b.total = (b.slippage + b.gap) * b.priceMax / 1e20 + b.tank * START_USD8 / 1e20 + b.liquidation;
    }
}
