// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Venues} from "../interfaces/IExecutor.sol";
import {IMorphoBlue, MarketParams} from "../interfaces/IMorphoBlue.sol";
import {VenueRules} from "./VenueRules.sol";

interface IMorphoSetup is IMorphoBlue {
    function enableIrm(address irm) external;
    function enableLltv(uint256 lltv) external;
    function createMarket(MarketParams memory market) external;
    function supply(MarketParams memory market, uint256 assets, uint256 shares, address onBehalf, bytes memory data)
        external
        returns (uint256, uint256);
    function borrow(MarketParams memory market, uint256 assets, uint256 shares, address onBehalf, address receiver)
        external
        returns (uint256, uint256);
    function setAuthorization(address authorized, bool newIsAuthorized) external;
}

interface IOracleMock {
    function setPrice(uint256 price) external;
}

/// @title The real Morpho Blue with its adaptive rate curve, beside the same Uniswap v3.
abstract contract MorphoBlueStage is VenueRules {
    IMorphoSetup internal morpho;
    MarketParams internal params;

    function _artifact() internal view override returns (string memory) {
        return vm.envOr("MORPHO_BLUE_ARTIFACT", "contracts/artifacts/MorphoBlueExecutor.json");
    }

    /// @dev Before the Executor: Morpho is one of its immutables.
    function _venues() internal view override returns (Venues memory venues) {
        venues = super._venues();
        venues.morphoBlue = address(morpho);
    }

    function _deployMarket() internal {
        market = vm.readFile(".cache/forge/market.json");
        vm.loadAllocs(".cache/forge/alloc.json");
        vm.warp(vm.parseJsonUint(market, ".timestamp") + 12);
        string memory code = vm.readFile(".cache/forge/morpho.json");
        morpho = IMorphoSetup(_create(vm.parseJsonBytes(code, ".Morpho"), abi.encode(address(this))));
        address irm = _create(vm.parseJsonBytes(code, ".AdaptiveCurveIrm"), abi.encode(address(morpho)));
        params = MarketParams({
            loanToken: _at(".tokens.USDC.token"),
            collateralToken: _at(".tokens.WETH.token"),
            oracle: _create(vm.parseJsonBytes(code, ".OracleMock"), ""),
            irm: irm,
            lltv: 0.86e18
        });
        morpho.enableIrm(irm);
        morpho.enableLltv(params.lltv);
        morpho.createMarket(params);
        _deploy();
        id = keccak256(abi.encode(params));
        _feedPrice(3_000e8);
        _mint(usdc, address(this), 1e12);
        usdc.approve(address(morpho), 1e12);
        morpho.supply(params, 1e12, 0, address(this), "");
    }

    function _create(bytes memory code, bytes memory arguments) internal returns (address made) {
        bytes memory creation = abi.encodePacked(code, arguments);
        assembly {
            made := create(0, add(creation, 0x20), mload(creation))
        }
        require(made != address(0), "not deployed");
    }

    function _open(address who, uint256 collateral, uint256 debt) internal override {
        _mint(weth, who, collateral);
        vm.startPrank(who);
        weth.approve(address(morpho), collateral);
        morpho.supplyCollateral(params, collateral, who, "");
        morpho.borrow(params, debt, 0, who, address(0xdead));
        vm.stopPrank();
    }

    function _authorise(bool allowed) internal override {
        vm.prank(OWNER);
        morpho.setAuthorization(address(executor), allowed);
    }

    function _feedPrice(uint256 usd8) internal override {
        IOracleMock(params.oracle).setPrice(usd8 * 1e36 / 1e20);
    }

    function _factorPct() internal pure override returns (uint256) {
        return 86;
    }

    function _owed(address who) internal view override returns (uint256) {
        (, uint256 shares,) = morpho.position(id, who);
        (,, uint256 assets, uint256 all,,) = morpho.market(id);
        return (shares * (assets + 1) + all + 1e6 - 1) / (all + 1e6);
    }

    function _pledged(address who) internal view override returns (uint256 units) {
        (,, units) = morpho.position(id, who);
    }

    function _health(address who) internal view override returns (uint256) {
        uint256 owed = _owed(who);
        if (owed == 0) return type(uint256).max;
        return _pledged(who) * IMorphoPrice(params.oracle).price() / 1e36 * params.lltv / 1e18 * 1e18 / owed;
    }

    function _marketAddress() internal view override returns (address) {
        return address(morpho);
    }
}

interface IMorphoPrice {
    function price() external view returns (uint256);
}
