// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {IExecutor, Order, Position, Side, Source} from "../interfaces/IExecutor.sol";
import {Stage} from "./Stage.sol";

/// @title Only the owner configures; what loosens is announced a day before; what a policy may say.
contract SettingsTest is Stage {
    function setUp() public {
        _deploy();
        _configure(20e18, 20_000e6);
    }

    function _ownerCalls() private view returns (bytes[] memory calls) {
        calls = new bytes[](11);
        calls[0] = abi.encodeCall(IExecutor.unpause, ());
        calls[1] = abi.encodeCall(IExecutor.announce, (bytes32(uint256(1))));
        calls[2] = abi.encodeCall(IExecutor.setGuardian, (THIEF));
        calls[3] = abi.encodeCall(IExecutor.setBot, (THIEF, 10_000, type(uint40).max));
        calls[4] = abi.encodeCall(IExecutor.setRouter, (address(this), true));
        calls[5] = abi.encodeCall(IExecutor.setPosition, (id, _terms()));
        calls[6] = abi.encodeCall(IExecutor.removePosition, (id));
        calls[7] = abi.encodeCall(IExecutor.setAsset, (id, address(weth), Side.COLLATERAL, 1, 1));
        calls[8] = abi.encodeCall(IExecutor.removeAsset, (id, address(weth), Side.COLLATERAL));
        calls[9] = abi.encodeCall(IExecutor.rescue, (address(weth), 1));
        calls[10] = abi.encodeCall(IExecutor.setRouter, (address(router), false));
    }

    function testFuzz_settings__not_the_owner__are_refused(address caller) public {
        vm.assume(caller != OWNER);
        bytes[] memory calls = _ownerCalls();
        for (uint256 i; i < calls.length; ++i) {
            _refusedTo(caller, calls[i]);
            _refusedTo(BOT, calls[i]);
            _refusedTo(GUARDIAN, calls[i]);
        }
    }

    function _refusedTo(address caller, bytes memory data) private {
        vm.prank(caller);
        (bool ok, bytes memory answer) = address(executor).call(data);
        require(!ok && bytes4(answer) == IExecutorErrors.NotOwner.selector, "not refused");
    }

    function testFuzz_pause__neither_owner_nor_guardian__is_refused(address caller) public {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        vm.expectPartialRevert(IExecutorErrors.NotGuardian.selector);
        vm.prank(caller);
        executor.pause();
        vm.expectPartialRevert(IExecutorErrors.NotGuardian.selector);
        vm.prank(BOT);
        executor.pause();
        vm.prank(OWNER);
        executor.pause();
        require(executor.paused(), "not paused");
    }

    function test_rescue__by_the_owner__pays_the_owner() public {
        _mint(usdc, address(executor), 5e6);
        uint256 before = usdc.balanceOf(OWNER);
        vm.prank(OWNER);
        executor.rescue(address(usdc), 5e6);
        _eq(usdc.balanceOf(OWNER) - before, 5e6, "not to the owner");
    }

    /// @dev An id is one: the same market under another spelling would have caps and a cooldown of its own.
    function testFuzz_position__id_with_more_than_an_address__is_refused(uint96 above) public {
        vm.assume(above != 0);
        bytes32 other = bytes32(uint256(above) << 160 | uint256(id));
        vm.expectRevert(abi.encodeWithSelector(IExecutorErrors.BadAsset.selector, address(0)));
        vm.prank(OWNER);
        executor.setPosition(other, _terms());
    }

    function _refusedPolicy(Position memory terms, uint8 rule) private {
        vm.expectRevert(abi.encodeWithSelector(IExecutorErrors.BadPolicy.selector, rule));
        vm.prank(OWNER);
        executor.setPosition(id, terms);
    }

    function _accepted(Position memory terms) private {
        vm.prank(OWNER);
        executor.setPosition(id, terms);
    }

    function test_policy__each_rule_at_its_bound_and_one_beyond() public {
        Position memory t = _terms();
        t.emergency = 1e18;
        _refusedPolicy(t, 1);
        t.emergency = 1e18 + 1;
        _accepted(t);
        t = _terms();
        t.trigger = t.emergency;
        _refusedPolicy(t, 2);
        t.trigger += 1;
        _accepted(t);
        t = _terms();
        t.target = t.trigger + t.hysteresis - 1;
        _refusedPolicy(t, 3);
        t.target += 1;
        _accepted(t);
        t.hysteresis = 0.001e18;
        t.target = t.trigger + 0.002e18 - 1;
        _refusedPolicy(t, 3);
        t.target += 1;
        _accepted(t);
        t = _terms();
        t.max = t.target + 0.02e18 - 1;
        _refusedPolicy(t, 4);
        t.max += 1;
        _accepted(t);
    }

    function test_policy__other_rules_at_their_bounds_and_one_beyond() public {
        Position memory t = _terms();
        t.hysteresis = 0.001e18 - 1;
        _refusedPolicy(t, 5);
        t.hysteresis = 0.001e18;
        _accepted(t);
        t = _terms();
        t.cooldownBlocks = 0;
        _refusedPolicy(t, 6);
        t = _terms();
        t.epochS = 1 hours - 1;
        _refusedPolicy(t, 7);
        t.epochS = uint24(30 days + 1);
        _refusedPolicy(t, 7);
        t = _terms();
        t.expiry = uint40(block.timestamp);
        _refusedPolicy(t, 8);
        t.expiry = uint40(block.timestamp + 400 days + 1);
        _refusedPolicy(t, 8);
        t = _terms();
        t.slippageBps = 0;
        _refusedPolicy(t, 9);
        t.slippageBps = 301;
        _refusedPolicy(t, 9);
        t = _terms();
        t.flashFeeBps = 101;
        _refusedPolicy(t, 10);
        t.flashFeeBps = 100;
        t.slippageBps = 300;
        t.expiry = uint40(block.timestamp + 400 days);
        _accepted(t);
    }

    function test_policy__seq_and_block_given_by_the_owner__are_ignored() public {
        Position memory t = _terms();
        t.seq = 77;
        t.lastBlock = 1;
        uint40 last = executor.positionOf(id).lastBlock;
        _accepted(t);
        _eq(executor.positionOf(id).seq, 0, "seq");
        _eq(executor.positionOf(id).lastBlock, last, "block");
    }

    function test_position__removed_and_set_again__keeps_its_seq() public {
        _open(OWNER, 10e18, 17_000e6);
        _grant(8e18);
        _price(2_060e8);
        Order memory o = _order(12_000e6, 6e18, Source.UNISWAP_V3_SWAP);
        vm.prank(BOT);
        executor.deleverage(o);
        vm.startPrank(OWNER);
        executor.removePosition(id);
        require(executor.positionOf(id).trigger == 0, "there");
        executor.setPosition(id, _terms());
        vm.stopPrank();
        _eq(executor.positionOf(id).seq, 1, "seq");
    }

    function test_position__written_another_way__is_no_second_one_of_the_market() public {
        Position memory t = _terms();
        for (uint256 bit = 160; bit < 256; bit += 19) {
            bytes32 other = bytes32(uint256(id) | 1 << bit);
            _refusedOwner(abi.encodeCall(IExecutor.setPosition, (other, t)), IExecutorErrors.BadAsset.selector);
        }
    }

    // --- routers, bots, tokens ------------------------------------------------------------------------------------------------

    function _refusedOwner(bytes memory data, bytes4 selector) private {
        vm.prank(OWNER);
        (bool ok, bytes memory answer) = address(executor).call(data);
        require(!ok && bytes4(answer) == selector, "not refused");
    }

    function _router(address target) private {
        _refusedOwner(abi.encodeCall(IExecutor.setRouter, (target, true)), IExecutorErrors.BadRouter.selector);
    }

    function test_router__that_moves_the_owners_money__is_refused() public {
        _router(address(weth));
        _router(address(aWeth));
        _router(address(usdc));
        _router(address(dUsdc));
        _router(address(pool));
        _router(address(vault));
        _router(address(executor));
        _router(_at(".factory"));
        _router(OWNER);
        _router(address(0x1234));
    }

    function test_token__that_is_a_router__is_refused() public {
        address wbtc = _at(".tokens.WBTC.token");
        address aDai = _at(".tokens.DAI.aToken");
        vm.startPrank(OWNER);
        executor.setRouter(wbtc, true);
        executor.setRouter(aDai, true);
        vm.stopPrank();
        bytes4 selector = IExecutorErrors.BadRouter.selector;
        _refusedOwner(abi.encodeCall(IExecutor.setAsset, (id, wbtc, Side.COLLATERAL, 1, 1)), selector);
        _refusedOwner(abi.encodeCall(IExecutor.setAsset, (id, dai, Side.COLLATERAL, 1, 1)), selector);
    }

    function test_asset__unknown_to_the_market__is_refused() public {
        bytes4 selector = IExecutorErrors.BadAsset.selector;
        _refusedOwner(abi.encodeCall(IExecutor.setAsset, (id, address(router), Side.COLLATERAL, 1, 1)), selector);
        _refusedOwner(abi.encodeCall(IExecutor.setAsset, (id, address(usdc), Side.DEBT, 1, 1)), selector);
    }

    function test_bots__a_fourth_or_an_impossible_one__is_refused() public {
        vm.startPrank(OWNER);
        executor.setBot(BOT2, 10_000, type(uint40).max);
        executor.setBot(THIEF, 10_000, type(uint40).max);
        vm.expectPartialRevert(IExecutorErrors.TooManyBots.selector);
        executor.setBot(NEIGHBOUR, 1, type(uint40).max);
        executor.setBot(THIEF, 0, 0);
        executor.setBot(NEIGHBOUR, 1, type(uint40).max);
        vm.expectPartialRevert(IExecutorErrors.BadBot.selector);
        executor.setBot(NEIGHBOUR, 10_001, type(uint40).max);
        vm.expectPartialRevert(IExecutorErrors.BadBot.selector);
        executor.setBot(OWNER, 1, type(uint40).max);
        vm.expectPartialRevert(IExecutorErrors.BadBot.selector);
        executor.setBot(GUARDIAN, 1, type(uint40).max);
        vm.expectPartialRevert(IExecutorErrors.BadGuardian.selector);
        executor.setGuardian(BOT);
        vm.stopPrank();
    }

    // --- a day's notice --------------------------------------------------------------------------------------------------------

    function _needsNotice(bytes memory data) private {
        vm.warp(executor.setupUntil() + 1);
        _refusedOwner(data, IExecutorErrors.NotAnnounced.selector);
        vm.prank(OWNER);
        executor.announce(keccak256(data));
        vm.warp(block.timestamp + 24 hours - 1);
        _refusedOwner(data, IExecutorErrors.NotAnnounced.selector);
        vm.warp(block.timestamp + 1);
        vm.prank(OWNER);
        (bool ok,) = address(executor).call(data);
        require(ok, "refused after notice");
    }

    function test_loosening__router_added__needs_notice_once_for_each() public {
        bytes memory data = abi.encodeCall(IExecutor.setRouter, (address(this), true));
        _needsNotice(data);
        vm.prank(OWNER);
        executor.setRouter(address(this), false);
        _refusedOwner(data, IExecutorErrors.NotAnnounced.selector);
    }

    function test_loosening__cap_raised__needs_notice() public {
        _needsNotice(abi.encodeCall(IExecutor.setAsset, (id, address(weth), Side.COLLATERAL, 21e18, 1)));
        _needsNotice(abi.encodeCall(IExecutor.setAsset, (id, address(usdc), Side.DEBT, 0, 20_001e6)));
        _needsNotice(abi.encodeCall(IExecutor.setAsset, (id, _at(".tokens.WBTC.token"), Side.COLLATERAL, 0, 0)));
    }

    function test_loosening__bot_added_or_raised__needs_notice() public {
        vm.startPrank(OWNER);
        executor.setBot(BOT2, 5_000, 2_000_000_000);
        vm.stopPrank();
        _needsNotice(abi.encodeCall(IExecutor.setBot, (BOT2, 5_001, 2_000_000_000)));
        _needsNotice(abi.encodeCall(IExecutor.setBot, (BOT2, 5_001, 2_000_000_001)));
        _needsNotice(abi.encodeCall(IExecutor.setBot, (THIEF, 1, 2_000_000_001)));
    }

    function test_loosening__terms__need_notice() public {
        Position memory t = _terms();
        t.slippageBps += 1;
        _needsNotice(abi.encodeCall(IExecutor.setPosition, (id, t)));
        t.flashFeeBps += 1;
        _needsNotice(abi.encodeCall(IExecutor.setPosition, (id, t)));
        t.epochS -= 1;
        _needsNotice(abi.encodeCall(IExecutor.setPosition, (id, t)));
        t.cooldownBlocks -= 1;
        _needsNotice(abi.encodeCall(IExecutor.setPosition, (id, t)));
        vm.prank(OWNER);
        executor.removePosition(id);
        _needsNotice(abi.encodeCall(IExecutor.setPosition, (id, t)));
    }

    function test_tightening__at_any_time__works_at_once() public {
        vm.warp(executor.setupUntil() + 1);
        Position memory t = _terms();
        t.slippageBps -= 1;
        t.flashFeeBps -= 1;
        t.epochS += 1;
        t.cooldownBlocks += 1;
        t.trigger += 1;
        vm.startPrank(OWNER);
        executor.setPosition(id, t);
        executor.setAsset(id, address(weth), Side.COLLATERAL, 1, 1);
        executor.setRouter(address(router), false);
        executor.setBot(BOT, 9_999, 2_000_000_000);
        executor.setBot(BOT, 0, 0);
        executor.removeAsset(id, address(weth), Side.COLLATERAL);
        executor.removePosition(id);
        executor.setGuardian(THIEF);
        vm.stopPrank();
    }
}
