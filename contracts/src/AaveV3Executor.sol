// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Side} from "../interfaces/IExecutor.sol";
import {AaveV3} from "../libraries/AaveV3.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Executor} from "./Executor.sol";

/// @title The Executor of accounts in Aave v3 pools, and in pools like it (Spark).
/// @notice A position's id is the pool's address. The grant is a finite allowance of aTokens to this contract.
contract AaveV3Executor is Executor {
    function _market(bytes32 position) internal pure override returns (address) {
        // one market, one id: another way to write it would have caps of its own
        if (uint256(position) >> 160 != 0) return address(0);
        return address(AaveV3.poolOf(position));
    }

    function _receiptOf(bytes32 position, address token, Side side) internal view override returns (address) {
        return AaveV3.receiptOf(AaveV3.poolOf(position), token, side);
    }

    function _health(bytes32 position) internal view override returns (uint256) {
        return AaveV3.health(AaveV3.poolOf(position), _owner());
    }

    function _prices(bytes32 position, address collateral, address debt)
        internal
        view
        override
        returns (uint256, uint256)
    {
        return AaveV3.prices(AaveV3.poolOf(position), collateral, debt);
    }

    function _owed(bytes32, address receipt) internal view override returns (uint256) {
        return Tokens.balance(receipt, _owner());
    }

    function _shares(bytes32, address receipt) internal view override returns (uint256) {
        return AaveV3.scaled(receipt, _owner());
    }

    function _unitsOf(bytes32 position, address token, uint256 shares) internal view override returns (uint256) {
        return AaveV3.unitsUp(AaveV3.poolOf(position), token, shares);
    }

    function _repay(bytes32 position, address token, uint256 amount) internal override {
        AaveV3.repay(AaveV3.poolOf(position), token, amount, _owner());
    }

    function _supply(bytes32 position, address token, uint256 amount) internal override {
        AaveV3.supply(AaveV3.poolOf(position), token, amount, _owner());
    }

    function _take(bytes32 position, address token, address receipt, uint256 amount, address to) internal override {
        AaveV3.take(AaveV3.poolOf(position), token, receipt, amount, _owner(), to);
    }
}
