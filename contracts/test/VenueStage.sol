// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Order, Source} from "../interfaces/IExecutor.sol";
import {HostileRouter} from "../mocks/HostileRouter.sol";
import {Stage} from "./Stage.sol";

/// @title What differs from protocol to protocol, told by each stage; tokens, feeds and Uniswap v3 are the same.
/// @dev A borrower of 10 WETH against 17,000 USDC. Prices are told as the health they leave him with.
abstract contract VenueStage is Stage {
    uint256 internal constant COLLATERAL = 10e18;
    uint256 internal constant DEBT = 17_000e6;

    /// @dev The factor at which collateral counts towards liquidation, per cent.
    function _factorPct() internal view virtual returns (uint256);

    function _owed(address who) internal view virtual returns (uint256);

    function _pledged(address who) internal view virtual returns (uint256);

    /// @dev Let the Executor act for its owner, or no longer.
    function _authorise(bool allowed) internal virtual;

    /// @dev The contract that a thief would call in the Executor's name.
    function _marketAddress() internal view virtual returns (address);

    function _grant(uint256 units) internal override {
        _authorise(units != 0);
    }

    /// @dev Feed and pool where the borrower of `_open(OWNER, COLLATERAL, DEBT)` has that health, in thousandths.
    function _fall(uint256 thousandths) internal {
        _price(_priceAt(thousandths));
    }

    function _priceAt(uint256 thousandths) internal view returns (uint256 usd8) {
        return DEBT * 1e20 * thousandths / COLLATERAL / 10 / _factorPct();
    }

    /// @dev USDC to repay so that health becomes `target`, selling at half a per cent below the oracle.
    function _repayTo(uint256 target, uint256 usd8) internal view returns (uint256) {
        uint256 factor = _factorPct() * 1e16;
        uint256 weighted = _pledged(OWNER) * usd8 / 1e20 * _factorPct() / 100;
        return (target * _owed(OWNER) / WAD - weighted) * WAD / (target - factor * 1_005 / 1_000);
    }

    /// @dev An order that reaches 1.45 from a fall to `thousandths`, with room for the pool's price.
    function _rescue(uint256 thousandths, Source source) internal view returns (Order memory) {
        return _sized(thousandths, 1.45e18, source);
    }

    function _sized(uint256 thousandths, uint256 target, Source source) private view returns (Order memory) {
        uint256 usd8 = _priceAt(thousandths);
        uint256 repay = _repayTo(target, usd8);
        return _order(repay, repay * 1e20 / usd8 * 102 / 100, source);
    }

    /// @dev The same through the router, which takes all that may be sold and pays the oracle's price less `bps` for it.
    function _routedRescue(uint256 thousandths, uint256 bps) internal view returns (Order memory) {
        Order memory o = _sized(thousandths, 1.5e18, Source.BALANCER);
        uint256 bought = o.sellMax * _priceAt(thousandths) / 1e20 * (10_000 - bps) / 10_000;
        return _routed(o, _pays(o.sellMax, bought));
    }

    function _pays(uint256 sold, uint256 bought) internal view returns (bytes memory) {
        return abi.encodeCall(HostileRouter.swap, (address(weth), sold, address(usdc), bought));
    }

    function _empty() internal view {
        _eq(weth.balanceOf(address(executor)) + usdc.balanceOf(address(executor)), 0, "residue");
        _eq(weth.allowance(address(executor), address(router)), 0, "router allowance");
        _eq(weth.allowance(address(executor), _marketAddress()), 0, "market allowance");
        _eq(usdc.allowance(address(executor), _marketAddress()), 0, "debt allowance");
        _eq(_pledged(address(executor)), 0, "a position of its own");
    }
}
