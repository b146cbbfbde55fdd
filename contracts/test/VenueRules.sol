// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IAaveV3FlashReceiver} from "../interfaces/IAaveV3.sol";
import {Order, Position, Side, Source} from "../interfaces/IExecutor.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {IBalancerFlashReceiver, IMorphoBlueFlashReceiver} from "../interfaces/IFlashLenders.sol";
import {IUniswapV3Callbacks} from "../interfaces/IUniswapV3.sol";
import {HostileRouter} from "../mocks/HostileRouter.sol";
import {VenueStage} from "./VenueStage.sol";

/// @title The rules that hold at every protocol, asked of the Executor of each: refusals first, then what is reached.
abstract contract VenueRules is VenueStage {
    uint64 internal constant LATE = type(uint64).max;
    /// @dev Health after the fall, in thousandths: below emergency, and between emergency and trigger.
    uint256 internal constant DEEP = 1_020;
    uint256 internal constant MILD = 1_180;

    function _begin() internal {
        _configure(20e18, 20e18);
        _open(OWNER, COLLATERAL, DEBT);
        _authorise(true);
        _fall(DEEP);
    }

    function _refused(Order memory o, bytes4 selector) internal {
        vm.expectPartialRevert(selector);
        vm.prank(BOT);
        executor.deleverage(o);
    }

    function _done(Order memory o) internal {
        uint256 before = _health(OWNER);
        vm.prank(BOT);
        executor.deleverage(o);
        uint256 health = _health(OWNER);
        require(health > before && health >= 1.4e18 && health <= 1.6e18, "health");
        _eq(executor.positionOf(id).seq, o.seq + 1, "seq");
        _empty();
    }

    function _refusedPayIn(Side side, uint256 amount, bytes4 selector) internal {
        uint64 seq = executor.positionOf(id).seq;
        vm.expectPartialRevert(selector);
        vm.prank(BOT);
        if (side == Side.DEBT) executor.repayFromReserve(id, seq, address(usdc), amount, LATE);
        else executor.addCollateral(id, seq, address(weth), amount, LATE);
    }

    function _payIn(Side side, uint256 amount) internal {
        uint64 seq = executor.positionOf(id).seq;
        vm.prank(BOT);
        if (side == Side.DEBT) executor.repayFromReserve(id, seq, address(usdc), amount, LATE);
        else executor.addCollateral(id, seq, address(weth), amount, LATE);
    }

    // --- who and when -----------------------------------------------------------------------------------------------------

    function test_every_call__not_a_bot__is_refused() public {
        _refusedTo(OWNER);
        _refusedTo(GUARDIAN);
        _refusedTo(THIEF);
        _refusedTo(_marketAddress());
    }

    function _refusedTo(address caller) private {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        vm.startPrank(caller);
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        executor.deleverage(o);
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        executor.repayFromReserve(id, 0, address(usdc), 1, LATE);
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        executor.addCollateral(id, 0, address(weth), 1, LATE);
        vm.stopPrank();
    }

    function test_deleverage__paused_then_not__is_refused_then_done() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        vm.prank(GUARDIAN);
        executor.pause();
        _refused(o, IExecutorErrors.IsPaused.selector);
        vm.prank(OWNER);
        executor.unpause();
        _done(o);
    }

    function test_deleverage__unknown_position__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        o.position = bytes32(uint256(id) ^ 1);
        _refused(o, IExecutorErrors.PositionUnknown.selector);
    }

    function test_deleverage__wrong_seq_or_late__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        o.seq = 1;
        _refused(o, IExecutorErrors.WrongSeq.selector);
        o.seq = 0;
        vm.warp(o.deadline + 1);
        _refused(o, IExecutorErrors.DeadlinePassed.selector);
        vm.warp(block.timestamp + 300 days);
        _refused(o, IExecutorErrors.PolicyExpired.selector);
    }

    function test_deleverage__same_order_twice__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        _done(o);
        vm.roll(block.number + 5);
        _refused(o, IExecutorErrors.WrongSeq.selector);
    }

    function test_deleverage__health_at_the_trigger__is_refused_and_one_below_it_is_not() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        Position memory terms = _terms();
        terms.emergency = 1.0001e18;
        terms.trigger = uint64(_health(OWNER));
        vm.prank(OWNER);
        executor.setPosition(id, terms);
        _refused(o, IExecutorErrors.NotTriggered.selector);
        terms.trigger += 1;
        vm.prank(OWNER);
        executor.setPosition(id, terms);
        _done(o);
    }

    /// @dev What accrued since the market was last touched counts: a trigger that only the interest crosses is crossed.
    function test_deleverage__only_interest_crossed_the_trigger__is_done() public {
        vm.warp(block.timestamp + 20 days);
        Position memory terms = _terms();
        (terms.emergency, terms.trigger) = (1.0001e18, 1.02e18 - 1);
        vm.prank(OWNER);
        executor.setPosition(id, terms);
        _done(_rescue(DEEP, Source.UNISWAP_V3_SWAP));
    }

    function test_deleverage__within_the_cooldown__is_refused_and_below_emergency_one_block_is_enough() public {
        _done(_rescue(DEEP, Source.UNISWAP_V3_SWAP));
        uint256 fallen = _priceAt(DEEP) * 84 / 100;
        _price(fallen);
        uint256 repay = _repayTo(1.45e18, fallen);
        Order memory o = _order(repay, repay * 1e20 / fallen * 102 / 100, Source.UNISWAP_V3_SWAP);
        require(_health(OWNER) > 1.08e18, "an emergency");
        vm.roll(block.number + 4);
        _refused(o, IExecutorErrors.CoolingDown.selector);
        vm.roll(block.number + 1);
        _done(o);
        fallen = fallen * 72 / 100;
        _price(fallen);
        require(_health(OWNER) < 1.08e18, "no emergency");
        repay = _repayTo(1.45e18, fallen);
        o = _order(repay, repay * 1e20 / fallen * 102 / 100, Source.UNISWAP_V3_SWAP);
        vm.roll(block.number + 1);
        _done(o);
    }

    // --- what ---------------------------------------------------------------------------------------------------------------

    function test_deleverage__token_not_listed__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        o.collateral = dai;
        _refused(o, IExecutorErrors.AssetUnknown.selector);
        o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        o.debt = dai;
        _refused(o, IExecutorErrors.AssetUnknown.selector);
    }

    function test_deleverage__router_not_listed__is_refused() public {
        Order memory o = _routedRescue(DEEP, 0);
        o.router = uniswap;
        _refused(o, IExecutorErrors.RouterUnknown.selector);
    }

    function test_deleverage__nothing_asked_or_no_source__is_refused() public {
        _refused(_order(0, 6e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.BadAmount.selector);
        _refused(_order(1_000e6, 0, Source.UNISWAP_V3_SWAP), IExecutorErrors.BadAmount.selector);
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_FLASH);
        o.sourceFee = 123;
        _refused(o, IExecutorErrors.SourceUnavailable.selector);
    }

    function test_deleverage__more_than_is_owed__is_refused() public {
        uint256 owed = _owed(OWNER);
        _refused(_order(owed + 1, 10e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.TransferShort.selector);
    }

    // --- callbacks ----------------------------------------------------------------------------------------------------------

    /// @dev All callers and bytes: CallbacksTest and the proof, of the same code.
    function test_callbacks__nothing_expected__refuse_everybody() public {
        _all(THIEF, 1, "");
        _all(_marketAddress(), 1e6, abi.encode(id));
        _all(uniswap, 1e6, abi.encode(id));
        _all(address(vault), type(uint128).max, abi.encode(id));
    }

    function _all(address caller, uint256 a, bytes memory data) private {
        (address[] memory tokens, uint256[] memory amounts) = (new address[](1), new uint256[](1));
        (tokens[0], amounts[0]) = (address(usdc), a);
        _refusedFrom(
            caller,
            abi.encodeCall(IAaveV3FlashReceiver.executeOperation, (address(usdc), a, 0, address(executor), data))
        );
        _refusedFrom(caller, abi.encodeCall(IMorphoBlueFlashReceiver.onMorphoFlashLoan, (a, data)));
        _refusedFrom(caller, abi.encodeCall(IBalancerFlashReceiver.receiveFlashLoan, (tokens, amounts, amounts, data)));
        _refusedFrom(caller, abi.encodeCall(IUniswapV3Callbacks.uniswapV3FlashCallback, (0, a, data)));
        _refusedFrom(caller, abi.encodeCall(IUniswapV3Callbacks.uniswapV3SwapCallback, (int256(a), -1, data)));
    }

    function _refusedFrom(address caller, bytes memory data) private {
        vm.prank(caller);
        (bool ok, bytes memory answer) = address(executor).call(data);
        require(!ok && bytes4(answer) == IExecutorErrors.CallbackCaller.selector, "not refused");
    }

    // --- money --------------------------------------------------------------------------------------------------------------

    function test_deleverage__never_authorised_or_no_longer__is_refused() public {
        _authorise(false);
        _refused(_rescue(DEEP, Source.UNISWAP_V3_SWAP), IExecutorErrors.GrantShort.selector);
        _refused(_routedRescue(DEEP, 0), IExecutorErrors.GrantShort.selector);
    }

    function test_deleverage__pool_wants_more_than_the_order_said__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        o.sellMax = o.sellMax * 90 / 100;
        _refused(o, IExecutorErrors.SellLimit.selector);
    }

    /// @dev The sandwich: the pool is pushed two per cent below the protocol's price.
    function test_deleverage__pool_pushed_below_the_oracle__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        o.sellMax *= 2;
        _poolPrice(_priceAt(DEEP) * 98 / 100);
        _refused(o, IExecutorErrors.SlippageExceeded.selector);
    }

    function test_deleverage__router_pays_less_than_the_bound__is_refused() public {
        _refused(_routedRescue(DEEP, 101), IExecutorErrors.SlippageExceeded.selector);
        Order memory o = _routedRescue(DEEP, 99);
        uint256 wallet = usdc.balanceOf(OWNER);
        _done(o);
        require(usdc.balanceOf(OWNER) > wallet, "the gain is the owner's");
    }

    function test_deleverage__router_pays_less_than_was_borrowed__is_refused() public {
        Order memory o = _routedRescue(DEEP, 0);
        uint256 sold = o.repay * 1e20 / _priceAt(DEEP) * 999 / 1_000;
        o.data[0] = _pays(sold, o.repay - 1);
        _refused(o, IExecutorErrors.SwapShort.selector);
    }

    function test_deleverage__router_takes_less__the_rest_is_collateral_again() public {
        Order memory o = _routedRescue(DEEP, 0);
        uint256 before = _pledged(OWNER);
        uint256 sold = o.sellMax * 99 / 100;
        o.data[0] = _pays(sold, sold * _priceAt(DEEP) / 1e20);
        _done(o);
        _eq(before - _pledged(OWNER), sold, "sold more than was swapped");
        _eq(executor.assetOf(id, address(weth), Side.COLLATERAL).spent.sold, sold, "booked from arguments");
    }

    function test_deleverage__above_the_cap_of_the_epoch__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        vm.prank(OWNER);
        executor.setAsset(id, address(weth), Side.COLLATERAL, uint112(o.sellMax * 90 / 100), 0);
        _refused(o, IExecutorErrors.SpendCap.selector);
        vm.startPrank(OWNER);
        executor.setAsset(id, address(weth), Side.COLLATERAL, uint112(o.sellMax * 19 / 10), 0);
        executor.setBot(BOT, 5_000, type(uint40).max);
        vm.stopPrank();
        _refused(o, IExecutorErrors.BotCap.selector);
    }

    // --- after --------------------------------------------------------------------------------------------------------------

    function test_deleverage__less_than_target_above_emergency__is_refused() public {
        _fall(MILD);
        _refused(_order(1_000e6, 6e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.TargetMissed.selector);
    }

    function test_deleverage__more_than_max_health__is_refused() public {
        uint256 usd8 = _priceAt(DEEP);
        _refused(
            _order(_repayTo(1.7e18, usd8), 10e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.MaxHealthExceeded.selector
        );
    }

    function test_deleverage__all_that_is_owed__leaves_not_a_unit_of_debt() public {
        Order memory o = _order(type(uint256).max, 10e18, Source.UNISWAP_V3_SWAP);
        // the pool is thin for all of it: the owner bears more
        Position memory terms = _terms();
        terms.slippageBps = 300;
        vm.prank(OWNER);
        executor.setPosition(id, terms);
        vm.warp(block.timestamp + 7);
        vm.prank(BOT);
        executor.deleverage(o);
        _eq(_owed(OWNER), 0, "debt left");
        require(_pledged(OWNER) != 0, "all collateral gone");
        _empty();
    }

    function test_deleverage__through_each_source__reaches_target() public {
        Source[4] memory sources =
            [Source.UNISWAP_V3_SWAP, Source.UNISWAP_V3_FLASH, Source.AAVE_V3, Source.BALANCER];
        for (uint256 i; i < 4; ++i) {
            uint256 state = vm.snapshotState();
            _done(_rescue(DEEP, sources[i]));
            vm.revertToState(state);
        }
    }

    function test_deleverage__stepwise__frees_more_with_each_step() public {
        _fall(MILD);
        uint256 usd8 = _priceAt(MILD);
        Order memory o = _order(0, 8e18, Source.STEPWISE);
        o.router = address(router);
        (o.sells, o.data) = (new uint256[](6), new bytes[](6));
        uint256 step = _repayTo(1.45e18, usd8) * 1e20 / usd8 / 6;
        for (uint256 i; i < 6; ++i) {
            o.sells[i] = step;
            o.data[i] = _pays(step, step * usd8 / 1e20);
        }
        _done(o);
    }

    /// @dev Whatever a bot asks for, health only rises, within bounds, and nobody else's position moves.
    function testFuzz_deleverage__anything_asked__is_refused_or_leaves_the_owner_better(
        uint256 repay,
        uint256 sellMax,
        uint256 sold,
        uint256 bought,
        uint256 thousandths,
        bool near
    ) public {
        _open(NEIGHBOUR, 2 * COLLATERAL, DEBT);
        thousandths = 1_005 + thousandths % 240;
        _fall(thousandths);
        Order memory o = _routedRescue(thousandths, bought % 130);
        if (!near) {
            o = _routed(
                _order(repay % 17_500e6, sellMax % 9e18, Source.BALANCER), _pays(sold % 9e18, bought % 18_000e6)
            );
        }
        uint256 before = _health(OWNER);
        uint256 others = _pledged(NEIGHBOUR);
        vm.prank(BOT);
        try executor.deleverage(o) {
            uint256 health = _health(OWNER);
            require(health > before && health <= 1.6e18, "bounds");
            require(health >= 1.4e18 || (before < 1.08e18 && health >= before + before / 1_000), "rule");
            _empty();
        } catch {}
        _eq(_pledged(NEIGHBOUR), others, "a neighbour paid");
    }

    // --- the owner's own means ----------------------------------------------------------------------------------------------

    function test_pay_in__from_reserve_and_wallet__reaches_target() public {
        _mint(usdc, address(executor), 3_000e6);
        _mint(usdc, OWNER, 6_000e6);
        vm.prank(OWNER);
        usdc.approve(address(executor), 6_000e6);
        _payIn(Side.DEBT, 5_000e6);
        require(_health(OWNER) >= 1.4e18, "target");
        _eq(usdc.balanceOf(OWNER), 4_000e6, "wallet");
        _empty();
    }

    function test_pay_in__collateral__reaches_target() public {
        _mint(weth, OWNER, 5e18);
        vm.prank(OWNER);
        weth.approve(address(executor), 5e18);
        _payIn(Side.COLLATERAL, 4e18);
        require(_health(OWNER) >= 1.4e18, "target");
        _eq(_pledged(OWNER), 14e18, "collateral");
        _empty();
    }

    function test_pay_in__more_than_is_owed__repays_all_and_takes_no_more() public {
        vm.warp(block.timestamp + 3 days);
        _mint(usdc, address(executor), 19_000e6);
        _payIn(Side.DEBT, 19_000e6);
        _eq(_owed(OWNER), 0, "debt left");
        require(usdc.balanceOf(address(executor)) < 2_000e6 && usdc.balanceOf(address(executor)) > 0, "took more");
        _eq(_pledged(address(executor)), 0, "a position of its own");
    }

    function test_pay_in__means_or_grant_short_or_of_no_use__is_refused() public {
        _mint(usdc, OWNER, 5_000e6);
        _refusedPayIn(Side.DEBT, 5_001e6, IExecutorErrors.ReserveShort.selector);
        _refusedPayIn(Side.DEBT, 5_000e6, IExecutorErrors.GrantShort.selector);
        _refusedPayIn(Side.DEBT, 0, IExecutorErrors.BadAmount.selector);
        _mint(usdc, address(executor), 1e6);
        _refusedPayIn(Side.DEBT, 1e6, IExecutorErrors.TargetMissed.selector);
        _fall(1_300);
        _refusedPayIn(Side.DEBT, 1e6, IExecutorErrors.NotTriggered.selector);
    }

    // --- the owner's words --------------------------------------------------------------------------------------------------

    function test_configuration__target_at_the_trigger__is_refused() public {
        Position memory terms = _terms();
        terms.target = terms.trigger;
        vm.expectRevert(abi.encodeWithSelector(IExecutorErrors.BadPolicy.selector, uint8(3)));
        vm.prank(OWNER);
        executor.setPosition(id, terms);
    }

    function test_configuration__token_of_another_role_or_market__is_refused() public {
        vm.startPrank(OWNER);
        vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
        executor.setAsset(id, address(weth), Side.DEBT, 0, 1);
        vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
        executor.setAsset(id, address(usdc), Side.COLLATERAL, 1, 1);
        vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
        executor.setAsset(id, dai, Side.COLLATERAL, 1, 1);
        vm.expectPartialRevert(IExecutorErrors.BadRouter.selector);
        executor.setRouter(_marketAddress(), true);
        vm.expectPartialRevert(IExecutorErrors.BadRouter.selector);
        executor.setRouter(address(weth), true);
        vm.stopPrank();
    }

    function test_configuration__is_the_owners_alone() public {
        vm.startPrank(BOT);
        Position memory terms = _terms();
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.setPosition(id, terms);
        vm.expectPartialRevert(IExecutorErrors.NotOwner.selector);
        executor.rescue(address(weth), 1);
        vm.stopPrank();
    }
}
