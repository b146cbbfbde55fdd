// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Order, Position, Side, Source} from "../interfaces/IExecutor.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {IMorphoBlueFlash} from "../interfaces/IFlashLenders.sol";
import {IOracleMock, MorphoBlueStage} from "./MorphoBlueStage.sol";

/// @title The rules on the real Morpho Blue, and what is Morpho's alone.
contract MorphoBlueTest is MorphoBlueStage {
    function setUp() public {
        _deployMarket();
        _begin();
    }

    function test_morpho__its_own_flash_loan__costs_nothing_and_reaches_target() public {
        uint256 lent = usdc.balanceOf(address(morpho));
        Order memory o = _rescue(DEEP, Source.MORPHO_BLUE);
        _done(o);
        _eq(usdc.balanceOf(address(morpho)), lent + o.repay, "a fee was paid");
    }

    /// @dev By assets a rest of a share or two would stay, and with it a position that interest makes grow.
    function test_morpho__whole_debt__is_repaid_by_shares() public {
        vm.warp(block.timestamp + 40 days);
        uint256 state = vm.snapshotState();
        morpho.accrueInterest(params);
        uint256 owed = _owed(OWNER);
        vm.revertToState(state);
        _mint(usdc, address(executor), owed);
        _payIn2(owed);
        (, uint256 shares,) = morpho.position(id, OWNER);
        _eq(shares, 0, "shares left");
        _eq(usdc.balanceOf(address(executor)), 0, "not exact");
    }

    function _payIn2(uint256 amount) private {
        uint64 seq = executor.positionOf(id).seq;
        vm.prank(BOT);
        executor.repayFromReserve(id, seq, address(usdc), amount, type(uint64).max);
    }

    function test_morpho__loan_started_by_a_thief__is_refused() public {
        vm.startPrank(THIEF);
        vm.expectRevert();
        morpho.supplyCollateral(params, 1, address(executor), "0x");
        vm.stopPrank();
        // Morpho calls back whoever asked: nobody can make it call the Executor
        vm.prank(address(executor));
        vm.expectPartialRevert(IExecutorErrors.CallbackCaller.selector);
        IMorphoBlueFlash(address(morpho)).flashLoan(address(usdc), 1e6, "");
    }

    function test_morpho__oracle_without_a_price__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        IOracleMock(params.oracle).setPrice(0);
        _refused(o, IExecutorErrors.NoPrice.selector);
    }

    function testFuzz_morpho__market_that_does_not_exist__cannot_be_listed(bytes32 other) public {
        vm.assume(other != id);
        Position memory terms = _terms();
        vm.startPrank(OWNER);
        executor.setPosition(other, terms);
        vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
        executor.setAsset(other, address(weth), Side.COLLATERAL, 1, 1);
        vm.stopPrank();
    }
}
