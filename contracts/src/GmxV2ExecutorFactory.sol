// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IGmxV2Of} from "../interfaces/IGmxV2.sol";

/// @title Deploys one GmxV2Executor for each owner and each SubaccountRouter, at an address that follows from both.
/// @notice GMX replaces its routers with its releases: another router is another Executor. Only the owner deploys at
/// his addresses.
contract GmxV2ExecutorFactory is IGmxV2Of {
    event Deployed(address indexed owner, address indexed subaccounts, address executor);

    error DeployFailed();
    error NotDeploying();

    address private _owner;
    address private _subaccounts;

    /// @param code creation code of the Executor, from the committed artifact.
    function deploy(bytes calldata code, address subaccounts) external returns (address executor) {
        (_owner, _subaccounts) = (msg.sender, subaccounts);
        bytes memory creation = code;
        bytes32 salt = keccak256(abi.encode(msg.sender, subaccounts));
        assembly ("memory-safe") {
            executor := create2(0, add(creation, 0x20), mload(creation), salt)
        }
        if (executor == address(0)) revert DeployFailed();
        delete _owner;
        delete _subaccounts;
        emit Deployed(msg.sender, subaccounts, executor);
    }

    /// @notice Where that Executor lies, deployed or not.
    function addressOf(address owner, address subaccounts, bytes32 codeHash) external view returns (address) {
        bytes32 salt = keccak256(abi.encode(owner, subaccounts));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, codeHash)))));
    }

    function parameters() external view returns (address, address) {
        if (_owner == address(0)) revert NotDeploying();
        return (_owner, _subaccounts);
    }
}
