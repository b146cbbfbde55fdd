// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Position} from "../interfaces/IExecutor.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";

/// @title The rules of a policy, and of what a call under it must have reached.
/// @dev The second enforcer of the decision record on triggers; the daemon's guard is the first.
library Policies {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    /// @dev Between trigger and target: a bot that could act again at once would pay the slippage again at once. Small
    /// enough for a loop of two correlated assets, whose whole ladder spans two per cent.
    uint256 internal constant MARGIN_MIN = 0.002e18;
    /// @dev Between target and max: a swap does not land on the wei.
    uint256 internal constant SLACK_MIN = 0.02e18;
    /// @dev What a payment above emergency brings at the least, short of the target: dust must not begin a cooldown.
    uint256 internal constant HYSTERESIS_MIN = 0.001e18;
    uint256 internal constant SLIPPAGE_BPS_MAX = 300;
    uint256 internal constant FLASH_FEE_BPS_MAX = 100;
    uint256 internal constant TERM_MAX = 400 days;
    uint256 internal constant EPOCH_MIN = 1 hours;
    uint256 internal constant EPOCH_MAX = 30 days;
    /// @dev A partial below emergency lifts health by at least a thousandth.
    uint256 internal constant PARTIAL_STEP_BPS = 10;

    /// @notice Reverts with the number of the first rule that the policy breaks.
    function check(Position memory p) internal view {
        _need(p.emergency > WAD, 1);
        _need(p.trigger > p.emergency, 2);
        _need(p.target >= p.trigger + (p.hysteresis > MARGIN_MIN ? p.hysteresis : MARGIN_MIN), 3);
        _need(p.max >= p.target + SLACK_MIN, 4);
        _need(p.hysteresis >= HYSTERESIS_MIN, 5);
        _need(p.cooldownBlocks != 0, 6);
        _need(p.epochS >= EPOCH_MIN && p.epochS <= EPOCH_MAX, 7);
        _need(p.expiry > block.timestamp && p.expiry <= block.timestamp + TERM_MAX, 8);
        _need(p.slippageBps != 0 && p.slippageBps <= SLIPPAGE_BPS_MAX, 9);
        _need(p.flashFeeBps <= FLASH_FEE_BPS_MAX, 10);
    }

    /// @notice True when `p` lets a bot lose more than `old` did.
    function looser(Position memory p, Position memory old) internal pure returns (bool) {
        return p.slippageBps > old.slippageBps || p.flashFeeBps > old.flashFeeBps || p.epochS < old.epochS
            || p.cooldownBlocks < old.cooldownBlocks;
    }

    /// @notice The two-sided post-condition. `selling`: partials are for emergencies only, else a key could cut slices.
    function settle(Position memory p, uint256 before, uint256 afterwards, bool debtLeft, bool selling) internal pure {
        if (afterwards <= before) revert IExecutorErrors.NotImproved(before, afterwards);
        if (afterwards < p.target) {
            uint256 needed = p.target;
            // rounded up: a thousandth is the least, not about the least
            if (before < p.emergency) needed = before + (before * PARTIAL_STEP_BPS + BPS - 1) / BPS;
            else if (!selling) needed = before + p.hysteresis;
            if (needed > p.target) needed = p.target;
            if (afterwards < needed) revert IExecutorErrors.TargetMissed(afterwards, needed);
        }
        if (debtLeft && afterwards > p.max) revert IExecutorErrors.MaxHealthExceeded(afterwards, p.max);
    }

    function _need(bool holds, uint8 rule) private pure {
        if (!holds) revert IExecutorErrors.BadPolicy(rule);
    }
}
