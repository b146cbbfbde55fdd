// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Side} from "../interfaces/IExecutor.sol";
import {CompoundV3} from "../libraries/CompoundV3.sol";
import {Executor} from "./Executor.sol";

/// @title The Executor of an owner's positions in Compound v3 markets.
/// @notice A position's id is the market's address. The grant is the market's `allow`, which permits everything there:
/// this contract can be given it because it has no way to use it but the checked ones, and no way to get one.
contract CompoundV3Executor is Executor {
    function _market(bytes32 position) internal pure override returns (address) {
        // one market, one id: another way to write it would have caps of its own
        if (uint256(position) >> 160 != 0) return address(0);
        return address(CompoundV3.marketOf(position));
    }

    function _receiptOf(bytes32 position, address token, Side side) internal view override returns (address) {
        return CompoundV3.receiptOf(CompoundV3.marketOf(position), token, side);
    }

    function _health(bytes32 position) internal view override returns (uint256) {
        return CompoundV3.health(CompoundV3.marketOf(position), _owner());
    }

    function _prices(bytes32 position, address collateral, address)
        internal
        view
        override
        returns (uint256, uint256)
    {
        return CompoundV3.prices(CompoundV3.marketOf(position), collateral);
    }

    function _owed(bytes32 position, address) internal view override returns (uint256) {
        return CompoundV3.marketOf(position).borrowBalanceOf(_owner());
    }

    function _shares(bytes32 position, address receipt) internal view override returns (uint256) {
        return CompoundV3.held(CompoundV3.marketOf(position), _owner(), receipt);
    }

    /// @dev Collateral is kept in units, and earns nothing.
    function _unitsOf(bytes32, address, uint256 shares) internal pure override returns (uint256) {
        return shares;
    }

    function _repay(bytes32 position, address token, uint256 amount) internal override {
        CompoundV3.repay(CompoundV3.marketOf(position), token, amount, _owner());
    }

    function _supply(bytes32 position, address token, uint256 amount) internal override {
        CompoundV3.supply(CompoundV3.marketOf(position), token, amount, _owner());
    }

    function _take(bytes32 position, address token, address, uint256 amount, address to) internal override {
        CompoundV3.take(CompoundV3.marketOf(position), token, amount, _owner(), to);
    }
}
