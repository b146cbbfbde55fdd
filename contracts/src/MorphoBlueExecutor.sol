// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Side} from "../interfaces/IExecutor.sol";
import {IMorphoBlue, MarketParams} from "../interfaces/IMorphoBlue.sol";
import {MorphoBlue} from "../libraries/MorphoBlue.sol";
import {Executor} from "./Executor.sol";

/// @title The Executor of an owner's positions in Morpho Blue's markets.
/// @notice A position's id is the market's. The grant is Morpho's authorisation, which permits everything in every
/// market: this contract can be given it because it has no way to use it but the checked ones, and no way to get one.
contract MorphoBlueExecutor is Executor {
    using MorphoBlue for IMorphoBlue;

    function _market(bytes32) internal view override returns (address) {
        return MORPHO_BLUE;
    }

    /// @dev No receipts here: the token stands for itself, in the role that the market gives it.
    function _receiptOf(bytes32 position, address token, Side side) internal view override returns (address) {
        MarketParams memory market = _morpho().marketOf(position);
        return token == (side == Side.COLLATERAL ? market.collateralToken : market.loanToken) ? token : address(0);
    }

    function _health(bytes32 position) internal override returns (uint256) {
        return _morpho().health(position, _owner());
    }

    /// @dev In loan tokens, wad.
    function _prices(bytes32 position, address collateral, address debt)
        internal
        view
        override
        returns (uint256, uint256)
    {
        uint256 unitOfCollateral = _assets[position][Side.COLLATERAL][collateral].unit;
        return (_morpho().price(position, unitOfCollateral, _assets[position][Side.DEBT][debt].unit), 1e18);
    }

    function _owed(bytes32 position, address) internal view override returns (uint256) {
        return _morpho().owed(position, _owner());
    }

    function _shares(bytes32 position, address) internal view override returns (uint256 units) {
        (, units) = _morpho().held(position, _owner());
    }

    /// @dev Collateral is kept in units, and earns nothing.
    function _unitsOf(bytes32, address, uint256 shares) internal pure override returns (uint256) {
        return shares;
    }

    function _repay(bytes32 position, address, uint256 amount) internal override {
        _morpho().repay(position, amount, _owner());
    }

    function _supply(bytes32 position, address, uint256 amount) internal override {
        _morpho().supply(position, amount, _owner());
    }

    function _take(bytes32 position, address, address, uint256 amount, address to) internal override {
        _morpho().take(position, amount, _owner(), to);
    }

    function _morpho() private view returns (IMorphoBlue) {
        return IMorphoBlue(MORPHO_BLUE);
    }
}
