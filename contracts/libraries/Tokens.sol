// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";

/// @title Tokens, distrusted: amounts are measured, allowances end with the call they were given for.
library Tokens {
    using SafeERC20 for IERC20;

    function balance(address token, address account) internal view returns (uint256) {
        return IERC20(token).balanceOf(account);
    }

    function here(address token) internal view returns (uint256) {
        return balance(token, address(this));
    }

    function send(address token, address to, uint256 amount) internal {
        IERC20(token).safeTransfer(to, amount);
    }

    /// @notice Pull from `account`, with a word of our own where the allowance does not reach.
    function pull(address token, address account, uint256 amount) internal {
        uint256 granted = IERC20(token).allowance(account, address(this));
        if (granted < amount) revert IExecutorErrors.GrantShort(token, granted, amount);
        IERC20(token).safeTransferFrom(account, address(this), amount);
    }

    /// @notice A failed pull in our own words where the grant is what lacks, else in the token's.
    function explain(address token, address account, uint256 amount, bytes memory reason) internal view {
        uint256 granted = IERC20(token).allowance(account, address(this));
        if (granted < amount) revert IExecutorErrors.GrantShort(token, granted, amount);
        assembly ("memory-safe") {
            revert(add(reason, 0x20), mload(reason))
        }
    }

    function allow(address token, address spender, uint256 amount) internal {
        IERC20(token).forceApprove(spender, amount);
    }

    /// @dev Asked first: most spenders take all, and a write of nothing costs more than the question.
    function clear(address token, address spender) internal {
        if (IERC20(token).allowance(address(this), spender) != 0) allow(token, spender, 0);
    }

    function exact(address token, uint256 expected, uint256 received) internal pure {
        if (received != expected) revert IExecutorErrors.TransferShort(token, expected, received);
    }
}
