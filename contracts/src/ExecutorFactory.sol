// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Venues} from "../interfaces/IExecutor.sol";
import {IVenuesOf} from "../interfaces/IVenuesOf.sol";

/// @title Deploys one Executor for each owner, at an address that does not depend on the chain.
/// @notice The address follows from this factory's, the owner's and the creation code. Venues differ from chain to
/// chain and are asked for by the constructor instead of standing in the code; only the owner can name them.
contract ExecutorFactory is IVenuesOf {
    event Deployed(address indexed owner, address executor);

    error DeployFailed();
    error NotDeploying();

    address private _owner;
    Venues private _venues;

    /// @param code creation code of the Executor, from the committed artifact.
    function deploy(bytes calldata code, Venues calldata venues) external returns (address executor) {
        (_owner, _venues) = (msg.sender, venues);
        bytes memory creation = code;
        bytes32 salt = bytes32(uint256(uint160(msg.sender)));
        assembly ("memory-safe") {
            executor := create2(0, add(creation, 0x20), mload(creation), salt)
        }
        if (executor == address(0)) revert DeployFailed();
        delete _owner;
        delete _venues;
        emit Deployed(msg.sender, executor);
    }

    /// @notice Where the owner's Executor of that creation code lies, deployed or not.
    function addressOf(address owner, bytes32 codeHash) external view returns (address) {
        bytes32 salt = bytes32(uint256(uint160(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, codeHash)))));
    }

    function parameters() external view returns (address, Venues memory) {
        if (_owner == address(0)) revert NotDeploying();
        return (_owner, _venues);
    }
}
