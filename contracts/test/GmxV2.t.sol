// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {GmxOrder} from "../interfaces/IGmxV2.sol";
import {IGmxV2Executor, PerpState, PerpTerms} from "../interfaces/IGmxV2Executor.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {GmxV2Stage} from "./GmxV2Stage.sol";

/// @title What a bot may order on GMX through the Executor, and what nobody may.
contract GmxV2Test is GmxV2Stage {
    function setUp() public {
        _begin();
    }

    // --- what GMX is told -------------------------------------------------------------------------------------------------

    function _fixedParts(GmxOrder memory o, bytes32 id) private view {
        require(gmx.sender() == address(executor) && gmx.account() == OWNER, "who");
        require(o.addresses.receiver == OWNER && o.addresses.cancellationReceiver == OWNER, "receiver");
        require(o.addresses.callbackContract == address(0) && o.addresses.uiFeeReceiver == address(0), "strangers");
        require(o.addresses.market == MARKET && o.addresses.initialCollateralToken == address(usdc), "place");
        require(o.addresses.swapPath.length == 0 && o.dataList.length == 0 && o.referralCode == 0, "extras");
        require(o.numbers.initialCollateralDeltaAmount == 0 && o.numbers.triggerPrice == 0, "amounts");
        require(o.numbers.executionFee == FEE && o.numbers.callbackGasLimit == 0, "fee");
        require(o.numbers.minOutputAmount == 0 && o.numbers.validFromTime == 0, "output");
        require(o.decreasePositionSwapType == 0 && !o.shouldUnwrapNativeToken && !o.autoCancel, "flags");
        require(o.isLong == (id == long), "side");
        require(gmx.feeTo() == gmx.orderVault() && gmx.feeWei() == FEE, "fee of the execution");
        require(address(executor).balance == 0, "ether stayed");
    }

    function testFuzz_gmx__a_reduction__is_told_as_such_and_nothing_else(bool isLong, uint256 size) public {
        size = 500e30 + size % (15_000e30 - 500e30);
        bytes32 id = isLong ? long : short;
        uint256 bound = isLong ? PRICE * 9_700 / 10_000 : PRICE * 10_300 / 10_000;
        bytes32 order = _reduce(id, size, bound);
        GmxOrder memory o = gmx.order();
        _fixedParts(o, id);
        require(o.orderType == 4 && o.numbers.sizeDeltaUsd == size, "not that reduction");
        require(o.numbers.acceptablePrice == bound, "price");
        PerpState memory s = executor.stateOf(id);
        require(s.seq == 1 && s.order == order && s.sizeLeftUsd == 15_000e30 - size, "books");
    }

    function testFuzz_gmx__margin__comes_from_the_bot_and_opens_nothing(bool isLong, uint256 amount) public {
        amount = 10e6 + amount % (5_000e6 - 10e6);
        bytes32 id = isLong ? long : short;
        uint256 before = usdc.balanceOf(BOT);
        usdc.mint(OWNER, 5_000e6);
        _add(id, amount);
        GmxOrder memory o = gmx.order();
        _fixedParts(o, id);
        require(o.orderType == 2 && o.numbers.sizeDeltaUsd == 0, "size");
        require(before - usdc.balanceOf(BOT) == amount, "whose");
        require(usdc.balanceOf(gmx.orderVault()) == amount && usdc.balanceOf(OWNER) == 5_000e6, "where to");
        require(executor.stateOf(id).marginLeft == 5_000e6 - amount, "books");
    }

    // --- who and when -----------------------------------------------------------------------------------------------------

    function testFuzz_gmx__anybody_else__orders_nothing(address caller) public {
        vm.assume(caller != BOT && caller != address(0));
        vm.deal(caller, 1 ether);
        vm.startPrank(caller);
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        executor.reduce{value: FEE}(long, 0, 1_000e30, PRICE, FEE, _soon());
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        executor.addMargin{value: FEE}(long, 0, 100e6, FEE, _soon());
        vm.stopPrank();
    }

    function test_gmx__a_bot_whose_term_is_over__orders_nothing() public {
        vm.warp(block.timestamp + 30 days + 1);
        _prices(2_000e8);
        _noReduce(long, 1_000e30, PRICE, IExecutorErrors.NotBot.selector);
    }

    function test_gmx__terms_that_are_over__end_orders() public {
        PerpTerms memory t = _terms();
        t.expiry = uint40(block.timestamp + 1 days);
        vm.prank(OWNER);
        executor.setPosition(MARKET, address(usdc), true, t);
        vm.warp(block.timestamp + 1 days + 1);
        _prices(2_000e8);
        _noReduce(long, 1_000e30, PRICE, IExecutorErrors.PolicyExpired.selector);
        _noAdd(long, 100e6, IExecutorErrors.PolicyExpired.selector);
    }

    function test_gmx__paused__refuses_until_the_owner_says() public {
        vm.prank(GUARDIAN);
        executor.pause();
        _noReduce(long, 1_000e30, PRICE, IExecutorErrors.IsPaused.selector);
        _noAdd(long, 100e6, IExecutorErrors.IsPaused.selector);
        vm.prank(GUARDIAN);
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.unpause();
        vm.prank(OWNER);
        executor.unpause();
        _reduce(long, 1_000e30, PRICE);
    }

    function test_gmx__another_number__is_no_plan_of_now() public {
        vm.startPrank(BOT);
        vm.expectPartialRevert(IExecutorErrors.WrongSeq.selector);
        executor.reduce{value: FEE}(long, 1, 1_000e30, PRICE, FEE, _soon());
        bytes32 order = executor.reduce{value: FEE}(long, 0, 1_000e30, PRICE, FEE, _soon());
        vm.stopPrank();
        _later(order);
        vm.prank(BOT);
        vm.expectPartialRevert(IExecutorErrors.WrongSeq.selector);
        executor.reduce{value: FEE}(long, 0, 1_000e30, PRICE, FEE, _soon());
    }

    function test_gmx__a_plan_that_is_late__is_refused() public {
        vm.prank(BOT);
        vm.expectPartialRevert(IExecutorErrors.DeadlinePassed.selector);
        executor.reduce{value: FEE}(long, 0, 1_000e30, PRICE, FEE, uint64(block.timestamp - 1));
    }

    function test_gmx__a_second_order_while_one_waits__is_refused() public {
        bytes32 order = _reduce(long, 1_000e30, PRICE);
        vm.warp(block.timestamp + 61);
        _noReduce(long, 1_000e30, PRICE, IGmxV2Executor.OrderWaits.selector);
        _noAdd(long, 100e6, IGmxV2Executor.OrderWaits.selector);
        _executed(order);
        _reduce(long, 1_000e30, PRICE);
    }

    function test_gmx__too_soon_after_the_last__is_refused() public {
        bytes32 order = _reduce(long, 1_000e30, PRICE);
        _executed(order);
        vm.warp(block.timestamp + 59);
        _noReduce(long, 1_000e30, PRICE, IExecutorErrors.CoolingDown.selector);
        vm.warp(block.timestamp + 1);
        _reduce(long, 1_000e30, PRICE);
    }

    function test_gmx__a_position_that_nobody_configured__is_unknown() public {
        _noReduce(bytes32(uint256(7)), 1_000e30, PRICE, IExecutorErrors.PositionUnknown.selector);
        vm.prank(OWNER);
        executor.removePosition(long);
        _noReduce(long, 1_000e30, PRICE, IExecutorErrors.PositionUnknown.selector);
    }

    function test_gmx__a_position_that_is_closed__is_named() public {
        _position(long, 0, 0, 0);
        _noReduce(long, 1_000e30, PRICE, IGmxV2Executor.PositionClosed.selector);
        _noAdd(long, 100e6, IGmxV2Executor.PositionClosed.selector);
    }

    // --- fee --------------------------------------------------------------------------------------------------------------

    function test_gmx__fee__is_what_was_sent_and_within_the_owners_bound() public {
        uint256[4] memory said = [uint256(0), 0.02 ether, 0.06 ether, 0.01 ether];
        uint256[4] memory paid = [uint256(0), 0.01 ether, 0.06 ether, 0.02 ether];
        vm.startPrank(BOT);
        for (uint256 i; i < 4; ++i) {
            vm.expectPartialRevert(IGmxV2Executor.BadFee.selector);
            executor.reduce{value: paid[i]}(long, 0, 1_000e30, PRICE, said[i], _soon());
        }
        executor.reduce{value: 0.05 ether}(long, 0, 1_000e30, PRICE, 0.05 ether, _soon());
        vm.stopPrank();
    }

    // --- need and price ---------------------------------------------------------------------------------------------------

    function test_gmx__a_position_that_is_not_in_need__is_left_alone() public {
        _position(long, SIZE, 10e18, 400e6);
        _noReduce(long, 1_000e30, PRICE, IExecutorErrors.NotTriggered.selector);
        _noAdd(long, 100e6, IExecutorErrors.NotTriggered.selector);
        // one unit of margin below the owner's line
        _position(long, SIZE, 10e18, 400e6 - 1);
        _reduce(long, 1_000e30, PRICE);
    }

    function testFuzz_gmx__equity__is_margin_with_profit_over_size(bool isLong, uint256 eth, uint256 margin) public {
        eth = 1_500 + eth % 1_000;
        margin = margin % 10_000e6;
        bytes32 id = isLong ? long : short;
        _position(id, SIZE, 10e18, margin);
        _prices(int256(eth * 1e8));
        (uint256 price, uint256 ppm) = executor.priceOf(id);
        require(price == eth * 1e12, "price");
        int256 pnl = (int256(eth) - 2_000) * 10 * 1e6;
        int256 equity = int256(margin) + (isLong ? pnl : -pnl);
        require(ppm == (equity > 0 ? uint256(equity) * 1e6 / 20_000e6 : 0), "equity");
    }

    function testFuzz_gmx__acceptable_price__is_never_worse_than_the_feeds_less_slippage(bool isLong, uint256 p) public {
        p = p % (2 * PRICE);
        bytes32 id = isLong ? long : short;
        uint256 bound = isLong ? PRICE * 9_700 / 10_000 : PRICE * 10_300 / 10_000;
        if (isLong ? p < bound : p > bound) {
            _noReduce(id, 1_000e30, p, IGmxV2Executor.PriceOutOfBound.selector);
        } else {
            _reduce(id, 1_000e30, p);
        }
    }

    function test_gmx__the_bound__follows_the_feed() public {
        _prices(1_990e8);
        _noReduce(long, 1_000e30, 1_990e12 * 9_700 / 10_000 - 1, IGmxV2Executor.PriceOutOfBound.selector);
        _reduce(long, 1_000e30, 1_990e12 * 9_700 / 10_000);
    }

    function test_gmx__an_old_price__is_none() public {
        vm.warp(block.timestamp + 1 hours);
        _reduce(long, 1_000e30, PRICE);
        vm.warp(block.timestamp + 1);
        _noReduce(short, 1_000e30, PRICE, IGmxV2Executor.PriceStale.selector);
        // and neither is one whose margin alone is old
        ethFeed.set(2_000e8, block.timestamp);
        _noReduce(short, 1_000e30, PRICE, IGmxV2Executor.PriceStale.selector);
    }

    function test_gmx__a_price_of_nothing__is_none() public {
        ethFeed.set(0, block.timestamp);
        _noReduce(long, 1_000e30, PRICE, IExecutorErrors.NoPrice.selector);
        ethFeed.set(-1, block.timestamp);
        _noReduce(long, 1_000e30, PRICE, IExecutorErrors.NoPrice.selector);
    }

    function test_gmx__another_feed_in_the_store__changes_nothing_until_the_owner_says() public {
        _feed(INDEX, address(usdcFeed), 1e34);
        (uint256 price,) = executor.priceOf(long);
        require(price == PRICE, "the store moved the bound");
    }

    // --- how much ---------------------------------------------------------------------------------------------------------

    function test_gmx__caps_of_an_epoch__hold_over_orders_and_open_with_the_next() public {
        _later(_reduce(long, 10_000e30, PRICE));
        _noReduce(long, 5_000e30 + 1, PRICE, IExecutorErrors.SpendCap.selector);
        _later(_reduce(long, 5_000e30, PRICE));
        _noReduce(long, 500e30, PRICE, IExecutorErrors.SpendCap.selector);
        _later(_add(long, 5_000e6));
        _noAdd(long, 10e6, IExecutorErrors.SpendCap.selector);
        vm.warp((block.timestamp / 1 days + 1) * 1 days);
        _prices(2_000e8);
        _reduce(long, 15_000e30, PRICE);
    }

    function test_gmx__caps__survive_a_position_that_is_removed_and_set_again() public {
        _later(_reduce(long, 15_000e30, PRICE));
        vm.startPrank(OWNER);
        executor.removePosition(long);
        executor.setPosition(MARKET, address(usdc), true, _terms());
        vm.stopPrank();
        require(_seq(long) == 1, "seq");
        _noReduce(long, 500e30, PRICE, IExecutorErrors.SpendCap.selector);
    }

    function test_gmx__dust__is_refused() public {
        _noReduce(long, 500e30 - 1, PRICE, IGmxV2Executor.TooLittle.selector);
        _noAdd(long, 10e6 - 1, IGmxV2Executor.TooLittle.selector);
        _noReduce(long, 0, PRICE, IExecutorErrors.BadAmount.selector);
        _noReduce(long, SIZE + 1, PRICE, IExecutorErrors.BadAmount.selector);
    }

    function test_gmx__more_than_needed__is_refused() public {
        // 200 dollars are five per cent of 4,000
        PerpTerms memory t = _terms();
        t.sizeCapUsd = 20_000e30;
        vm.prank(OWNER);
        executor.setPosition(MARKET, address(usdc), true, t);
        _noReduce(long, 16_001e30, PRICE, IExecutorErrors.MaxHealthExceeded.selector);
        _reduce(long, 16_000e30, PRICE);
    }

    function test_gmx__all_of_it__only_where_the_owner_said_so() public {
        PerpTerms memory t = _terms();
        t.sizeCapUsd = 20_000e30;
        vm.prank(OWNER);
        executor.setPosition(MARKET, address(usdc), true, t);
        _noReduce(long, SIZE, PRICE, IGmxV2Executor.MayNotClose.selector);
        t.mayClose = true;
        vm.prank(OWNER);
        executor.setPosition(MARKET, address(usdc), true, t);
        _reduce(long, SIZE, PRICE);
    }

    function test_gmx__margin_that_is_not_granted_or_does_not_arrive__is_named() public {
        vm.prank(BOT);
        usdc.approve(address(executor), 99e6);
        _noAdd(long, 100e6, IExecutorErrors.GrantShort.selector);
        vm.prank(BOT);
        usdc.approve(address(executor), 100e6);
        usdc.take(1);
        _noAdd(long, 100e6, IExecutorErrors.TransferShort.selector);
    }

    // --- taking back ------------------------------------------------------------------------------------------------------

    function test_gmx__own_order__is_taken_back_and_no_other() public {
        bytes32 order = _reduce(long, 1_000e30, PRICE);
        vm.startPrank(BOT);
        vm.expectPartialRevert(IGmxV2Executor.OrderUnknown.selector);
        executor.takeBack(long, keccak256("the owner's own"));
        vm.expectPartialRevert(IGmxV2Executor.OrderUnknown.selector);
        executor.takeBack(short, order);
        vm.expectPartialRevert(IGmxV2Executor.OrderUnknown.selector);
        executor.takeBack(short, 0);
        executor.takeBack(long, order);
        vm.stopPrank();
        require(gmx.cancelled() == order && gmx.sender() == address(executor), "not cancelled");
    }

    function test_gmx__taking_back__is_the_bots_and_the_owners() public {
        bytes32 order = _reduce(long, 1_000e30, PRICE);
        vm.prank(THIEF);
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        executor.takeBack(long, order);
        vm.prank(GUARDIAN);
        executor.pause();
        vm.prank(BOT);
        vm.expectPartialRevert(IExecutorErrors.IsPaused.selector);
        executor.takeBack(long, order);
        vm.prank(OWNER);
        executor.takeBack(long, order);
    }

    // --- the owner's words ------------------------------------------------------------------------------------------------

    function testFuzz_gmx__configuration__is_the_owners_alone(address caller) public {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        PerpTerms memory t = _terms();
        vm.startPrank(caller);
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.setBot(caller, 1);
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.setPosition(MARKET, address(usdc), true, t);
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.removePosition(long);
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.rescue(address(usdc), 0);
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.setGuardian(caller);
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.announce(0);
        vm.expectPartialRevert(IExecutorErrors.NotGuardian.selector);
        executor.pause();
        vm.stopPrank();
    }

    function test_gmx__what_loosens__waits_a_day_and_what_tightens_does_not() public {
        vm.warp(executor.setupUntil() + 1);
        vm.startPrank(OWNER);
        for (uint256 i; i < 13; ++i) {
            PerpTerms memory t = executor.stateOf(long).terms;
            _changed(t, i, true);
            vm.expectPartialRevert(IExecutorErrors.NotAnnounced.selector);
            executor.setPosition(MARKET, address(usdc), true, t);
            if (i == 2) continue; // another epoch is another grid, whichever way
            t = executor.stateOf(long).terms;
            _changed(t, i, false);
            executor.setPosition(MARKET, address(usdc), true, t);
        }
        PerpTerms memory wide = executor.stateOf(long).terms;
        wide.sizeCapUsd += 1;
        bytes32 change =
            keccak256(abi.encodeCall(executor.setPosition, (MARKET, address(usdc), true, wide)));
        executor.announce(change);
        vm.expectPartialRevert(IExecutorErrors.NotAnnounced.selector);
        executor.setPosition(MARKET, address(usdc), true, wide);
        vm.warp(block.timestamp + 1 days);
        executor.setPosition(MARKET, address(usdc), true, wide);
        // and only once
        executor.removePosition(long);
        vm.expectPartialRevert(IExecutorErrors.NotAnnounced.selector);
        executor.setPosition(MARKET, address(usdc), true, wide);
        vm.expectPartialRevert(IExecutorErrors.NotAnnounced.selector);
        executor.setBot(THIEF, uint40(block.timestamp + 1));
        executor.setBot(BOT, 0);
        vm.stopPrank();
    }

    function _changed(PerpTerms memory t, uint256 i, bool looser) private pure {
        if (i == 0) t.expiry = looser ? t.expiry + 1 : t.expiry - 1;
        if (i == 1) t.cooldownS = looser ? t.cooldownS - 1 : t.cooldownS + 1;
        if (i == 2) t.epochS = t.epochS + 1;
        if (i == 3) t.staleS = looser ? t.staleS + 1 : t.staleS - 1;
        if (i == 4) t.slippageBps = looser ? t.slippageBps + 1 : t.slippageBps - 1;
        if (i == 5) t.mayClose = looser;
        if (i == 6) t.triggerPpm = looser ? t.triggerPpm + 1 : t.triggerPpm - 1;
        if (i == 7) t.maxPpm = looser ? t.maxPpm + 1 : t.maxPpm - 1;
        if (i == 8) t.sizeCapUsd = looser ? t.sizeCapUsd + 1 : t.sizeCapUsd - 1;
        if (i == 9) t.sizeMinUsd = looser ? t.sizeMinUsd - 1 : t.sizeMinUsd + 1;
        if (i == 10) t.marginCap = looser ? t.marginCap + 1 : t.marginCap - 1;
        if (i == 11) t.marginMin = looser ? t.marginMin - 1 : t.marginMin + 1;
        if (i == 12) t.feeMax = looser ? t.feeMax + 1 : t.feeMax - 1;
    }

    function test_gmx__another_feed_in_the_store__is_announced_like_a_looser_bound() public {
        vm.warp(executor.setupUntil() + 1);
        PerpTerms memory t = executor.stateOf(long).terms;
        vm.startPrank(OWNER);
        executor.setPosition(MARKET, address(usdc), true, t);
        vm.stopPrank();
        _feed(INDEX, address(usdcFeed), 1e34);
        vm.prank(OWNER);
        vm.expectPartialRevert(IExecutorErrors.NotAnnounced.selector);
        executor.setPosition(MARKET, address(usdc), true, t);
    }

    function test_gmx__terms_that_bound_nothing__are_refused() public {
        for (uint256 i; i < 10; ++i) {
            PerpTerms memory t = _terms();
            if (i == 0) t.expiry = 0;
            if (i == 1) t.epochS = 3_599;
            if (i == 2) t.slippageBps = 0;
            if (i == 3) t.slippageBps = 1_001;
            if (i == 4) t.staleS = 2 days + 1;
            if (i == 5) t.triggerPpm = 0;
            if (i == 6) t.maxPpm = t.triggerPpm;
            if (i == 7) t.sizeMinUsd = t.sizeCapUsd + 1;
            if (i == 8) t.marginMin = t.marginCap + 1;
            if (i == 9) t.feeMax = 0;
            vm.prank(OWNER);
            vm.expectPartialRevert(IExecutorErrors.BadPolicy.selector);
            executor.setPosition(MARKET, address(usdc), true, t);
        }
    }

    function test_gmx__a_market_or_a_token_that_gmx_does_not_know__is_refused() public {
        PerpTerms memory t = _terms();
        vm.startPrank(OWNER);
        vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
        executor.setPosition(THIEF, address(usdc), true, t);
        vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
        executor.setPosition(MARKET, THIEF, true, t);
        vm.stopPrank();
        _feed(INDEX, address(0), 0);
        vm.prank(OWNER);
        vm.expectPartialRevert(IExecutorErrors.NoPrice.selector);
        executor.setPosition(MARKET, address(usdc), true, t);
    }

    function test_gmx__bots__are_three_at_most_and_never_owner_or_guardian() public {
        vm.startPrank(OWNER);
        executor.setBot(address(1), 1);
        executor.setBot(address(2), 1);
        vm.expectPartialRevert(IExecutorErrors.TooManyBots.selector);
        executor.setBot(address(3), 1);
        executor.setBot(address(1), 0);
        executor.setBot(address(3), 1);
        executor.setBot(address(3), 2);
        PerpState memory s = executor.stateOf(long);
        require(s.bots[0] == BOT && s.bots[1] == address(3) && s.botsUntil[1] == 2, "seats");
        vm.expectPartialRevert(IExecutorErrors.BadBot.selector);
        executor.setBot(OWNER, 1);
        vm.expectPartialRevert(IExecutorErrors.BadBot.selector);
        executor.setBot(GUARDIAN, 1);
        vm.expectPartialRevert(IExecutorErrors.BadGuardian.selector);
        executor.setGuardian(BOT);
        vm.stopPrank();
    }

    function test_gmx__rescue__goes_to_the_owner() public {
        usdc.mint(address(executor), 5e6);
        vm.prank(OWNER);
        executor.rescue(address(usdc), 5e6);
        require(usdc.balanceOf(OWNER) == 5e6, "not his");
    }

    function test_gmx__address__follows_from_owner_and_router_and_only_the_owner_deploys_there() public {
        string memory json = vm.readFile(vm.envOr("GMX_V2_ARTIFACT", ARTIFACT));
        bytes memory code = vm.parseJsonBytes(json, ".bytecode");
        require(factory.addressOf(OWNER, address(gmx), keccak256(code)) == address(executor), "address");
        vm.prank(THIEF);
        address theirs = factory.deploy(code, address(gmx));
        require(theirs != address(executor), "taken");
        require(executor.owner() == OWNER, "owner");
        (address a, address b, address c) = executor.venue();
        require(a == address(gmx) && b == address(store) && c == gmx.orderVault(), "venue");
    }
}
