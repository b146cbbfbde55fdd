// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {SafeERC20, IERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {
    GmxOrder,
    GmxOrderAddresses,
    GmxOrderNumbers,
    IGmxFeed,
    IGmxSubaccountRouter
} from "../interfaces/IGmxV2.sol";
import {PerpState, PerpTerms} from "../interfaces/IGmxV2Executor.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {GmxV2Settings} from "./GmxV2Settings.sol";

/// @title What bots may do with one owner's positions on GMX v2: margin in, or size out, and nothing else.
/// @notice It is the owner's subaccount on GMX, in the bot's stead. It holds no allowance of the owner's and no money:
/// margin and the fee of the execution come from whoever calls, and whatever GMX pays out goes to the owner.
contract GmxV2Executor is GmxV2Settings {
    using SafeERC20 for IERC20;

    uint8 private constant MARKET_INCREASE = 2;
    uint8 private constant MARKET_DECREASE = 4;
    uint256 private constant ONE = 1e30;

    // --- bots -----------------------------------------------------------------------------------------------------------

    function addMargin(bytes32 position, uint64 seq, uint256 amount, uint256 executionFee, uint64 deadline)
        external
        payable
        nonReentrant
        returns (bytes32 order)
    {
        PerpTerms memory t = _admit(position, seq, executionFee, deadline);
        (,, uint256 equityPpm) = _judged(position, t);
        if (amount < t.marginMin || amount == 0) revert TooLittle(amount, t.marginMin);
        _spend(position, t, 0, amount);

        Place memory p = _places[position];
        uint256 granted = IERC20(p.collateral).allowance(msg.sender, address(this));
        if (granted < amount) revert GrantShort(p.collateral, granted, amount);
        uint256 before = Tokens.balance(p.collateral, ORDER_VAULT);
        IERC20(p.collateral).safeTransferFrom(msg.sender, ORDER_VAULT, amount);
        Tokens.exact(p.collateral, amount, Tokens.balance(p.collateral, ORDER_VAULT) - before);
        // without size there is nothing to be filled, and a bound would only stand in the way
        uint256 anyPrice = p.isLong ? type(uint256).max : 0;
        order = _order(position, p, MARKET_INCREASE, 0, anyPrice, executionFee);
        emit Ordered(position, seq, msg.sender, Act.ADD_MARGIN, order, amount, anyPrice, equityPpm);
    }

    function reduce(
        bytes32 position,
        uint64 seq,
        uint256 sizeDeltaUsd,
        uint256 acceptablePrice,
        uint256 executionFee,
        uint64 deadline
    ) external payable nonReentrant returns (bytes32 order) {
        PerpTerms memory t = _admit(position, seq, executionFee, deadline);
        (uint256 size, uint256 price, uint256 equityPpm) = _judged(position, t);
        if (sizeDeltaUsd == 0 || sizeDeltaUsd > size) revert BadAmount(sizeDeltaUsd);
        if (sizeDeltaUsd == size) {
            if (!t.mayClose) revert MayNotClose(position);
        } else {
            if (sizeDeltaUsd < t.sizeMinUsd) revert TooLittle(sizeDeltaUsd, t.sizeMinUsd);
            uint256 afterPpm = equityPpm * size / (size - sizeDeltaUsd);
            if (afterPpm > t.maxPpm) revert MaxHealthExceeded(afterPpm, t.maxPpm);
        }
        Place memory p = _places[position];
        _bounded(p.isLong, acceptablePrice, price, t.slippageBps);
        _spend(position, t, sizeDeltaUsd, 0);

        order = _order(position, p, MARKET_DECREASE, sizeDeltaUsd, acceptablePrice, executionFee);
        emit Ordered(position, seq, msg.sender, Act.REDUCE, order, sizeDeltaUsd, acceptablePrice, equityPpm);
    }

    function takeBack(bytes32 position, bytes32 order) external nonReentrant {
        if (msg.sender != _owner()) {
            _onlyBot();
            if (paused) revert IsPaused();
        }
        if (order == 0 || _books[position].order != order) revert OrderUnknown(order);
        IGmxSubaccountRouter(SUBACCOUNTS).cancelOrder(order);
        emit TakenBack(position, order, msg.sender);
    }

    // --- anyone -----------------------------------------------------------------------------------------------------------

    function owner() external view returns (address) {
        return _owner();
    }

    function venue() external view returns (address, address, address) {
        return (SUBACCOUNTS, DATA_STORE, ORDER_VAULT);
    }

    function stateOf(bytes32 position) external view returns (PerpState memory s) {
        Book memory b = _books[position];
        s.terms = _terms[position];
        (s.paused, s.seq, s.bots) = (paused, b.seq, _bots);
        for (uint256 i; i < BOTS_MAX; ++i) s.botsUntil[i] = _botUntil[_bots[i]];
        if (b.lastAt != 0) s.readyAt = b.lastAt + s.terms.cooldownS;
        if (_waits(b.order)) s.order = b.order;
        if (s.terms.expiry == 0) return s;
        (uint256 sizeUsd, uint256 margin) = _spent(b, s.terms.epochS);
        s.sizeLeftUsd = s.terms.sizeCapUsd > sizeUsd ? s.terms.sizeCapUsd - sizeUsd : 0;
        s.marginLeft = s.terms.marginCap > margin ? s.terms.marginCap - margin : 0;
    }

    function priceOf(bytes32 position) external view returns (uint256 price, uint256 equityPpm) {
        (, price, equityPpm) = _look(position, _terms[position].staleS);
    }

    // --- before -----------------------------------------------------------------------------------------------------------

    function _onlyBot() private view {
        if (block.timestamp > _botUntil[msg.sender]) revert NotBot(msg.sender);
    }

    /// @dev Who and when, in this order; the first refusal wins, and the daemon asks in the same order.
    function _admit(bytes32 position, uint64 seq, uint256 fee, uint64 deadline) private returns (PerpTerms memory t) {
        _onlyBot();
        if (paused) revert IsPaused();
        t = _terms[position];
        if (t.expiry == 0) revert PositionUnknown(position);
        Book storage b = _books[position];
        if (seq != b.seq) revert WrongSeq(b.seq, seq);
        if (block.timestamp > t.expiry) revert PolicyExpired(t.expiry);
        if (block.timestamp > deadline) revert DeadlinePassed(deadline);
        if (fee == 0 || msg.value != fee || fee > t.feeMax) revert BadFee(msg.value, fee, t.feeMax);
        if (_waits(b.order)) revert OrderWaits(b.order);
        uint256 ready = uint256(b.lastAt) + t.cooldownS;
        if (b.lastAt != 0 && block.timestamp < ready) revert CoolingDown(ready);
        b.seq = seq + 1;
        b.lastAt = uint40(block.timestamp);
    }

    function _waits(bytes32 order) private view returns (bool) {
        return order != 0 && _store().containsBytes32(_name("ORDER_LIST"), order);
    }

    /// @dev Size, price and equity, where the position is in need.
    function _judged(bytes32 position, PerpTerms memory t)
        private
        view
        returns (uint256 size, uint256 price, uint256 equityPpm)
    {
        (size, price, equityPpm) = _look(position, t.staleS);
        if (equityPpm >= t.triggerPpm) revert NotTriggered(equityPpm, t.triggerPpm);
    }

    /// @dev Margin and profit or loss by the feeds, over the size at entry. GMX takes fees, impact and what accrued off
    /// besides, so a position is in greater need than this says, never in less.
    function _look(bytes32 position, uint256 staleS)
        private
        view
        returns (uint256 size, uint256 price, uint256 equityPpm)
    {
        Place memory p = _places[position];
        size = _field(position, "SIZE_IN_USD");
        if (size == 0) revert PositionClosed(position);
        price = _price(p.indexFeed, p.indexMultiplier, staleS);
        uint256 worth = _field(position, "SIZE_IN_TOKENS") * price;
        uint256 margin =
            _field(position, "COLLATERAL_AMOUNT") * _price(p.collateralFeed, p.collateralMultiplier, staleS);
        (uint256 plus, uint256 minus) = p.isLong ? (margin + worth, size) : (margin + size, worth);
        equityPpm = plus > minus ? (plus - minus) * PPM / size : 0;
    }

    function _field(bytes32 position, string memory what) private view returns (uint256) {
        return _store().getUint(keccak256(abi.encode(position, _name(what))));
    }

    function _price(address feed, uint256 multiplier, uint256 staleS) private view returns (uint256) {
        (, int256 answer,, uint256 updatedAt,) = IGmxFeed(feed).latestRoundData();
        if (answer <= 0) revert NoPrice(feed);
        if (updatedAt + staleS < block.timestamp) revert PriceStale(feed, updatedAt);
        return uint256(answer) * multiplier / ONE;
    }

    /// @dev A long is not sold below, a short not bought back above.
    function _bounded(bool isLong, uint256 acceptable, uint256 price, uint256 slippageBps) private pure {
        uint256 bound = price * (isLong ? BPS - slippageBps : BPS + slippageBps) / BPS;
        if (isLong ? acceptable < bound : acceptable > bound) revert PriceOutOfBound(acceptable, bound);
    }

    // --- in the middle ----------------------------------------------------------------------------------------------------

    /// @dev Caps are of what is ordered: what GMX cancels stays on the books of its epoch.
    function _spend(bytes32 position, PerpTerms memory t, uint256 sizeUsd, uint256 margin) private {
        Book storage b = _books[position];
        (uint256 sizeSpent, uint256 marginSpent) = _spent(b, t.epochS);
        (sizeSpent, marginSpent) = (sizeSpent + sizeUsd, marginSpent + margin);
        if (sizeSpent > t.sizeCapUsd) revert SpendCap(sizeSpent, t.sizeCapUsd);
        if (marginSpent > t.marginCap) revert SpendCap(marginSpent, t.marginCap);
        (b.sizeUsd, b.margin) = (uint128(sizeSpent), uint128(marginSpent));
        b.epoch = uint32(block.timestamp / t.epochS);
    }

    function _spent(Book memory b, uint256 epochS) private view returns (uint256, uint256) {
        return b.epoch == block.timestamp / epochS ? (uint256(b.sizeUsd), uint256(b.margin)) : (0, 0);
    }

    /// @dev What is not said here a bot cannot say: receivers, market, side, collateral, swaps and callbacks.
    function _order(bytes32 position, Place memory p, uint8 kind, uint256 sizeUsd, uint256 acceptable, uint256 fee)
        private
        returns (bytes32 order)
    {
        GmxOrder memory o;
        address owner_ = _owner();
        o.addresses = GmxOrderAddresses(
            owner_, owner_, address(0), address(0), p.market, p.collateral, new address[](0)
        );
        o.numbers = GmxOrderNumbers(sizeUsd, 0, 0, acceptable, fee, 0, 0, 0);
        (o.orderType, o.isLong) = (kind, p.isLong);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IGmxSubaccountRouter.sendWnt, (ORDER_VAULT, fee));
        calls[1] = abi.encodeCall(IGmxSubaccountRouter.createOrder, (owner_, o));
        bytes[] memory results = IGmxSubaccountRouter(SUBACCOUNTS).multicall{value: fee}(calls);
        order = abi.decode(results[1], (bytes32));
        _books[position].order = order;
    }
}
