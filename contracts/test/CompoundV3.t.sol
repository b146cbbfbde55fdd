// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Order, Position, Side, Source} from "../interfaces/IExecutor.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {CometDouble} from "../mocks/CometDouble.sol";
import {IFeed} from "./Stage.sol";
import {CompoundV3Stage} from "./CompoundV3Stage.sol";

/// @title The rules on a double of a Compound v3 market, and what is Compound's alone.
contract CompoundV3Test is CompoundV3Stage {
    function setUp() public {
        _deployMarket();
        _begin();
    }

    /// @dev Payments beyond the debt would be a loan to the market: nothing of the kind is ever left behind.
    function test_compound__whole_debt__leaves_neither_debt_nor_a_loan() public {
        vm.warp(block.timestamp + 40 days);
        _mint(usdc, address(executor), 30_000e6);
        _payIn(Side.DEBT, 30_000e6);
        (int104 principal,,,,) = comet.userBasic(OWNER);
        require(principal == 0, "principal left");
    }

    function testFuzz_compound__id_with_more_than_an_address__is_refused(uint96 above) public {
        vm.assume(above != 0);
        Position memory terms = _terms();
        vm.expectRevert(abi.encodeWithSelector(IExecutorErrors.BadAsset.selector, address(0)));
        vm.prank(OWNER);
        executor.setPosition(bytes32(uint256(above) << 160 | uint256(id)), terms);
    }

    /// @dev Collateral leaves by the borrow factor, health counts by the liquidate factor: a part that lifts health out of
    /// an emergency, and no further, the market itself refuses.
    function test_compound__partial_that_ends_below_the_borrow_factor__is_the_markets_to_refuse() public {
        Order memory o = _order(1_000e6, 6e18, Source.UNISWAP_V3_SWAP);
        _refused(o, CometDouble.NotCollateralized.selector);
        // 0.90 / 0.83 and a little more
        uint256 usd8 = _priceAt(DEEP);
        o = _order(_repayTo(1.1e18, usd8), 10e18, Source.UNISWAP_V3_SWAP);
        vm.prank(BOT);
        executor.deleverage(o);
        require(_health(OWNER) > 1.09e18 && comet.isBorrowCollateralized(OWNER), "not reached");
    }

    function test_compound__second_collateral__counts_and_stays() public {
        address wbtc = _at(".tokens.WBTC.token");
        vm.prank(deployer);
        ITokenMint(wbtc).mint(address(this), 1e5);
        ITokenMint(wbtc).approve(address(comet), 1e5);
        comet.supplyTo(OWNER, wbtc, 1e5);
        uint256 worth = 1e5 * comet.getPrice(_at(".tokens.WBTC.feed")) / 1e8 * 90 / 100;
        uint256 seen = _health(OWNER) + worth * 1e18 / (_owed(OWNER) * 100);
        Position memory terms = _terms();
        terms.emergency = 1.0001e18;
        terms.trigger = uint64(seen - 1e12);
        vm.prank(OWNER);
        executor.setPosition(id, terms);
        _refused(_rescue(DEEP, Source.UNISWAP_V3_SWAP), IExecutorErrors.NotTriggered.selector);
        terms.trigger = uint64(seen + 1e12);
        vm.prank(OWNER);
        executor.setPosition(id, terms);
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        vm.prank(BOT);
        executor.deleverage(o);
        (uint256 left,) = comet.userCollateral(OWNER, wbtc);
        _eq(left, 1e5, "sold what it was not asked to");
    }

    function test_compound__feed_without_a_price__is_the_markets_to_refuse() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        IFeed(feed).set(0);
        _refused(o, CometDouble.BadPrice.selector);
    }

    function test_compound__base_as_collateral__cannot_be_listed() public {
        vm.prank(OWNER);
        vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
        executor.setAsset(id, address(usdc), Side.COLLATERAL, 1, 1);
    }
}

interface ITokenMint {
    function mint(address to, uint256 amount) external;
    function approve(address spender, uint256 amount) external returns (bool);
}
