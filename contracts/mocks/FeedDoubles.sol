// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Doubles of price feeds with the two habits that cost people money: a bound at which they stay, and a cap on a ratio.
// Anyone may set them: they must never stand in a market that holds anything of value.

/// @title A feed that never answers outside its bounds, as aggregators of the first kind did.
contract BoundedFeedDouble {
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    uint8 public constant decimals = 8;
    int256 public immutable minAnswer;
    int256 public immutable maxAnswer;
    int256 private _answer;
    uint80 private _round;
    uint256 private _updatedAt;

    constructor(int256 answer, int256 min, int256 max) {
        minAnswer = min;
        maxAnswer = max;
        set(answer);
    }

    function set(int256 answer) public {
        _answer = answer < minAnswer ? minAnswer : answer > maxAnswer ? maxAnswer : answer;
        _round += 1;
        _updatedAt = block.timestamp;
        emit AnswerUpdated(_answer, _round, block.timestamp);
    }

    function description() external pure returns (string memory) {
        return "BOUNDED / USD";
    }

    function aggregator() external view returns (address) {
        return address(this);
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (_round, _answer, _updatedAt, _updatedAt, _round);
    }
}

/// @title A staked token's price: its base's price times a ratio that may only grow so fast from a snapshot.
contract CappedRatioDouble {
    uint8 public constant decimals = 8;
    address public immutable BASE_TO_USD_AGGREGATOR;
    uint256 public getSnapshotRatio;
    uint256 public getSnapshotTimestamp;
    uint256 public getMaxRatioGrowthPerSecond;
    int256 public getRatio;

    constructor(address base, int256 ratio, uint256 growthPerSecond) {
        BASE_TO_USD_AGGREGATOR = base;
        getRatio = ratio;
        getSnapshotRatio = uint256(ratio);
        getSnapshotTimestamp = block.timestamp;
        getMaxRatioGrowthPerSecond = growthPerSecond;
    }

    /// @notice What a mistaken parameter update does: a snapshot that does not fit its time.
    function setSnapshot(uint256 ratio, uint256 timestamp) external {
        getSnapshotRatio = ratio;
        getSnapshotTimestamp = timestamp;
    }

    function setRatio(int256 ratio) external {
        getRatio = ratio;
    }

    function isCapped() public view returns (bool) {
        return uint256(getRatio) > _most();
    }

    function description() external pure returns (string memory) {
        return "Capped staked / base / USD";
    }

    function latestRoundData() external view returns (uint80 round, int256 answer, uint256, uint256 updatedAt, uint80) {
        (round, answer, , updatedAt, ) = CappedRatioDouble(BASE_TO_USD_AGGREGATOR).latestRoundData();
        uint256 ratio = isCapped() ? _most() : uint256(getRatio);
        answer = answer * int256(ratio) / 1e18;
        return (round, answer, updatedAt, updatedAt, round);
    }

    function latestAnswer() external view returns (int256 answer) {
        (, answer, , , ) = this.latestRoundData();
    }

    function _most() private view returns (uint256) {
        return getSnapshotRatio + getMaxRatioGrowthPerSecond * (block.timestamp - getSnapshotTimestamp);
    }
}
