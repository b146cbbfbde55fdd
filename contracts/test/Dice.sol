// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Numbers that follow from a seed and from nothing else.
abstract contract Dice {
    uint256 private _seed;
    uint256 private _drawn;

    function _cast(uint256 seed) internal {
        (_seed, _drawn) = (seed, 0);
    }

    /// @dev From `low` up to and without `low + span`.
    function _draw(uint256 low, uint256 span) internal returns (uint256) {
        return low + uint256(keccak256(abi.encode(_seed, ++_drawn))) % span;
    }

    /// @dev `x`, one beside it, or some per cent away: where comparisons turn.
    function _near(uint256 x) internal returns (uint256) {
        uint256 n = _draw(0, 8);
        if (n < 3) return x + n > 0 ? x + n - 1 : 0;
        return x * [uint256(50), 90, 99, 101, 130][n - 3] / 100;
    }
}
