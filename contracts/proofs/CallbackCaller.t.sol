// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Callbacks} from "../libraries/Callbacks.sol";

/// @notice The prover's own cheat codes.
interface Symbols {
    function createAddress(string calldata name) external pure returns (address);
    function createBytes(uint256 size, string calldata name) external pure returns (bytes memory);
    function createBytes4(string calldata name) external pure returns (bytes4);
    function createInt256(string calldata name) external pure returns (int256);
    function createUint256(string calldata name) external pure returns (uint256);
}

interface Pranks {
    function prank(address sender) external;
    function assume(bool holds) external;
}

/// @notice The library as the Executor uses it: all in one transaction.
contract Gate {
    function expect(address caller, bytes memory data) external {
        Callbacks.expect(caller, data);
    }

    function accept(bytes calldata data) external {
        Callbacks.accept(data);
    }

    function done() external view {
        Callbacks.done();
    }
}

/// @title For every caller and all bytes: a callback is taken once, from the caller that is expected, with the bytes
/// that were sent out.
/// @dev `make halmos`. Bytes of 0 to 96 in three sizes; a hash is taken to be one-to-one, as the prover takes it.
contract CallbackCallerProof {
    Symbols private constant svm = Symbols(0xF3993A62377BCd56AE39D773740A5390411E8BC9);
    Pranks private constant vm = Pranks(address(uint160(uint256(keccak256("hevm cheat code")))));

    Gate private _gate;

    function setUp() public {
        _gate = new Gate();
    }

    /// @dev Nobody but the expected caller.
    function check_stranger_is_refused(address expected, address caller) public {
        bytes memory data = svm.createBytes(64, "data");
        vm.assume(caller != expected && expected != address(0));
        _gate.expect(expected, data);
        assert(!_accepted(caller, data));
    }

    /// @dev Not with other bytes, of the same length or of another.
    function check_other_bytes_are_refused(address expected) public {
        bytes memory data = svm.createBytes(64, "data");
        bytes memory other = svm.createBytes(64, "other");
        vm.assume(expected != address(0) && keccak256(data) != keccak256(other));
        _gate.expect(expected, data);
        assert(!_accepted(expected, other));
        assert(!_accepted(expected, svm.createBytes(96, "longer")));
        assert(!_accepted(expected, ""));
    }

    /// @dev Once; and what was never taken is noticed.
    function check_taken_once(address expected) public {
        bytes memory data = svm.createBytes(64, "data");
        vm.assume(expected != address(0));
        _gate.expect(expected, data);
        (bool open,) = address(_gate).call(abi.encodeCall(Gate.done, ()));
        assert(!open);
        assert(_accepted(expected, data));
        assert(!_accepted(expected, data));
        (open,) = address(_gate).call(abi.encodeCall(Gate.done, ()));
        assert(open);
    }

    function _accepted(address caller, bytes memory data) private returns (bool ok) {
        vm.prank(caller);
        (ok,) = address(_gate).call(abi.encodeCall(Gate.accept, (data)));
    }
}
