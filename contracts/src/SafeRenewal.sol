// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IExecutorState, ISafeModules, ISafeRenewal, Line} from "../interfaces/ISafeRenewal.sol";

/// @title Renews a Safe's finite allowances to its Executor while the Safe's owners sleep.
/// @dev A module may send anything of the Safe's: the one call below, with a target, a spender and an amount that were
/// fixed at construction, is what bounds it. Nobody owns this contract; the Safe ends it by disabling it. Deployed with
/// its terms in the creation code, so its address alone proves them (EIP-1014).
contract SafeRenewal is ISafeRenewal, ReentrancyGuardTransient {
    struct Fixed {
        uint112 amount;
        /// The last renewal, or the construction: the first allowance is the owners' own.
        uint40 renewedAt;
    }

    uint256 private constant PERIOD_MIN = 1 hours;
    uint256 private constant TERM_MAX = 365 days;
    uint256 private constant TOKENS_MAX = 8;
    /// @dev Of the Safe's two operations the one that is no delegatecall.
    uint8 private constant CALL = 0;

    address private immutable SAFE;
    address private immutable EXECUTOR;
    uint256 private immutable UNTIL;
    uint256 private immutable PERIOD;

    address[] private _tokens;
    mapping(address token => Fixed) private _fixed;

    constructor(address safe, address executor, uint256 until, uint256 period, Line[] memory lines) {
        if (safe.code.length == 0) revert BadSafe(safe);
        if (executor.code.length == 0) revert BadExecutor(executor);
        address owner = IExecutorState(executor).owner();
        if (owner != safe) revert NotTheSafes(executor, owner);
        if (until <= block.timestamp || until > block.timestamp + TERM_MAX) revert BadUntil(until);
        if (period < PERIOD_MIN || period > until - block.timestamp) revert BadPeriod(period);
        if (lines.length == 0 || lines.length > TOKENS_MAX) revert BadCount(lines.length);
        (SAFE, EXECUTOR, UNTIL, PERIOD) = (safe, executor, until, period);
        for (uint256 i; i < lines.length; ++i) {
            (address token, uint256 amount) = (lines[i].token, lines[i].amount);
            if (token == safe || token == executor || !_hasAllowances(token, safe, executor)) revert BadToken(token);
            if (_fixed[token].amount != 0) revert TwiceNamed(token);
            if (amount == 0 || amount > type(uint112).max) revert BadAmount(token, amount);
            _tokens.push(token);
            _fixed[token] = Fixed(uint112(amount), uint40(block.timestamp));
        }
    }

    // --- anyone -----------------------------------------------------------------------------------------------------------

    function renew(address token) external nonReentrant {
        Fixed storage line = _fixed[token];
        uint256 amount = line.amount;
        if (amount == 0) revert TokenUnknown(token);
        if (block.timestamp > UNTIL) revert Ended(UNTIL);
        uint256 ready = line.renewedAt + PERIOD;
        if (block.timestamp < ready) revert TooEarly(token, ready);
        if (IExecutorState(EXECUTOR).paused()) revert ExecutorPaused();
        if (!ISafeModules(SAFE).isModuleEnabled(address(this))) revert NotEnabled();
        uint256 standing = IERC20(token).allowance(SAFE, EXECUTOR);
        // a renewal that anybody may ask for after a unit's use would start the clock for nothing
        if (standing > amount / 2) revert NotUsed(token, standing);

        line.renewedAt = uint40(block.timestamp);
        // some tokens change an allowance to nothing and from nothing only
        bool done = _approve(token, amount) || (_approve(token, 0) && _approve(token, amount));
        if (!done) revert ApproveFailed(token);
        standing = IERC20(token).allowance(SAFE, EXECUTOR);
        if (standing != amount) revert AllowanceWrong(token, standing, amount);
        emit Renewed(token, amount);
    }

    function terms() external view returns (address, address, uint256, uint256, Line[] memory lines) {
        lines = new Line[](_tokens.length);
        for (uint256 i; i < lines.length; ++i) {
            lines[i] = Line(_tokens[i], _fixed[_tokens[i]].amount);
        }
        return (SAFE, EXECUTOR, UNTIL, PERIOD, lines);
    }

    function readyAt(address token) external view returns (uint256) {
        if (_fixed[token].amount == 0) revert TokenUnknown(token);
        return _fixed[token].renewedAt + PERIOD;
    }

    // --- inside -----------------------------------------------------------------------------------------------------------

    /// @dev The only thing that the Safe is ever made to send. A token says yes with a word of one, or with nothing.
    function _approve(address token, uint256 amount) private returns (bool) {
        (bool sent, bytes memory answer) = ISafeModules(SAFE).execTransactionFromModuleReturnData(
            token, 0, abi.encodeCall(IERC20.approve, (EXECUTOR, amount)), CALL
        );
        return sent && (answer.length == 0 || (answer.length >= 32 && abi.decode(answer, (uint256)) == 1));
    }

    function _hasAllowances(address token, address safe, address executor) private view returns (bool) {
        (bool ok, bytes memory answer) = token.staticcall(abi.encodeCall(IERC20.allowance, (safe, executor)));
        return ok && token.code.length != 0 && answer.length == 32;
    }
}
