// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Venues} from "./IExecutor.sol";

/// @notice What a contract asks its deployer while it is being constructed.
interface IVenuesOf {
    function parameters() external view returns (address owner, Venues memory venues);
}
