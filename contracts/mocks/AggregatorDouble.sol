// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Doubles of a price feed in its two parts: the aggregator that is written, and the proxy that venues ask.
// Anyone may set them: they must never stand in a market that holds anything of value.

/// @title An aggregator that stays at its bounds, keeps its rounds, and tells each in a log.
contract AggregatorDouble {
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    uint8 public constant decimals = 8;
    int256 public immutable minAnswer;
    int256 public immutable maxAnswer;
    string public description;
    uint80 public latestRound;
    mapping(uint80 => int256) public getAnswer;
    mapping(uint80 => uint256) public getTimestamp;

    constructor(int256 answer, int256 min, int256 max, string memory description_) {
        (minAnswer, maxAnswer, description) = (min, max, description_);
        set(answer);
    }

    function set(int256 answer) public {
        latestRound += 1;
        getAnswer[latestRound] = answer < minAnswer ? minAnswer : answer > maxAnswer ? maxAnswer : answer;
        getTimestamp[latestRound] = block.timestamp;
        emit AnswerUpdated(getAnswer[latestRound], latestRound, block.timestamp);
    }
}

/// @title The proxy before an aggregator: its round ids carry a phase, and it emits nothing.
contract FeedProxyDouble {
    uint80 private constant PHASE = 3 << 64;
    AggregatorDouble public immutable aggregator;

    constructor(AggregatorDouble aggregator_) {
        aggregator = aggregator_;
    }

    function decimals() external view returns (uint8) {
        return aggregator.decimals();
    }

    function description() external view returns (string memory) {
        return aggregator.description();
    }

    function latestAnswer() external view returns (int256) {
        return aggregator.getAnswer(aggregator.latestRound());
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return getRoundData(PHASE | aggregator.latestRound());
    }

    function getRoundData(uint80 id) public view returns (uint80, int256, uint256, uint256, uint80) {
        uint80 round = uint80(uint64(id));
        uint256 at = aggregator.getTimestamp(round);
        require(at != 0, "No data present");
        return (id, aggregator.getAnswer(round), at, at, id);
    }
}
