// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title A price feed for local test chains, with Chainlink's AggregatorV3 interface and its AnswerUpdated event.
/// @notice Anyone may set it: it must never stand in a market that holds anything of value.
contract PriceFeed {
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    error FeedBroken();
    error NoSuchRound(uint80 roundId);

    uint256 public constant version = 4;
    uint8 public immutable decimals;
    string public description;
    /// @notice While true every read of a price reverts, as a feed under maintenance or a removed aggregator does.
    bool public broken;

    struct Round {
        int256 answer;
        uint256 updatedAt;
    }

    uint80 private _roundId;
    mapping(uint80 roundId => Round) private _rounds;

    constructor(uint8 decimals_, int256 answer, string memory description_) {
        decimals = decimals_;
        description = description_;
        _set(answer, block.timestamp);
    }

    /// @notice A new round, now.
    function set(int256 answer) external {
        _set(answer, block.timestamp);
    }

    /// @notice A new round that claims another time: how a stale feed looks to its readers.
    function setAt(int256 answer, uint256 updatedAt) external {
        _set(answer, updatedAt);
    }

    function setBroken(bool broken_) external {
        broken = broken_;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return _read(_roundId);
    }

    function getRoundData(uint80 roundId) external view returns (uint80, int256, uint256, uint256, uint80) {
        if (roundId == 0 || roundId > _roundId) revert NoSuchRound(roundId);
        return _read(roundId);
    }

    function latestAnswer() external view returns (int256 answer) {
        (, answer, , , ) = _read(_roundId);
    }

    function latestTimestamp() external view returns (uint256 updatedAt) {
        (, , , updatedAt, ) = _read(_roundId);
    }

    function latestRound() external view returns (uint256) {
        return _roundId;
    }

    /// @dev The proxy of a real feed names its aggregator; events come from there. Here both are one contract.
    function aggregator() external view returns (address) {
        return address(this);
    }

    function _set(int256 answer, uint256 updatedAt) private {
        _roundId += 1;
        _rounds[_roundId] = Round(answer, updatedAt);
        emit AnswerUpdated(answer, _roundId, updatedAt);
    }

    function _read(uint80 roundId) private view returns (uint80, int256, uint256, uint256, uint80) {
        if (broken) revert FeedBroken();
        Round storage round = _rounds[roundId];
        return (roundId, round.answer, round.updatedAt, round.updatedAt, roundId);
    }
}
