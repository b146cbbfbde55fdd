// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {Order, Position, Side, Source} from "../interfaces/IExecutor.sol";
import {HostileRouter} from "../mocks/HostileRouter.sol";
import {Stage} from "./Stage.sol";

/// @title Selling collateral: every refusal first, then what it reaches, on the real market.
contract DeleverageTest is Stage {
    uint256 private constant REPAY = 12_000e6;

    function setUp() public {
        _deploy();
        _configure(20e18, 20_000e6);
        _open(OWNER, 10e18, 17_000e6);
        _grant(8e18);
        _price(2_060e8);
    }

    function _plain() private view returns (Order memory) {
        return _order(REPAY, 6e18, Source.UNISWAP_V3_SWAP);
    }

    function _pays(uint256 sold, uint256 bought) private view returns (bytes memory) {
        return abi.encodeCall(HostileRouter.swap, (address(weth), sold, address(usdc), bought));
    }

    /// @dev A routed order that sells 5.85 WETH, worth 12,051 dollars, for `bought`.
    function _sells(uint256 bought) private view returns (Order memory) {
        return _routed(_order(REPAY, 5.85e18, Source.BALANCER), _pays(5.85e18, bought));
    }

    function _refused(Order memory o, bytes4 selector) private {
        vm.expectPartialRevert(selector);
        vm.prank(BOT);
        executor.deleverage(o);
    }

    function _done(Order memory o) private {
        uint256 before = _health(OWNER);
        vm.prank(BOT);
        executor.deleverage(o);
        uint256 health = _health(OWNER);
        require(health > before && health >= 1.4e18 && health <= 1.6e18, "health");
        _eq(executor.positionOf(id).seq, o.seq + 1, "seq");
        _empty();
    }

    function _empty() private view {
        _eq(weth.balanceOf(address(executor)) + usdc.balanceOf(address(executor)), 0, "residue");
        _eq(aWeth.balanceOf(address(executor)), 0, "receipt residue");
        _eq(weth.allowance(address(executor), address(router)), 0, "router allowance");
        _eq(weth.allowance(address(executor), address(pool)), 0, "pool allowance");
        _eq(usdc.allowance(address(executor), address(pool)), 0, "debt allowance");
    }

    // --- who and when -----------------------------------------------------------------------------------------------------

    function testFuzz_deleverage__not_a_bot__is_refused(address caller) public {
        vm.assume(caller != BOT);
        Order memory o = _plain();
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        vm.prank(caller);
        executor.deleverage(o);
    }

    function test_deleverage__bot_term_over__is_refused() public {
        vm.prank(OWNER);
        executor.setBot(BOT, 10_000, uint40(block.timestamp + 10));
        vm.warp(block.timestamp + 11);
        _refused(_plain(), IExecutorErrors.NotBot.selector);
    }

    function test_deleverage__paused__is_refused_until_the_owner_unpauses() public {
        vm.prank(GUARDIAN);
        executor.pause();
        _refused(_plain(), IExecutorErrors.IsPaused.selector);
        vm.prank(OWNER);
        executor.unpause();
        _done(_plain());
    }

    function test_deleverage__position_unknown__is_refused() public {
        Order memory o = _plain();
        o.position = bytes32(uint256(1));
        _refused(o, IExecutorErrors.PositionUnknown.selector);
    }

    function testFuzz_deleverage__wrong_seq__is_refused(uint64 seq) public {
        vm.assume(seq != 0);
        Order memory o = _plain();
        o.seq = seq;
        _refused(o, IExecutorErrors.WrongSeq.selector);
    }

    function test_deleverage__same_order_twice__is_refused() public {
        Order memory o = _plain();
        _done(o);
        vm.roll(block.number + 5);
        _refused(o, IExecutorErrors.WrongSeq.selector);
    }

    function test_deleverage__policy_over__is_refused() public {
        vm.warp(block.timestamp + 300 days + 1);
        _refused(_plain(), IExecutorErrors.PolicyExpired.selector);
    }

    function test_deleverage__past_its_deadline__is_refused_one_second_after_but_not_on_it() public {
        Order memory o = _plain();
        vm.warp(o.deadline + 1);
        _refused(o, IExecutorErrors.DeadlinePassed.selector);
        vm.warp(o.deadline);
        _done(o);
    }

    function test_deleverage__health_at_trigger__is_refused() public {
        Position memory terms = _terms();
        terms.emergency = 1.0001e18;
        terms.trigger = uint64(_health(OWNER));
        vm.prank(OWNER);
        executor.setPosition(id, terms);
        _refused(_plain(), IExecutorErrors.NotTriggered.selector);
        terms.trigger += 1;
        vm.prank(OWNER);
        executor.setPosition(id, terms);
        _done(_plain());
    }

    function test_deleverage__twice_within_the_cooldown__is_refused_and_relaxed_below_emergency() public {
        _grant(10e18);
        _done(_plain());
        _price(1_660e8); // health 1.14: below trigger, above emergency
        Order memory o = _order(_repayFor(1.42e18), 4e18, Source.UNISWAP_V3_SWAP);
        vm.roll(block.number + 4);
        _refused(o, IExecutorErrors.CoolingDown.selector);
        vm.roll(block.number + 1);
        _done(o);
        _price(1_240e8); // health below emergency: one block is enough
        require(_health(OWNER) < 1.08e18, "not an emergency");
        o = _order(_repayFor(1.42e18), 4e18, Source.UNISWAP_V3_SWAP);
        _refused(o, IExecutorErrors.CoolingDown.selector);
        vm.roll(block.number + 1);
        _done(o);
    }

    // --- what ---------------------------------------------------------------------------------------------------------------

    function test_deleverage__token_not_listed__is_refused() public {
        Order memory o = _plain();
        o.collateral = _at(".tokens.WBTC.token");
        _refused(o, IExecutorErrors.AssetUnknown.selector);
        o = _plain();
        o.debt = _at(".tokens.DAI.token");
        _refused(o, IExecutorErrors.AssetUnknown.selector);
    }

    function test_deleverage__token_taken_off_the_list__is_refused() public {
        vm.prank(OWNER);
        executor.removeAsset(id, address(weth), Side.COLLATERAL);
        _refused(_plain(), IExecutorErrors.AssetUnknown.selector);
    }

    function testFuzz_deleverage__router_not_listed__is_refused(address other) public {
        vm.assume(other != address(router) && other != address(0));
        Order memory o = _sells(12_050e6);
        o.router = other;
        _refused(o, IExecutorErrors.RouterUnknown.selector);
    }

    function test_deleverage__router_taken_off_the_list__is_refused() public {
        vm.prank(OWNER);
        executor.setRouter(address(router), false);
        _refused(_sells(12_050e6), IExecutorErrors.RouterUnknown.selector);
    }

    function test_deleverage__source_absent__is_refused() public {
        Order memory o = _plain();
        o.source = Source.MORPHO_BLUE;
        _refused(o, IExecutorErrors.SourceUnavailable.selector);
        o.source = Source.UNISWAP_V3_FLASH;
        o.sourceFee = 123;
        _refused(o, IExecutorErrors.SourceUnavailable.selector);
        o = _plain();
        o.swapFee = 10_000;
        _refused(o, IExecutorErrors.SourceUnavailable.selector);
    }

    function test_deleverage__nothing_asked__is_refused() public {
        _refused(_order(0, 6e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.BadAmount.selector);
        _refused(_order(REPAY, 0, Source.UNISWAP_V3_SWAP), IExecutorErrors.BadAmount.selector);
        _refused(_order(2 ** 112, 6e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.BadAmount.selector);
        _refused(_order(REPAY, 2 ** 112, Source.UNISWAP_V3_SWAP), IExecutorErrors.BadAmount.selector);
        Order memory o = _sells(12_050e6);
        o.data = new bytes[](0);
        _refused(o, IExecutorErrors.BadAmount.selector);
    }

    function test_deleverage__flash_fee_above_the_policy__is_refused_and_at_it_is_not() public {
        vault.setFee(11);
        _refused(_sells(12_050e6), IExecutorErrors.FlashFeeTooHigh.selector);
        vault.setFee(10);
        _done(_sells(12_050e6));
    }

    // --- money --------------------------------------------------------------------------------------------------------------

    function test_deleverage__grant_missing_short_or_revoked__is_refused() public {
        _grant(0);
        _refused(_plain(), IExecutorErrors.GrantShort.selector);
        _grant(1e18);
        _refused(_sells(12_050e6), IExecutorErrors.GrantShort.selector);
    }

    function test_deleverage__pool_wants_more_than_the_plan_said__is_refused() public {
        _refused(_order(REPAY, 5e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.SellLimit.selector);
    }

    /// @dev The sandwich: the pool is pushed two per cent below the oracle.
    function test_deleverage__pool_pushed_below_the_oracle__is_refused() public {
        _poolPrice(2_015e8);
        _refused(_plain(), IExecutorErrors.SlippageExceeded.selector);
        _poolPrice(2_055e8);
        _done(_plain());
    }

    /// @dev The oracle falls in the same block: the bound follows it, and a pool that stays high is only better.
    function test_deleverage__router_pays_one_unit_less_than_the_bound__is_refused() public {
        uint256 least = uint256(5.85e18) * 2_060e8 / 1e8 / 1e12 * 99 / 100;
        _refused(_sells(least - 1), IExecutorErrors.SlippageExceeded.selector);
        // 11,930.49 would be enough for the oracle, but not to give back what was borrowed
        _refused(_sells(least), IExecutorErrors.SwapShort.selector);
        Order memory o = _routed(_order(11_900e6, 5.85e18, Source.BALANCER), _pays(5.85e18, least));
        uint256 wallet = usdc.balanceOf(OWNER);
        vm.prank(BOT);
        executor.deleverage(o);
        _eq(usdc.balanceOf(OWNER) - wallet, least - 11_900e6, "the gain is the owner's");
    }

    function test_deleverage__router_takes_less__gets_what_is_left_supplied_again() public {
        uint256 before = aWeth.balanceOf(OWNER);
        Order memory o = _routed(_order(REPAY, 7e18, Source.BALANCER), _pays(5.85e18, 12_050e6));
        _done(o);
        require(before - aWeth.balanceOf(OWNER) <= 5.85e18 + 2, "sold more than was swapped");
        require(executor.assetOf(id, address(weth), Side.COLLATERAL).spent.sold <= 5.85e18 + 2, "booked from arguments");
    }

    function test_deleverage__router_reverts__is_refused() public {
        Order memory o = _routed(_order(REPAY, 5.85e18, Source.BALANCER), abi.encodeCall(HostileRouter.fail, ()));
        _refused(o, IExecutorErrors.SwapFailed.selector);
    }

    function test_deleverage__swap_short__does_not_touch_the_reserve() public {
        _mint(usdc, address(executor), 50_000e6);
        _refused(_sells(11_999e6), IExecutorErrors.SwapShort.selector);
        Order memory o = _sells(12_050e6);
        vm.prank(BOT);
        executor.deleverage(o);
        _eq(usdc.balanceOf(address(executor)), 50_000e6, "reserve");
    }

    function test_deleverage__above_the_cap_of_the_epoch__is_refused_and_the_next_epoch_is_open() public {
        vm.prank(OWNER);
        executor.setAsset(id, address(weth), Side.COLLATERAL, 6e18, 0);
        _done(_plain());
        _price(1_640e8);
        vm.roll(block.number + 5);
        Order memory o = _order(_repayFor(1.42e18), 3e18, Source.UNISWAP_V3_SWAP);
        _refused(o, IExecutorErrors.SpendCap.selector);
        vm.warp((block.timestamp / 1 days + 1) * 1 days - 1);
        o.deadline = type(uint64).max;
        _refused(o, IExecutorErrors.SpendCap.selector);
        vm.warp(block.timestamp + 1);
        _done(o);
    }

    function test_deleverage__bot_with_half_a_share__stops_at_half_the_cap() public {
        vm.startPrank(OWNER);
        executor.setBot(BOT2, 5_000, type(uint40).max);
        executor.setAsset(id, address(weth), Side.COLLATERAL, 11e18, 0);
        vm.stopPrank();
        Order memory o = _plain();
        vm.expectPartialRevert(IExecutorErrors.BotCap.selector);
        vm.prank(BOT2);
        executor.deleverage(o);
        vm.prank(OWNER);
        executor.setAsset(id, address(weth), Side.COLLATERAL, 12e18, 0);
        vm.prank(BOT2);
        executor.deleverage(o);
        require(executor.botSpent(id, address(weth), Side.COLLATERAL, BOT2).sold > 5.8e18, "not booked");
    }

    // --- after --------------------------------------------------------------------------------------------------------------

    function test_deleverage__less_than_target_above_emergency__is_refused() public {
        _price(2_300e8); // health 1.123
        _refused(_order(1_000e6, 6e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.TargetMissed.selector);
        // more than the hysteresis, which is enough for a payment in but not for a sale
        _refused(_order(3_000e6, 6e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.TargetMissed.selector);
    }

    function test_deleverage__partial_below_emergency__must_lift_health_by_a_thousandth() public {
        _refused(_order(20e6, 6e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.TargetMissed.selector);
        uint256 before = _health(OWNER);
        Order memory o = _order(1_000e6, 6e18, Source.UNISWAP_V3_SWAP);
        vm.prank(BOT);
        executor.deleverage(o);
        require(_health(OWNER) >= before + before / 1_000, "not useful");
    }

    function test_deleverage__more_than_max_health__is_refused() public {
        _refused(_order(14_500e6, 8e18, Source.UNISWAP_V3_SWAP), IExecutorErrors.MaxHealthExceeded.selector);
    }

    function test_deleverage__all_debt__passes_max_health_and_leaves_no_debt() public {
        _grant(10e18);
        Order memory o = _order(type(uint256).max, 9e18, Source.UNISWAP_V3_SWAP);
        vm.prank(BOT);
        executor.deleverage(o);
        _eq(dUsdc.balanceOf(OWNER), 0, "debt left");
        _empty();
    }

    /// @dev Collateral into a thief's router that pays the bound and not more: health may fall, then nothing is done.
    function test_deleverage__health_not_up__is_refused() public {
        Order memory o = _routed(_order(1, 0.0001e18, Source.BALANCER), _pays(0.0001e18, 0.2045e6));
        _refused(o, IExecutorErrors.NotImproved.selector);
    }

    // --- what it reaches ------------------------------------------------------------------------------------------------------

    function test_deleverage__through_each_source__reaches_target() public {
        Source[4] memory sources =
            [Source.UNISWAP_V3_SWAP, Source.UNISWAP_V3_FLASH, Source.AAVE_V3, Source.BALANCER];
        for (uint256 i; i < 4; ++i) {
            _done(_order(REPAY, 6e18, sources[i]));
            vm.roll(block.number + 5);
            vm.warp((block.timestamp / 1 days + 1) * 1 days);
            // somebody else's price, so that he can borrow again
            _price(3_000e8);
            _open(OWNER, 5.85e18, REPAY);
            _grant(8e18);
            _price(2_060e8);
        }
    }

    function test_deleverage__stepwise__frees_more_with_each_step() public {
        _price(2_300e8); // health 1.123: 1.09 WETH are free
        Order memory o = _order(0, 6e18, Source.STEPWISE);
        uint256[4] memory sells = [uint256(1e18), 1.2e18, 1.3e18, 1.0e18];
        o.router = address(router);
        (o.sells, o.data) = (new uint256[](4), new bytes[](4));
        for (uint256 i; i < 4; ++i) {
            o.sells[i] = sells[i];
            o.data[i] = _pays(sells[i], sells[i] * 2_300 / 1e12);
        }
        _done(o);
        o.seq += 1;
        o.router = address(0);
        _price(1_700e8);
        vm.roll(block.number + 5);
        _refused(o, IExecutorErrors.RouterUnknown.selector);
    }

    /// @dev Whatever the bot asks for, health only rises, within bounds, at a bounded cost.
    function testFuzz_deleverage__anything_asked__is_refused_or_leaves_the_owner_better(
        uint256 repay,
        uint256 sellMax,
        uint256 sold,
        uint256 bought,
        uint256 price
    ) public {
        _price(2_060e8 + price % 600e8);
        repay = repay % 17_000e6;
        sellMax = sellMax % 9e18;
        Order memory o = _routed(_order(repay, sellMax, Source.BALANCER), _pays(sold % 9e18, bought % 18_000e6));
        uint256 before = _health(OWNER);
        vm.prank(BOT);
        try executor.deleverage(o) {
            uint256 health = _health(OWNER);
            require(health > before && health <= 1.6e18, "bounds");
            require(health >= 1.4e18 || (before < 1.08e18 && health >= before + before / 1_000), "rule");
            _empty();
        } catch {}
    }
}
