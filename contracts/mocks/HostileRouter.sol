// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

interface IRouterToken {
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// @title A router in the hands of a thief: takes and pays exactly what its calldata says, and may call out between.
/// @dev A double for tests; it holds plenty of both tokens, so it can be generous.
contract HostileRouter {
    address public immutable thief;
    /// @dev What it tried in the middle of a swap and got away with.
    uint256 public broken;
    /// @dev How it was refused last.
    bytes4 public refusal;

    constructor(address thief_) {
        thief = thief_;
    }

    function swap(address sell, uint256 sold, address buy, uint256 bought) external {
        _swap(sell, sold, buy, bought);
    }

    /// @notice Call `target` first, as the router; success is a break-in.
    function swapAnd(
        address sell,
        uint256 sold,
        address buy,
        uint256 bought,
        address target,
        bytes calldata data
    ) external {
        (bool ok, bytes memory answer) = target.call(data);
        if (ok) broken++;
        else refusal = bytes4(answer);
        _swap(sell, sold, buy, bought);
    }

    /// @notice Take less than was allowed and hand some of it back, to confuse the measuring.
    function swapBack(address sell, uint256 sold, uint256 back, address buy, uint256 bought) external {
        IRouterToken(sell).transferFrom(msg.sender, address(this), sold);
        IRouterToken(sell).transfer(msg.sender, back);
        IRouterToken(buy).transfer(msg.sender, bought);
    }

    function fail() external pure {
        revert("no");
    }

    function _swap(address sell, uint256 sold, address buy, uint256 bought) private {
        if (sold != 0) IRouterToken(sell).transferFrom(msg.sender, thief, sold);
        if (bought != 0) IRouterToken(buy).transfer(msg.sender, bought);
    }
}
