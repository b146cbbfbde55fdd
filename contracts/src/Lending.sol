// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Side} from "../interfaces/IExecutor.sol";

/// @title What the Executor asks of a lending protocol.
/// @dev To guard another protocol: a contract like AaveV3Executor that answers these. All of it becomes code of that
/// contract: nothing is called with delegatecall, and no adapter can be put in later. One protocol, one Executor: what
/// is granted to one of them cannot be reached through another's code.
abstract contract Lending {
    /// @notice The contract that keeps the money of that position.
    function _market(bytes32 position) internal view virtual returns (address);

    /// @notice The protocol's own token for `token` on that side, or the token itself where the protocol keeps books
    /// instead of issuing tokens; zero where it does not know the token on that side.
    function _receiptOf(bytes32 position, address token, Side side) internal view virtual returns (address);

    /// @notice The protocol's own health of the owner, interest to this second included, wad; 2**256 - 1 without debt.
    /// @dev No view: where the protocol's views leave interest out, it is made to accrue first. Always asked before the
    /// functions below, so that what they read includes it too.
    function _health(bytes32 position) internal virtual returns (uint256);

    /// @notice The protocol's own prices of one whole token each, in one unit.
    function _prices(bytes32 position, address collateral, address debt)
        internal
        view
        virtual
        returns (uint256 priceCollateral, uint256 priceDebt);

    /// @notice Debt units that the owner owes now, interest included.
    function _owed(bytes32 position, address receipt) internal view virtual returns (uint256);

    /// @notice The owner's collateral in the protocol's own shares: what a withdrawal takes and interest does not move.
    function _shares(bytes32 position, address receipt) internal view virtual returns (uint256);

    /// @notice What that many shares are worth in units of the token, rounded up.
    function _unitsOf(bytes32 position, address token, uint256 shares) internal view virtual returns (uint256);

    /// @notice Repay exactly `amount` of what is here, leaving no allowance.
    function _repay(bytes32 position, address token, uint256 amount) internal virtual;

    /// @notice Supply exactly `amount` of what is here, leaving no allowance.
    function _supply(bytes32 position, address token, uint256 amount) internal virtual;

    /// @notice Take exactly `amount` of collateral out of the position, to `to`.
    function _take(bytes32 position, address token, address receipt, uint256 amount, address to) internal virtual;
}
