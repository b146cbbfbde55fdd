// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutor, Order, Position, Side, Source} from "../interfaces/IExecutor.sol";
import {IUniswapV3Pool} from "../interfaces/IUniswapV3.sol";
import {HostileRouter} from "../mocks/HostileRouter.sol";
import {Dice} from "./Dice.sol";
import {ITestToken, Stage} from "./Stage.sol";

/// @title What the market would answer to an order, found out by doing everything but the Executor.
/// @dev Each question is a call that ends in a revert with the answer, so that nothing of it stays.
abstract contract Rehearsal is Stage {
    error Answer(uint256 a, uint256 b);

    /// @dev The last refusal of a rehearsal: the protocol's own words, a panic of its own among them.
    bytes internal _protocolSaid;

    /// @dev All that the Executor does not hold itself; `keeper.executor.rules.Deal`, field by field.
    struct Deal {
        uint256 owed;
        uint256 priceCollateral;
        uint256 priceDebt;
        bool swapThere;
        bool lenderThere;
        uint256 fee;
        uint256 bought;
        uint256 sold;
        uint256 healthAfter;
        uint256[] stepSold;
        uint256[] stepBought;
        /// The first taking of collateral that the protocol itself refuses.
        uint256 haltedAt;
    }

    /// @dev What a router takes and pays: of the one sale, or of each step.
    struct Swaps {
        uint256 sold;
        uint256 bought;
        uint256[] stepSold;
        uint256[] stepBought;
        /// Taken besides, and handed back.
        uint256 back;
    }

    uint256 internal constant NEVER = type(uint256).max;

    /// @dev Without a router both are asked of the pool.
    function _deal(Order memory o, Swaps memory s) internal returns (Deal memory d) {
        d.haltedAt = NEVER;
        if (o.collateral != address(weth) || o.debt != address(usdc)) return d;
        d.owed = dUsdc.balanceOf(OWNER);
        d.priceCollateral = oracle.getAssetPrice(o.collateral);
        d.priceDebt = oracle.getAssetPrice(o.debt);
        if (o.source == Source.STEPWISE) {
            if (o.router != address(0)) _dealInSteps(o, s, d);
            return d;
        }
        uint256 amount = o.repay == type(uint256).max ? d.owed : o.repay;
        if (amount == 0 || amount > type(uint112).max || o.sellMax > type(uint112).max) return d;
        (d.lenderThere, d.fee) = _fee(o, amount);
        d.swapThere = o.swapFee == 500;
        (d.sold, d.bought) = (s.sold, s.bought);
        if (o.router == address(0) && d.swapThere) (d.sold, d.bought) = _quote(amount + d.fee);
        uint256 taken = o.router == address(0) ? d.sold : o.sellMax;
        Part[] memory parts = new Part[](2);
        // a loan, or the pool that pays first, repays before anything is taken
        parts[0].repaid = amount < d.owed ? amount : d.owed;
        parts[1].taken = taken;
        parts[1].unsold = taken > d.sold ? taken - d.sold : 0;
        (bool ok, uint256 health,) = _ask(address(this), abi.encodeCall(this.replay, (parts)));
        if (ok) d.healthAfter = health;
        else d.haltedAt = 0;
    }

    /// @dev One taking of collateral by the protocol's leave, and what is repaid afterwards.
    struct Part {
        uint256 taken;
        uint256 unsold;
        uint256 repaid;
    }

    function _dealInSteps(Order memory o, Swaps memory s, Deal memory d) private {
        uint256 many = o.sells.length;
        if (many != s.stepSold.length) return;
        (d.stepSold, d.stepBought) = (s.stepSold, s.stepBought);
        Part[] memory parts = new Part[](many);
        uint256 owed = d.owed;
        for (uint256 i; i < many; ++i) {
            uint256 repaid = s.stepBought[i] < owed ? s.stepBought[i] : owed;
            owed -= repaid;
            d.sold += s.stepSold[i];
            parts[i] = Part(o.sells[i], o.sells[i] - s.stepSold[i], repaid);
        }
        for (uint256 k = many; k > 0; --k) {
            (bool ok, uint256 health,) = _ask(address(this), abi.encodeCall(this.replay, (_first(parts, k))));
            if (ok && k == many) d.healthAfter = health;
            if (ok) return;
            d.haltedAt = k - 1;
        }
    }

    function _first(Part[] memory parts, uint256 many) private pure returns (Part[] memory some) {
        some = new Part[](many);
        for (uint256 i; i < many; ++i) some[i] = parts[i];
    }

    /// @dev What a payment into the position meets; `keeper.executor.rules.Purse`, field by field.
    struct Purse {
        uint256 owed;
        uint256 reserve;
        uint256 wallet;
        uint256 granted;
        uint256 healthAfter;
        /// The protocol itself takes it.
        bool taken;
    }

    function _purse(ITestToken token, uint256 amount) internal returns (Purse memory p) {
        p.owed = dUsdc.balanceOf(OWNER);
        p.reserve = token.balanceOf(address(executor));
        p.wallet = token.balanceOf(OWNER);
        p.granted = token.allowance(OWNER, address(executor));
        if (token == usdc && amount > p.owed) amount = p.owed;
        if (amount == 0 || amount > type(uint112).max) return p;
        (p.taken, p.healthAfter,) = _ask(address(this), abi.encodeCall(this.replayPayment, (token, amount)));
    }

    function replayPayment(ITestToken token, uint256 amount) external {
        _mint(token, address(this), amount);
        token.approve(address(pool), amount);
        if (token == usdc) pool.repay(address(usdc), amount, 2, OWNER);
        else pool.supply(address(token), amount, OWNER, 0);
        revert Answer(_health(OWNER), 0);
    }

    function _fee(Order memory o, uint256 amount) private returns (bool there, uint256 fee) {
        if (o.source == Source.UNISWAP_V3_SWAP || o.source == Source.STEPWISE) return (true, 0);
        if (o.source == Source.MORPHO_BLUE) return (false, 0);
        if (o.source == Source.UNISWAP_V3_FLASH) return (o.sourceFee == 500, (amount * 500 + 999_999) / 1_000_000);
        if (o.source == Source.BALANCER) return (true, (amount * vault.feeBps() + 9_999) / 10_000);
        (bool ok, uint256 premium,) =
            _ask(address(pool), abi.encodeCall(pool.flashLoanSimple, (address(this), address(usdc), amount, "", 0)));
        return (ok, premium);
    }

    function _quote(uint256 wanted) private returns (uint256 sold, uint256 bought) {
        bool zeroForOne = address(weth) < address(usdc);
        uint160 limit = zeroForOne ? 4_295_128_740 : 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_341;
        (, sold, bought) = _ask(
            uniswap, abi.encodeCall(IUniswapV3Pool.swap, (address(this), zeroForOne, -int256(wanted), limit, ""))
        );
    }

    function _ask(address target, bytes memory data) private returns (bool ok, uint256 a, uint256 b) {
        (, bytes memory answer) = target.call(data);
        if (bytes4(answer) != Answer.selector) {
            _protocolSaid = answer;
            return (false, 0, 0);
        }
        assembly {
            a := mload(add(answer, 0x24))
            b := mload(add(answer, 0x44))
        }
        return (true, a, b);
    }

    function executeOperation(address, uint256, uint256 premium, address, bytes calldata) external pure returns (bool) {
        revert Answer(premium, 0);
    }

    function uniswapV3SwapCallback(int256 amount0, int256 amount1, bytes calldata) external pure {
        if (amount0 > 0) revert Answer(uint256(amount0), uint256(-amount1));
        revert Answer(uint256(amount1), uint256(-amount0));
    }

    /// @dev The protocol's part of a sale, in the Executor's order and roundings: health at its end.
    function replay(Part[] calldata parts) external {
        for (uint256 i; i < parts.length; ++i) _do(parts[i]);
        revert Answer(_health(OWNER), 0);
    }

    function _do(Part calldata part) private {
        if (part.taken != 0) {
            vm.prank(OWNER);
            aWeth.approve(address(this), part.taken);
            aWeth.transferFrom(OWNER, address(this), part.taken);
            pool.withdraw(address(weth), part.taken, address(this));
        }
        if (part.unsold != 0) {
            weth.approve(address(pool), part.unsold);
            pool.supply(address(weth), part.unsold, OWNER, 0);
        }
        if (part.repaid != 0) {
            _mint(usdc, address(this), part.repaid);
            usdc.approve(address(pool), part.repaid);
            pool.repay(address(usdc), part.repaid, 2, OWNER);
        }
    }
}

/// @title States and orders as the dice will have them, and what the Executor makes of each.
/// @dev The daemon's guard is asked about the same ones (tests/chaos/leak_parity.py): the same yes, or the same no.
contract PolicyParity is Rehearsal, Dice {
    event log_string(string line);

    struct Word {
        bool ok;
        bytes data;
    }

    /// @dev One state, as the daemon would read it, and one order.
    struct Row {
        Order order;
        bytes words;
        uint256 number;
        uint256 timestamp;
        uint256 health;
        Deal deal;
        bool accepted;
        bytes refusal;
        /// What the rehearsal was refused with.
        bytes own;
    }

    /// @dev One state, and one payment into the position.
    struct PayRow {
        Payment payment;
        bytes words;
        uint256 number;
        uint256 timestamp;
        uint256 health;
        Purse purse;
        bool accepted;
        bytes refusal;
        /// What the rehearsal was refused with.
        bytes own;
    }

    struct Payment {
        Side side;
        uint64 seq;
        address token;
        uint256 amount;
        uint64 deadline;
    }

    /// @dev The order under construction, and what its router takes and pays.
    struct Draft {
        Order order;
        Swaps swaps;
    }

    /// @dev One question of the daemon's, as `keeper.executor.read.calls` asks it.
    struct Call {
        address target;
        bytes data;
    }

    address private _unlisted;
    Call[] private _asked;

    function setUp() public {
        _deploy();
        _configure(type(uint96).max, type(uint96).max);
        _open(OWNER, 10e18, 17_000e6);
        _grant(8e18);
        HostileRouter other = new HostileRouter(THIEF);
        _mint(weth, address(other), 1e26);
        _mint(usdc, address(other), 1e20);
        _unlisted = address(other);
    }

    function test_policy_parity() public {
        uint256 first = vm.envOr("PARITY_FIRST", uint256(0));
        uint256 many = vm.envOr("PARITY_MANY", uint256(1));
        emit log_string(string.concat("posts ", vm.toString(abi.encode(_places()))));
        bytes memory calls = vm.parseBytes(vm.envOr("PARITY_CALLS", "0x"));
        Call[] memory asked = calls.length == 0 ? new Call[](0) : abi.decode(calls, (Call[]));
        for (uint256 i; i < asked.length; ++i) _asked.push(asked[i]);
        uint256 clean = vm.snapshotState();
        for (uint256 seed = first; seed < first + many; ++seed) {
            // a call of its own: memory is given back
            if (seed % 4 == 3) emit log_string(string.concat("payment ", vm.toString(this.payment(seed))));
            else emit log_string(string.concat("parity ", vm.toString(this.one(seed))));
            vm.revertToState(clean);
        }
    }

    function _places() private view returns (address[12] memory) {
        return [
            address(executor), OWNER, BOT, address(pool), address(weth), address(usdc), address(aWeth), address(dUsdc),
            address(router), _unlisted, dai, address(this)
        ];
    }

    function one(uint256 seed) external returns (bytes memory) {
        _cast(seed);
        Draft memory d = _draft();
        uint256 changes = _draw(0, 4);
        for (uint256 k; k < changes; ++k) _change(d);
        Row memory row;
        row.order = d.order;
        row.words = _words();
        (row.number, row.timestamp) = (block.number, block.timestamp);
        row.health = _health(OWNER);
        delete _protocolSaid;
        row.deal = _deal(d.order, d.swaps);
        row.own = _protocolSaid;
        vm.prank(BOT);
        (row.accepted, row.refusal) =
            address(executor).call{gas: 8_000_000}(abi.encodeCall(IExecutor.deleverage, (d.order)));
        if (row.accepted) row.refusal = "";
        return abi.encode(row);
    }

    function payment(uint256 seed) external returns (bytes memory) {
        _cast(seed);
        Draft memory d = _draft();
        Payment memory p = _payment();
        uint256 changes = _draw(0, 3);
        for (uint256 k; k < changes; ++k) _changePayment(d, p);
        PayRow memory row;
        row.payment = p;
        row.words = _words();
        (row.number, row.timestamp) = (block.number, block.timestamp);
        row.health = _health(OWNER);
        delete _protocolSaid;
        row.purse = _purse(ITestToken(p.token), p.amount);
        row.own = _protocolSaid;
        bytes memory data = abi.encodeCall(IExecutor.addCollateral, (id, p.seq, p.token, p.amount, p.deadline));
        if (p.side == Side.DEBT) {
            data = abi.encodeCall(IExecutor.repayFromReserve, (id, p.seq, p.token, p.amount, p.deadline));
        }
        vm.prank(BOT);
        (row.accepted, row.refusal) = address(executor).call{gas: 8_000_000}(data);
        if (row.accepted) row.refusal = "";
        return abi.encode(row);
    }

    // --- states ---------------------------------------------------------------------------------------------------------

    /// @dev A crash; in one of four worlds a first sale has been made in the same epoch. The order would be a good one.
    function _draft() private returns (Draft memory d) {
        if (_draw(0, 4) == 0) {
            _price(2_300e8);
            Order memory first = _order(_repayFor(1.42e18), 8e18, Source.UNISWAP_V3_SWAP);
            vm.prank(BOT);
            (bool ok,) = address(executor).call(abi.encodeCall(IExecutor.deleverage, (first)));
            if (ok) vm.roll(block.number + _draw(0, 8));
            _crash(1_500e8 + _draw(0, 500e8));
        } else {
            _crash(2_055e8 + _draw(0, 450e8));
        }
        if (_draw(0, 3) == 0) _try(abi.encodeCall(IExecutor.setBot, (BOT, uint16(_draw(5_000, 5_000)), type(uint40).max)));
        uint256 target = 1.405e18 + _draw(0, 0.17e18);
        uint256 repay = _health(OWNER) < 1.39e18 ? _repayFor(target) : 1_000e6;
        Source source = [
            Source.UNISWAP_V3_SWAP, Source.UNISWAP_V3_SWAP, Source.UNISWAP_V3_FLASH, Source.AAVE_V3, Source.BALANCER
        ][_draw(0, 5)];
        d.order = _order(repay, _worthInWeth(repay) * 101 / 100, source);
        if (source != Source.UNISWAP_V3_SWAP && _draw(0, 2) == 0) _viaRouter(d);
        else if (_draw(0, 8) == 0) _inSteps(d);
        else if (_draw(0, 3) == 0) _exactly(d);
    }

    /// @dev The limit is what is sold: the worst end of the order is its end.
    function _exactly(Draft memory d) private {
        uint256 sold = _deal(d.order, d.swaps).sold;
        if (sold != 0) d.order.sellMax = sold;
    }

    function _crash(uint256 usd8) private {
        _feedPrice(usd8);
        _poolPrice(usd8 * _draw(990, 16) / 1_000);
    }

    /// @dev It takes a part of what it may and pays about what the oracle and the slippage ask for.
    function _viaRouter(Draft memory d) private {
        (d.order.router, d.order.swapFee) = (address(router), 0);
        d.swaps.sold = d.order.sellMax - (_draw(0, 2) == 0 ? 0 : _draw(0, d.order.sellMax / 50 + 1));
        d.swaps.bought = _worthInUsdc(d.swaps.sold) * _draw(9_880, 125) / 10_000;
        if (_draw(0, 3) == 0) (d.swaps.sold, d.swaps.bought) = (d.order.sellMax, d.order.repay + _deal(d.order, d.swaps).fee);
        d.order.data = new bytes[](1);
        if (_draw(0, 3) == 0) d.swaps.back = _draw(0, d.order.sellMax - d.swaps.sold + 1);
        _rewrite(d);
    }

    /// @dev What is free first, then what that frees; now and then more than that.
    function _inSteps(Draft memory d) private {
        (d.order.router, d.order.swapFee, d.order.source, d.order.repay) = (address(router), 0, Source.STEPWISE, 0);
        uint256 many = _draw(1, 3);
        d.order.data = new bytes[](many);
        d.order.sells = new uint256[](many);
        (d.swaps.stepSold, d.swaps.stepBought) = (new uint256[](many), new uint256[](many));
        uint256 left = d.order.sellMax;
        for (uint256 i; i < many; ++i) {
            uint256 sell = i + 1 == many ? left : left * _draw(10, 60) / 100;
            left -= sell;
            (d.order.sells[i], d.swaps.stepSold[i]) = (sell, sell - (_draw(0, 3) == 0 ? sell / 100 : 0));
            d.swaps.stepBought[i] = _worthInUsdc(d.swaps.stepSold[i]) * _draw(9_895, 110) / 10_000;
            if (_draw(0, 24) == 0) d.swaps.stepBought[i] = 0;
        }
        if (_draw(0, 12) == 0) d.order.sells[many - 1] += 1;
        if (_draw(0, 4) == 0) _emergencyAbove();
        _rewrite(d);
    }

    /// @dev The state is an emergency: less than the target will do.
    function _emergencyAbove() private {
        Position memory t = executor.positionOf(id);
        uint256 health = _health(OWNER);
        (t.emergency, t.trigger, t.target, t.max) = (uint64(health + 1), uint64(health + 2), 3e18, 5e18);
        _try(abi.encodeCall(IExecutor.setPosition, (id, t)));
    }

    function _rewrite(Draft memory d) private view {
        if (d.order.router == address(0)) return;
        if (d.order.source == Source.STEPWISE) {
            for (uint256 i; i < d.order.data.length && i < d.swaps.stepSold.length; ++i) {
                d.order.data[i] = _swapData(d.swaps.stepSold[i], d.swaps.stepBought[i]);
            }
        } else if (d.order.data.length == 1) {
            d.order.data[0] = d.swaps.back == 0
                ? _swapData(d.swaps.sold, d.swaps.bought)
                : abi.encodeCall(
                    HostileRouter.swapBack,
                    (address(weth), d.swaps.sold + d.swaps.back, d.swaps.back, address(usdc), d.swaps.bought)
                );
        }
    }

    function _swapData(uint256 sold, uint256 bought) private view returns (bytes memory) {
        return abi.encodeCall(HostileRouter.swap, (address(weth), sold, address(usdc), bought));
    }

    function _worthInUsdc(uint256 units) private view returns (uint256) {
        return units * oracle.getAssetPrice(address(weth)) / 1e20;
    }

    function _worthInWeth(uint256 units) private view returns (uint256) {
        return units * 1e20 / oracle.getAssetPrice(address(weth));
    }

    /// @dev One thing otherwise, mostly at the very place where a rule turns.
    function _change(Draft memory d) private {
        uint256 n = _draw(0, 34);
        if (n < 12) _changeTerms(d, n % 9);
        else if (n < 22) _changeRights(d, n - 12);
        else _changeOrder(d, n - 22);
        _rewrite(d);
    }

    function _changeTerms(Draft memory d, uint256 n) private {
        Position memory t = executor.positionOf(id);
        uint256 health = _health(OWNER);
        if (n < 3) {
            uint256 afterwards = _deal(d.order, d.swaps).healthAfter;
            if (afterwards > 2.5e18) afterwards = 2.5e18;
            (t.emergency, t.trigger, t.hysteresis) = (1.01e18, uint64(health > 1.02e18 ? health + 1e12 : 1.03e18), 1e15);
            if (n == 0) (t.target, t.max) = (uint64(_near(afterwards)), 5e18);
            else if (n == 1) (t.target, t.max) = (t.trigger + 0.003e18, uint64(_near(afterwards)));
            // a partial, below emergency
            else (t.emergency, t.trigger, t.target, t.max) = (uint64(health + 1), uint64(health + 2), 3e18, 5e18);
        } else if (n == 3) {
            (t.emergency, t.trigger) = (uint64(_near(health)), uint64(health + 0.01e18));
        } else if (n == 4) {
            (t.emergency, t.trigger, t.target, t.max) = (1.01e18, uint64(_near(health)), 1.4e18, 1.6e18);
        } else if (n == 5) {
            t.cooldownBlocks = uint24(_near(block.number - t.lastBlock));
        } else if (n == 6) {
            t.slippageBps = uint16(_draw(1, 300));
        } else if (n == 7) {
            t.flashFeeBps = uint8(_draw(0, 12));
        } else {
            t.epochS = uint24(_draw(3_600, 200_000));
        }
        _try(abi.encodeCall(IExecutor.setPosition, (id, t)));
    }

    function _changeRights(Draft memory d, uint256 n) private {
        uint112 cap = uint112(_near(d.order.sellMax));
        if (n == 0) _try(abi.encodeCall(IExecutor.pause, ()));
        else if (n == 1) _try(abi.encodeCall(IExecutor.removePosition, (id)));
        else if (n == 2) _try(abi.encodeCall(IExecutor.setBot, (BOT, uint16(_draw(0, 3) * 5_000), type(uint40).max)));
        else if (n == 3) _try(abi.encodeCall(IExecutor.setBot, (BOT, 10_000, uint40(block.timestamp - 1 + _draw(0, 3)))));
        else if (n == 4) _try(abi.encodeCall(IExecutor.removeAsset, (id, address(usdc), Side.DEBT)));
        else if (n == 5) _try(abi.encodeCall(IExecutor.setRouter, (address(router), false)));
        else if (n == 6) _grant(_near(d.order.sellMax));
        else if (n == 7) vault.setFee(_draw(0, 15));
        else if (n == 8) _expire(d);
        else _try(abi.encodeCall(IExecutor.setAsset, (id, address(weth), Side.COLLATERAL, cap, cap)));
    }

    /// @dev About what reaches target, of which reserve, wallet and grant hold a part each.
    function _payment() private returns (Payment memory p) {
        p.side = Side(_draw(0, 2));
        ITestToken token = p.side == Side.DEBT ? usdc : weth;
        uint256 health = _health(OWNER);
        p.amount = p.side == Side.DEBT ? dUsdc.balanceOf(OWNER) : aWeth.balanceOf(OWNER);
        if (health < 1.4e18) p.amount = p.amount * (1.42e18 - health) / (p.side == Side.DEBT ? 1.42e18 : health);
        (p.token, p.seq, p.deadline) = (address(token), executor.positionOf(id).seq, uint64(block.timestamp + 60));
        uint256 kept = _draw(0, 3) * p.amount / 2;
        _mint(token, address(executor), kept);
        _mint(token, OWNER, p.amount);
        vm.prank(OWNER);
        token.approve(address(executor), type(uint256).max);
    }

    function _changePayment(Draft memory d, Payment memory p) private {
        ITestToken token = ITestToken(p.token);
        uint256 n = _draw(0, 16);
        if (n < 3) _changeTerms(d, 3 + _draw(0, 6));
        else if (n < 5) _changeRights(d, _draw(0, 5));
        else if (n == 5) p.seq = uint64(_near(p.seq));
        else if (n == 6) p.deadline = uint64(block.timestamp - 1 + _draw(0, 3));
        else if (n == 7) p.amount = [uint256(0), 1, 1 << 112, type(uint256).max][_draw(0, 4)];
        else if (n == 8) p.amount = p.amount / _draw(2, 100);
        else if (n == 9 && p.amount <= type(uint112).max) p.amount = p.amount * _draw(2, 3);
        else if (n == 10) p.token = dai;
        else if (n == 11) _spendWallet(token, _near(_some(p.amount) / 2));
        else if (n == 12) _allow(token, _near(_some(p.amount) / 2));
        else if (n == 13) _little(p);
        else if (p.token != dai) _capFund(p, uint112(_near(_some(p.amount))));
    }

    /// @dev An amount that the dice can go round about: nobody has more of a token.
    function _some(uint256 amount) private pure returns (uint256) {
        return amount > type(uint112).max ? type(uint112).max : amount;
    }

    /// @dev Below emergency, about as little as still counts.
    function _little(Payment memory p) private {
        _emergencyAbove();
        uint256 whole = p.side == Side.DEBT ? dUsdc.balanceOf(OWNER) : aWeth.balanceOf(OWNER);
        p.amount = whole * _draw(95, 20) / 100_000;
    }

    function _spendWallet(ITestToken token, uint256 left) private {
        uint256 held = token.balanceOf(OWNER);
        vm.prank(OWNER);
        token.transfer(address(0xdead), held > left ? held - left : 0);
    }

    function _allow(ITestToken token, uint256 units) private {
        vm.prank(OWNER);
        token.approve(address(executor), units);
    }

    function _capFund(Payment memory p, uint112 cap) private {
        _try(abi.encodeCall(IExecutor.setAsset, (id, p.token, p.side, p.side == Side.DEBT ? 0 : type(uint96).max, cap)));
    }

    /// @dev The policy ends in a moment; then that moment is over, or is now.
    function _expire(Draft memory d) private {
        Position memory t = executor.positionOf(id);
        t.expiry = uint40(block.timestamp + 10);
        _try(abi.encodeCall(IExecutor.setPosition, (id, t)));
        vm.warp(block.timestamp + _draw(9, 3));
        d.order.deadline = uint64(block.timestamp + 60);
    }

    function _changeOrder(Draft memory d, uint256 n) private {
        Order memory o = d.order;
        if (n == 0) o.seq = uint64(_near(o.seq));
        else if (n == 1) o.deadline = uint64(block.timestamp - 1 + _draw(0, 3));
        else if (n == 2) o.sellMax = _draw(0, 2) == 0 ? 0 : uint256(type(uint112).max) + _draw(0, 2);
        else if (n == 3) o.repay = [uint256(0), 1 << 112, type(uint256).max, dUsdc.balanceOf(OWNER) + 1][_draw(0, 4)];
        else if (n == 4) o.router = [address(0), address(router), _unlisted][_draw(0, 3)];
        else if (n == 5) o.source = Source(_draw(0, 6));
        else if (n == 6) o.data = new bytes[](_draw(0, 3));
        else if (n == 7) (o.collateral, o.debt) = _draw(0, 2) == 0 ? (dai, o.debt) : (o.collateral, o.collateral);
        else if (n == 8) (o.swapFee, o.sourceFee) = _draw(0, 2) == 0 ? (uint24(3_000), uint24(500)) : (uint24(500), uint24(100));
        else if (n == 9 && o.router != address(0)) o.repay = 1e6;
        else _sellAbout(d);
    }

    /// @dev The limit about what the pool would take; or the router's price about what the oracle asks for.
    function _sellAbout(Draft memory d) private {
        if (d.order.router == address(0)) {
            d.order.sellMax = _near(_deal(d.order, d.swaps).sold);
            return;
        }
        if (d.order.source == Source.STEPWISE) {
            if (d.order.sells.length != 0) d.order.sellMax = _near(d.order.sellMax);
            return;
        }
        uint256 wanted = d.swaps.sold * oracle.getAssetPrice(address(weth)) * (10_000 - executor.positionOf(id).slippageBps);
        // an order that sells nothing is asked for nothing
        d.swaps.bought = (wanted == 0 ? 0 : (wanted - 1) / (1e20 * 10_000)) + _draw(0, 3);
    }

    function _try(bytes memory data) private {
        vm.prank(OWNER);
        (bool ok,) = address(executor).call(data);
        ok;
    }

    // --- what the daemon reads --------------------------------------------------------------------------------------------

    /// @dev As Multicall3 answers it: the place of that contract is taken by this one.
    function getBlockNumber() external view returns (uint256) {
        return block.number;
    }

    function _words() private view returns (bytes memory) {
        Word[] memory words = new Word[](_asked.length);
        for (uint256 i; i < words.length; ++i) {
            (words[i].ok, words[i].data) = _asked[i].target.staticcall(_asked[i].data);
        }
        return abi.encode(words);
    }
}
