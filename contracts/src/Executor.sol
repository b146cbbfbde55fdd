// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IAaveV3FlashReceiver, IAaveV3Pool} from "../interfaces/IAaveV3.sol";
import {Act, Asset, Bot, Order, Position, Side, Source, Spent} from "../interfaces/IExecutor.sol";
import {
    IBalancerFlashReceiver,
    IBalancerVault,
    IMorphoBlueFlash,
    IMorphoBlueFlashReceiver
} from "../interfaces/IFlashLenders.sol";
import {IUniswapV3Callbacks, IUniswapV3Pool} from "../interfaces/IUniswapV3.sol";
import {Callbacks} from "../libraries/Callbacks.sol";
import {Policies} from "../libraries/Policies.sol";
import {Spending} from "../libraries/Spending.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Settings} from "./Settings.sol";

/// @title What bots may do with one owner's lending positions.
/// @notice Each bot call is checked before (who, when, trigger), bounded in the middle (oracle price, caps, callbacks)
/// and checked after (health, caps, residue). docs/TRUST.md says what remains to be lost.
abstract contract Executor is
    Settings,
    IAaveV3FlashReceiver,
    IMorphoBlueFlashReceiver,
    IBalancerFlashReceiver,
    IUniswapV3Callbacks
{
    using Spending for *;

    /// @dev One deleverage, as it travels through a lender or a pool; the callback takes it only with its digest.
    struct Job {
        bytes32 position;
        address collateral;
        address debt;
        address receipt;
        /// Debt units to repay, at most what is owed.
        uint256 amount;
        /// Debt units that the pool is to pay.
        uint256 bought;
        uint256 sellMax;
        uint256 feeMax;
        /// A swap is good when bought x weightBought >= sold x weightSold: oracle prices, decimals and slippage.
        uint256 weightSold;
        uint256 weightBought;
        /// The swap's pool pays first, so the repayment is still to be done when it calls back.
        bool poolFirst;
        address router;
        uint24 swapFee;
        bytes data;
    }

    /// @dev What was there before, to measure against, and what was moved.
    struct Measure {
        uint256 health;
        uint256 shares;
        uint256 collateral;
        uint256 debt;
        uint256 priceCollateral;
        uint256 priceDebt;
        address collateralToken;
        address debtToken;
        uint256 moved;
        uint256 repaid;
    }

    /// @dev As `repay` of an order: whatever is owed. An exact amount above that is refused, and saves the question.
    uint256 private constant ALL = type(uint256).max;
    /// @dev Uniswap's limits of price: the bound is the oracle's, checked in the callback.
    uint160 private constant SQRT_PRICE_MIN = 4_295_128_740;
    uint160 private constant SQRT_PRICE_MAX = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_341;

    // --- bots -----------------------------------------------------------------------------------------------------------

    function deleverage(Order calldata order) external nonReentrant {
        Measure memory m;
        Position memory p;
        (p, m.health) = _admit(order.position, order.seq, order.deadline);
        Job memory job = _job(order, p, m);
        m.shares = _shares(order.position, job.receipt);
        bool passesHere = job.router != address(0);
        if (passesHere) m.collateral = Tokens.here(job.collateral);
        m.debt = Tokens.here(job.debt);

        m.repaid = _run(order, job);
        Callbacks.done();

        uint256 left = _shares(order.position, job.receipt);
        m.moved = _unitsOf(order.position, job.collateral, m.shares > left ? m.shares - left : 0);
        _spend(order.position, job.collateral, Side.COLLATERAL, p.epochS, m.moved, 0);
        // a Uniswap pool is paid straight out of the position: nothing came by
        if (passesHere) _sweep(job.collateral, m.collateral);
        _sweep(job.debt, m.debt);
        (m.collateralToken, m.debtToken) = (job.collateral, job.debt);
        _finish(order.position, p, m, Act.DELEVERAGE);
    }

    function addCollateral(bytes32 position, uint64 seq, address token, uint256 amount, uint64 deadline)
        external
        nonReentrant
    {
        _payIn(position, seq, token, amount, deadline, Side.COLLATERAL);
    }

    function repayFromReserve(bytes32 position, uint64 seq, address token, uint256 amount, uint64 deadline)
        external
        nonReentrant
    {
        _payIn(position, seq, token, amount, deadline, Side.DEBT);
    }

    // --- callbacks --------------------------------------------------------------------------------------------------------

    function executeOperation(address asset, uint256 amount, uint256 fee, address initiator, bytes calldata params)
        external
        returns (bool)
    {
        Job memory job = _accept(params);
        if (initiator != address(this)) revert CallbackInitiator(initiator);
        if (asset != job.debt || amount != job.amount) revert CallbackArguments();
        _unwind(job, fee);
        Tokens.allow(asset, msg.sender, amount + fee);
        return true;
    }

    function onMorphoFlashLoan(uint256 assets, bytes calldata data) external {
        Job memory job = _accept(data);
        if (assets != job.amount) revert CallbackArguments();
        _unwind(job, 0);
        Tokens.allow(job.debt, msg.sender, assets);
    }

    function receiveFlashLoan(
        address[] calldata tokens,
        uint256[] calldata amounts,
        uint256[] calldata fees,
        bytes calldata userData
    ) external {
        Job memory job = _accept(userData);
        if (tokens.length != 1 || tokens[0] != job.debt || amounts[0] != job.amount) revert CallbackArguments();
        _unwind(job, fees[0]);
        Tokens.send(job.debt, msg.sender, job.amount + fees[0]);
    }

    /// @dev Only the debt token was borrowed, so one of the two fees is nothing.
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external {
        Job memory job = _accept(data);
        _unwind(job, fee0 + fee1);
        Tokens.send(job.debt, msg.sender, job.amount + fee0 + fee1);
    }

    /// @dev The pool has paid already. Repay if that is still to be done, then pay the pool with the owner's collateral.
    function uniswapV3SwapCallback(int256 amount0, int256 amount1, bytes calldata data) external {
        Job memory job = _accept(data);
        (uint256 sold, uint256 bought) =
            amount0 > 0 ? (uint256(amount0), uint256(-amount1)) : (uint256(amount1), uint256(-amount0));
        if (bought != job.bought) revert SwapShort(bought, job.bought);
        if (sold > job.sellMax) revert SellLimit(sold, job.sellMax);
        _checkPrice(job, sold, bought);
        if (job.poolFirst) _repay(job.position, job.debt, job.amount);
        _take(job.position, job.collateral, job.receipt, sold, msg.sender);
    }

    /// @dev The one gate of all callbacks: the caller that is expected, with the bytes that were sent out, once.
    function _accept(bytes calldata data) private returns (Job memory) {
        Callbacks.accept(data);
        return abi.decode(data, (Job));
    }

    // --- before -----------------------------------------------------------------------------------------------------------

    /// @dev Who and when, in this order; the first refusal wins, and the daemon's guard asks in the same order.
    function _admit(bytes32 position, uint64 seq, uint64 deadline)
        private
        returns (Position memory p, uint256 health)
    {
        Bot memory bot = _bots[msg.sender];
        if (bot.shareBps == 0 || block.timestamp > bot.expiry) revert NotBot(msg.sender);
        if (paused) revert IsPaused();
        Position storage stored = _positions[position];
        p = stored;
        if (p.trigger == 0) revert PositionUnknown(position);
        if (seq != p.seq) revert WrongSeq(p.seq, seq);
        if (block.timestamp > p.expiry) revert PolicyExpired(p.expiry);
        if (block.timestamp > deadline) revert DeadlinePassed(deadline);
        health = _health(position);
        if (health >= p.trigger) revert NotTriggered(health, p.trigger);
        uint256 untilBlock = p.lastBlock + (health < p.emergency ? 1 : p.cooldownBlocks);
        if (block.number < untilBlock) revert CoolingDown(untilBlock);
        stored.seq = p.seq + 1;
        stored.lastBlock = uint40(block.number);
    }

    /// @dev What is asked, against what is listed; and the prices, before anything can move them.
    function _job(Order calldata order, Position memory p, Measure memory m) private view returns (Job memory job) {
        Asset storage collateral = _listed(order.position, order.collateral, Side.COLLATERAL);
        Asset storage debt = _listed(order.position, order.debt, Side.DEBT);
        if (order.collateral == order.debt) revert AssetUnknown(order.position, order.debt);
        _checkRoute(order);
        if (order.sellMax == 0 || order.sellMax > type(uint112).max) revert BadAmount(order.sellMax);
        (m.priceCollateral, m.priceDebt) =
            _prices(order.position, order.collateral, order.debt);

        job.position = order.position;
        job.collateral = order.collateral;
        job.debt = order.debt;
        job.receipt = collateral.receipt;
        job.sellMax = order.sellMax;
        job.router = order.router;
        job.swapFee = order.swapFee;
        job.poolFirst = order.source == Source.UNISWAP_V3_SWAP;
        job.weightSold = m.priceCollateral * debt.unit * (BPS - p.slippageBps);
        job.weightBought = m.priceDebt * collateral.unit * BPS;
        if (order.source == Source.STEPWISE) return job;
        job.amount = order.repay == ALL ? _owed(order.position, debt.receipt) : order.repay;
        if (job.amount == 0 || job.amount > type(uint112).max) revert BadAmount(order.repay);
        job.bought = job.amount;
        job.feeMax = job.amount * p.flashFeeBps / BPS;
        if (order.router != address(0)) job.data = order.data[0];
    }

    /// @dev A router must be listed and have its calldata; the pool needs none. Stepwise needs a router, and the pool
    /// that pays first needs to be the one that swaps.
    function _checkRoute(Order calldata order) private view {
        bool routed = order.router != address(0);
        if (routed && !routerAllowed[order.router]) revert RouterUnknown(order.router);
        if (order.source == Source.STEPWISE) {
            if (!routed || order.sells.length == 0) revert RouterUnknown(order.router);
            if (order.data.length != order.sells.length) revert BadAmount(order.data.length);
        } else {
            if (routed && order.source == Source.UNISWAP_V3_SWAP) revert RouterUnknown(order.router);
            if (order.data.length != (routed ? 1 : 0)) revert BadAmount(order.data.length);
        }
    }

    function _listed(bytes32 position, address token, Side side) private view returns (Asset storage a) {
        a = _assets[position][side][token];
        if (a.receipt == address(0)) revert AssetUnknown(position, token);
    }

    // --- in the middle ----------------------------------------------------------------------------------------------------

    function _run(Order calldata order, Job memory job) private returns (uint256 repaid) {
        if (order.source == Source.STEPWISE) return _stepwise(order, job);
        if (order.source == Source.UNISWAP_V3_SWAP) _swapOnPool(job);
        else _borrow(order, job);
        return job.amount;
    }

    function _borrow(Order calldata order, Job memory job) private {
        address lender = _lender(order);
        bytes memory data = abi.encode(job);
        Callbacks.expect(lender, data);
        if (order.source == Source.AAVE_V3) {
            IAaveV3Pool(lender).flashLoanSimple(address(this), job.debt, job.amount, data, 0);
        } else if (order.source == Source.MORPHO_BLUE) {
            IMorphoBlueFlash(lender).flashLoan(job.debt, job.amount, data);
        } else if (order.source == Source.BALANCER) {
            (address[] memory tokens, uint256[] memory amounts) = (new address[](1), new uint256[](1));
            (tokens[0], amounts[0]) = (job.debt, job.amount);
            IBalancerVault(lender).flashLoan(address(this), tokens, amounts, data);
        } else {
            bool first = job.debt < order.sourceToken;
            IUniswapV3Pool(lender).flash(address(this), first ? job.amount : 0, first ? 0 : job.amount, data);
        }
    }

    function _lender(Order calldata order) private view returns (address lender) {
        if (order.source == Source.AAVE_V3) lender = AAVE_V3_POOL;
        else if (order.source == Source.MORPHO_BLUE) lender = MORPHO_BLUE;
        else if (order.source == Source.BALANCER) lender = BALANCER_VAULT;
        else lender = _pool(order.debt, order.sourceToken, order.sourceFee);
        if (lender == address(0)) revert SourceUnavailable(uint8(order.source));
    }

    /// @dev The borrowed money is here: repay, then sell until it can be given back.
    function _unwind(Job memory job, uint256 fee) private {
        if (fee > job.feeMax) revert FlashFeeTooHigh(fee, job.feeMax);
        _repay(job.position, job.debt, job.amount);
        job.bought = job.amount + fee;
        if (job.router == address(0)) return _swapOnPool(job);
        uint256 bought = _swapOnRouter(job, job.sellMax, job.data);
        // the reserve held here is not for this
        if (bought < job.bought) revert SwapShort(bought, job.bought);
    }

    /// @dev Sell what is free, repay, and again: each step frees more. The pool refuses a step that takes too much.
    function _stepwise(Order calldata order, Job memory job) private returns (uint256 repaid) {
        address debtReceipt = _assets[order.position][Side.DEBT][order.debt].receipt;
        uint256 total;
        for (uint256 i; i < order.sells.length; ++i) {
            total += order.sells[i];
            if (total > job.sellMax) revert SellLimit(total, job.sellMax);
            uint256 bought = _swapOnRouter(job, order.sells[i], order.data[i]);
            bought = _atMost(bought, _owed(job.position, debtReceipt));
            if (bought == 0) revert BadAmount(bought);
            _repay(job.position, job.debt, bought);
            repaid += bought;
        }
    }

    /// @dev Buys `job.bought` exactly; the pool is paid in the callback, straight out of the position.
    function _swapOnPool(Job memory job) private {
        address pool = _pool(job.collateral, job.debt, job.swapFee);
        if (pool == address(0)) revert SourceUnavailable(uint8(Source.UNISWAP_V3_SWAP));
        bytes memory data = abi.encode(job);
        Callbacks.expect(pool, data);
        bool zeroForOne = job.collateral < job.debt;
        IUniswapV3Pool(pool).swap(
            address(this), zeroForOne, -int256(job.bought), zeroForOne ? SQRT_PRICE_MIN : SQRT_PRICE_MAX, data
        );
    }

    /// @dev The one call whose bytes a bot composes. What it did is measured, never believed.
    function _swapOnRouter(Job memory job, uint256 sell, bytes memory data) private returns (uint256 bought) {
        uint256 collateralBefore = Tokens.here(job.collateral);
        uint256 debtBefore = Tokens.here(job.debt);
        _take(job.position, job.collateral, job.receipt, sell, address(this));
        Tokens.exact(job.collateral, sell, Tokens.here(job.collateral) - collateralBefore);

        Tokens.allow(job.collateral, job.router, sell);
        (bool ok, bytes memory reason) = job.router.call(data);
        if (!ok) revert SwapFailed(reason);
        Tokens.clear(job.collateral, job.router);

        uint256 unsold = Tokens.here(job.collateral) - collateralBefore;
        bought = Tokens.here(job.debt) - debtBefore;
        _checkPrice(job, unsold < sell ? sell - unsold : 0, bought);
        if (unsold != 0) _supply(job.position, job.collateral, unsold);
    }

    function _checkPrice(Job memory job, uint256 sold, uint256 bought) private pure {
        if (bought * job.weightBought < sold * job.weightSold) revert SlippageExceeded(sold, bought);
    }

    /// @dev EIP-1014, as the factory does it: whoever is at that address is a pool of that factory.
    /// @return pool zero when there is none.
    function _pool(address tokenA, address tokenB, uint24 fee) private view returns (address pool) {
        (address token0, address token1) = tokenA < tokenB ? (tokenA, tokenB) : (tokenB, tokenA);
        bytes32 salt = keccak256(abi.encode(token0, token1, fee));
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", UNISWAP_V3_FACTORY, salt, UNISWAP_V3_POOL_HASH));
        pool = address(uint160(uint256(hash)));
        if (pool.code.length == 0) return address(0);
    }

    /// @dev The owner's own means into the position: supplied, or repaid up to what is owed.
    function _payIn(bytes32 position, uint64 seq, address token, uint256 amount, uint64 deadline, Side side) private {
        Position memory p;
        Measure memory m;
        (p, m.health) = _admit(position, seq, deadline);
        address receipt = _listed(position, token, side).receipt;
        if (side == Side.DEBT) amount = _atMost(amount, _owed(position, receipt));
        uint256 reserveLeft = _fund(token, amount);
        if (side == Side.DEBT) _repay(position, token, amount);
        else _supply(position, token, amount);
        _spend(position, token, side, p.epochS, 0, amount);
        _sweep(token, reserveLeft);
        if (side == Side.DEBT) (m.debtToken, m.repaid) = (token, amount);
        else (m.collateralToken, m.moved) = (token, amount);
        _finish(position, p, m, Act.PAY_IN);
    }

    function _atMost(uint256 amount, uint256 limit) private pure returns (uint256) {
        return amount < limit ? amount : limit;
    }

    /// @dev `amount` of the token will be here: from the reserve first, then from the owner's wallet.
    /// @return reserveLeft what of the reserve must still be here at the end.
    function _fund(address token, uint256 amount) private returns (uint256 reserveLeft) {
        if (amount == 0 || amount > type(uint112).max) revert BadAmount(amount);
        uint256 reserve = Tokens.here(token);
        if (reserve >= amount) return reserve - amount;
        uint256 missing = amount - reserve;
        uint256 wallet = Tokens.balance(token, _owner());
        if (wallet < missing) revert ReserveShort(token, reserve + wallet, amount);
        Tokens.pull(token, _owner(), missing);
        Tokens.exact(token, missing, Tokens.here(token) - reserve);
    }

    // --- after ------------------------------------------------------------------------------------------------------------

    function _spend(bytes32 position, address token, Side side, uint32 epochS, uint256 sold, uint256 funded) private {
        uint256 epoch = block.timestamp / epochS;
        Asset storage a = _assets[position][side][token];
        (uint256 soldTotal, uint256 fundedTotal) = a.spent.book(epoch, sold, funded);
        if (soldTotal > a.sellCap) revert SpendCap(soldTotal, a.sellCap);
        if (fundedTotal > a.fundCap) revert SpendCap(fundedTotal, a.fundCap);
        uint256 shareBps = _bots[msg.sender].shareBps;
        if (shareBps == BPS) return;
        (soldTotal, fundedTotal) = _botBooks(position, token, side).book(epoch, sold, funded);
        _checkShare(soldTotal, a.sellCap * shareBps / BPS);
        _checkShare(fundedTotal, a.fundCap * shareBps / BPS);
    }

    function _botBooks(bytes32 position, address token, Side side) private view returns (Spent storage) {
        return _botSpent[_assetKey(position, token, side)][msg.sender];
    }

    function _checkShare(uint256 total, uint256 share) private pure {
        if (total > share) revert BotCap(total, share);
    }

    /// @dev What was gained goes to the owner; what was here before is still here.
    function _sweep(address token, uint256 before) private {
        uint256 left = Tokens.here(token);
        if (left < before) revert ResidueMissing(token, before, left);
        if (left > before) Tokens.send(token, _owner(), left - before);
    }

    /// @dev The two-sided post-condition, and the record.
    function _finish(bytes32 position, Position memory p, Measure memory m, Act act) private {
        uint256 health = _health(position);
        Policies.settle(p, m.health, health, health != type(uint256).max, act == Act.DELEVERAGE);
        emit Acted(
            position,
            p.seq,
            msg.sender,
            act,
            m.collateralToken,
            m.debtToken,
            m.moved,
            m.repaid,
            m.health,
            health,
            m.priceCollateral,
            m.priceDebt
        );
    }
}
