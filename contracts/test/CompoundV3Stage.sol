// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {CometDouble} from "../mocks/CometDouble.sol";
import {VenueRules} from "./VenueRules.sol";

/// @title A Compound v3 market of our own making (a double), on the same tokens and feeds, beside the same Uniswap v3.
abstract contract CompoundV3Stage is VenueRules {
    CometDouble internal comet;

    function _artifact() internal view override returns (string memory) {
        return vm.envOr("COMPOUND_V3_ARTIFACT", "contracts/artifacts/CompoundV3Executor.json");
    }

    function _deployMarket() internal {
        _deploy();
        // two a cent a year at the kink, so that a month shows
        uint256[8] memory curves =
            [uint256(0), 1e9, 1e11, 0.85e18, 1e9, 1e9, 1e11, 0.85e18];
        CometDouble.AssetInfo[] memory assets = new CometDouble.AssetInfo[](2);
        assets[0] = _info(_at(".tokens.WBTC.token"), _at(".tokens.WBTC.feed"), 1e8);
        assets[1] = _info(address(weth), feed, 1e18);
        comet = new CometDouble(address(usdc), _at(".tokens.USDC.feed"), 1e6, curves, assets);
        id = bytes32(uint256(uint160(address(comet))));
        _mint(usdc, address(this), 1e12);
        usdc.approve(address(comet), 1e12);
        comet.supplyTo(address(this), address(usdc), 1e12);
    }

    function _info(address token, address priceFeed, uint64 scale)
        private
        pure
        returns (CometDouble.AssetInfo memory)
    {
        return CometDouble.AssetInfo(0, token, priceFeed, scale, 0.83e18, 0.9e18, 0.95e18, type(uint128).max);
    }

    function _open(address who, uint256 collateral, uint256 debt) internal override {
        _mint(weth, who, collateral);
        vm.startPrank(who);
        weth.approve(address(comet), collateral);
        comet.supplyTo(who, address(weth), collateral);
        comet.withdrawFrom(who, address(0xdead), address(usdc), debt);
        vm.stopPrank();
    }

    function _authorise(bool allowed) internal override {
        vm.prank(OWNER);
        comet.allow(address(executor), allowed);
    }

    function _factorPct() internal pure override returns (uint256) {
        return 90;
    }

    function _owed(address who) internal view override returns (uint256) {
        return comet.borrowBalanceOf(who);
    }

    function _pledged(address who) internal view override returns (uint256 units) {
        (units,) = comet.userCollateral(who, address(weth));
    }

    function _health(address who) internal view override returns (uint256) {
        uint256 worth = _owed(who) * comet.getPrice(_at(".tokens.USDC.feed")) / 1e6;
        if (worth == 0) return type(uint256).max;
        return _pledged(who) * comet.getPrice(feed) / 1e18 * 0.9e18 / 1e18 * 1e18 / worth;
    }

    function _marketAddress() internal view override returns (address) {
        return address(comet);
    }
}
