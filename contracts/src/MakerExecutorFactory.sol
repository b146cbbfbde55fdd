// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Venues} from "../interfaces/IExecutor.sol";
import {IMakerVenuesOf, MakerVenues} from "../interfaces/IMaker.sol";
import {IVenuesOf} from "../interfaces/IVenuesOf.sol";

/// @title Deploys one MakerExecutor for each owner, at an address that does not depend on the chain.
/// @notice As ExecutorFactory does it, with more to ask for: a factory of its own, so that no other Executor's address
/// follows from what Maker needs.
contract MakerExecutorFactory is IVenuesOf, IMakerVenuesOf {
    event Deployed(address indexed owner, address executor);

    error DeployFailed();
    error NotDeploying();

    address private _owner;
    Venues private _venues;
    MakerVenues private _maker;

    /// @param code creation code of the Executor, from the committed artifact.
    function deploy(bytes calldata code, Venues calldata venues, MakerVenues calldata vaults)
        external
        returns (address executor)
    {
        (_owner, _venues, _maker) = (msg.sender, venues, vaults);
        bytes memory creation = code;
        bytes32 salt = bytes32(uint256(uint160(msg.sender)));
        assembly ("memory-safe") {
            executor := create2(0, add(creation, 0x20), mload(creation), salt)
        }
        if (executor == address(0)) revert DeployFailed();
        delete _owner;
        delete _venues;
        delete _maker;
        emit Deployed(msg.sender, executor);
    }

    /// @notice Where the owner's Executor of that creation code lies, deployed or not.
    function addressOf(address owner, bytes32 codeHash) external view returns (address) {
        bytes32 salt = bytes32(uint256(uint160(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, codeHash)))));
    }

    function parameters() external view returns (address, Venues memory) {
        _deploying();
        return (_owner, _venues);
    }

    function maker() external view returns (MakerVenues memory) {
        _deploying();
        return _maker;
    }

    function _deploying() private view {
        if (_owner == address(0)) revert NotDeploying();
    }
}
