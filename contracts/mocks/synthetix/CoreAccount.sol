// SPDX-License-Identifier: MIT
pragma solidity ^0.8.11;

// Accounts of the core system as the perps market reads them from shared storage: an owner, and who he permits what.

library AccountRBAC {
    bytes32 internal constant _ADMIN_PERMISSION = "ADMIN";
    bytes32 internal constant _PERPS_MODIFY_COLLATERAL_PERMISSION = "PERPS_MODIFY_COLLATERAL";
    bytes32 internal constant _PERPS_COMMIT_ASYNC_ORDER_PERMISSION = "PERPS_COMMIT_ASYNC_ORDER";

    struct Data {
        address owner;
        mapping(address who => mapping(bytes32 permission => bool)) granted;
    }

    function authorized(Data storage self, bytes32 permission, address who) internal view returns (bool) {
        return who == self.owner || self.granted[who][_ADMIN_PERMISSION] || self.granted[who][permission];
    }
}

library Account {
    using AccountRBAC for AccountRBAC.Data;

    error PermissionDenied(uint128 accountId, bytes32 permission, address target);
    error AccountNotFound(uint128 accountId);

    struct Data {
        uint128 id;
        AccountRBAC.Data rbac;
    }

    function load(uint128 id) internal pure returns (Data storage account) {
        bytes32 slot = keccak256(abi.encode("keeper.double.account", id));
        assembly {
            account.slot := slot
        }
    }

    function exists(uint128 id) internal view returns (Data storage account) {
        account = load(id);
        if (account.rbac.owner == address(0)) revert AccountNotFound(id);
    }

    function loadAccountAndValidatePermission(
        uint128 id,
        bytes32 permission
    ) internal view returns (Data storage account) {
        account = load(id);
        if (!account.rbac.authorized(permission, msg.sender)) revert PermissionDenied(id, permission, msg.sender);
    }
}
