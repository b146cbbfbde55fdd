// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title A listed token that turned bad: what moves loses a fee, or its receiver is called back.
/// @notice Its code takes the place of a plain ERC-20 on a local test chain and works on that token's own storage
/// (balances in slot 0, allowances in slot 1, as OpenZeppelin's ERC20 has them); what it does not know goes to the
/// code that it replaced.
contract ToxicTokenDouble {
    event Transfer(address indexed from, address indexed to, uint256 value);

    mapping(address owner => uint256) private _balances;
    mapping(address owner => mapping(address spender => uint256)) private _allowances;

    address private immutable ORIGINAL;
    uint256 private immutable FEE_BPS;
    address private immutable CALLED;

    /// @param original Where a copy of the replaced code is.
    /// @param feeBps What a transfer loses on its way, in 1/10,000.
    /// @param called Who is called back, as a lender would, when it receives; nobody when zero.
    constructor(address original, uint256 feeBps, address called) {
        ORIGINAL = original;
        FEE_BPS = feeBps;
        CALLED = called;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        if (_allowances[from][msg.sender] != type(uint256).max) _allowances[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) private {
        uint256 fee = value * FEE_BPS / 10_000;
        _balances[from] -= value;
        _balances[to] += value - fee;
        _balances[address(0xdead)] += fee;
        emit Transfer(from, to, value - fee);
        emit Transfer(from, address(0xdead), fee);
        if (CALLED != address(0) && to == CALLED) _callBack();
    }

    /// @dev A flash lender's call that nobody ordered; what it is answered with goes up as it is.
    function _callBack() private {
        bytes memory call = abi.encodeWithSignature(
            "executeOperation(address,uint256,uint256,address,bytes)", address(this), 1, 0, CALLED, ""
        );
        (bool well, bytes memory said) = CALLED.call(call);
        if (!well) {
            assembly ("memory-safe") {
                revert(add(said, 32), mload(said))
            }
        }
    }

    fallback() external {
        address original = ORIGINAL;
        assembly ("memory-safe") {
            calldatacopy(0, 0, calldatasize())
            let well := delegatecall(gas(), original, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch well
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}
