// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {TransientSlot} from "@openzeppelin/contracts/utils/TransientSlot.sol";

import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";

/// @title The one callback that is expected now: by whom, and with which bytes.
/// @dev Transient, so that nothing outlives the transaction.
library Callbacks {
    using TransientSlot for *;

    bytes32 private constant CALLER = keccak256("keeper.executor.callback.caller");
    bytes32 private constant DIGEST = keccak256("keeper.executor.callback.digest");

    function expect(address caller, bytes memory data) internal {
        CALLER.asAddress().tstore(caller);
        DIGEST.asBytes32().tstore(keccak256(data));
    }

    /// @notice Take the expected callback, once.
    function accept(bytes calldata data) internal {
        if (msg.sender != CALLER.asAddress().tload()) revert IExecutorErrors.CallbackCaller(msg.sender);
        if (keccak256(data) != DIGEST.asBytes32().tload()) revert IExecutorErrors.CallbackArguments();
        CALLER.asAddress().tstore(address(0));
        DIGEST.asBytes32().tstore(0);
    }

    /// @notice Nothing may be expected any more.
    function done() internal view {
        if (CALLER.asAddress().tload() != address(0)) revert IExecutorErrors.CallbackMissing();
    }
}
