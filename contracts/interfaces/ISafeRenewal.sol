// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice A token and what the Executor may be allowed of it at a time, in units.
struct Line {
    address token;
    uint256 amount;
}

/// @notice Of the Safe: what a module needs.
interface ISafeModules {
    function isModuleEnabled(address module) external view returns (bool);
    function execTransactionFromModuleReturnData(address to, uint256 value, bytes calldata data, uint8 operation)
        external
        returns (bool success, bytes memory returnData);
}

/// @notice Of the Executor: whose it is, and whether it was stopped.
interface IExecutorState {
    function owner() external view returns (address);
    function paused() external view returns (bool);
}

/// @title A Safe's module that renews finite allowances to one Executor, and can do nothing else.
/// @notice What it renews, to whom, how often and until when is fixed at construction, for ever.
interface ISafeRenewal {
    /// @notice The Executor may take `amount` of `token` from the Safe again.
    event Renewed(address indexed token, uint256 amount);

    // --- what is constructed ------------------------------------------------------------------------------------------

    /// @notice The Safe is no contract.
    error BadSafe(address safe);
    /// @notice The Executor is no contract.
    error BadExecutor(address executor);
    /// @notice The Executor is another's: what is renewed would be a stranger's to take.
    error NotTheSafes(address executor, address owner);
    /// @notice The end lies in the past, or more than a year ahead.
    error BadUntil(uint256 until);
    /// @notice Less than an hour, or so long that nothing could be renewed before the end.
    error BadPeriod(uint256 period);
    /// @notice No token, or more than eight.
    error BadCount(uint256 count);
    /// @notice No token: no contract, the Safe or the Executor itself, or one without allowances.
    error BadToken(address token);
    /// @notice A token named twice: its amounts would not add up to what the signers read.
    error TwiceNamed(address token);
    /// @notice Nothing, or more than any cap of an Executor can hold: an allowance without limit bounds nothing.
    error BadAmount(address token, uint256 amount);

    // --- what is asked, in this order -----------------------------------------------------------------------------------

    /// @notice The token is not one of those that were named.
    error TokenUnknown(address token);
    /// @notice The term is over; at `until` itself it is not.
    error Ended(uint256 until);
    /// @notice Renewed less than a period ago.
    error TooEarly(address token, uint256 readyAt);
    /// @notice Owner or guardian stopped the Executor.
    error ExecutorPaused();
    /// @notice The Safe does not have this module, or has it no more.
    error NotEnabled();
    /// @notice More than half of the amount stands, or the Safe allows more by itself: a renewal would be wasted, or would
    /// take away.
    error NotUsed(address token, uint256 allowance);
    /// @notice The token refused, also after an allowance of nothing.
    error ApproveFailed(address token);
    /// @notice The token said yes and allows another amount.
    error AllowanceWrong(address token, uint256 allowance, uint256 wanted);

    /// @notice Have the Safe allow the Executor the fixed amount of `token` again: by anybody, once a period.
    function renew(address token) external;

    /// @notice Everything that was fixed at construction.
    function terms()
        external
        view
        returns (address safe, address executor, uint256 until, uint256 period, Line[] memory lines);

    /// @notice The Unix second from which `token` may be renewed; its end aside. Reverts for another token.
    function readyAt(address token) external view returns (uint256);
}
