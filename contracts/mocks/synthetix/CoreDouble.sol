// SPDX-License-Identifier: MIT
pragma solidity ^0.8.11;

import {Account, AccountRBAC} from "./CoreAccount.sol";

interface IMintedUsd {
    function mint(address to, uint256 value) external;
    function burn(address from, uint256 value) external;
}

/// @title Stands where the Synthetix v3 core system would: one market, one dollar token, liquidity without an owner.
/// @notice For local test chains alone.
contract CoreDouble {
    error OnlyTheMarket();

    IMintedUsd public immutable usd;
    address public immutable oracle;
    address public market;
    int256 public credit;

    constructor(IMintedUsd usd_, address oracle_, int256 credit_) {
        usd = usd_;
        oracle = oracle_;
        credit = credit_;
    }

    modifier onlyMarket() {
        if (msg.sender != market) revert OnlyTheMarket();
        _;
    }

    function registerMarket(address market_) external returns (uint128) {
        market = market_;
        return 1;
    }

    function depositMarketUsd(uint128, address from, uint256 amount) external onlyMarket returns (uint256) {
        usd.burn(from, amount);
        credit += int256(amount);
        return 0;
    }

    function withdrawMarketUsd(uint128, address to, uint256 amount) external onlyMarket returns (uint256) {
        usd.mint(to, amount);
        credit -= int256(amount);
        return 0;
    }

    function getWithdrawableMarketUsd(uint128) external view returns (uint256) {
        return credit > 0 ? uint256(credit) : 0;
    }

    function getOracleManager() external view returns (address) {
        return oracle;
    }

    function getAssociatedSystem(bytes32) external view returns (address, bytes32) {
        return (address(usd), "erc20");
    }
}

/// @title The account module's face, over the accounts that the perps market reads.
contract AccountModuleDouble {
    using AccountRBAC for AccountRBAC.Data;

    error AccountTaken(uint128 accountId);

    event AccountCreated(uint128 indexed accountId, address indexed owner);
    event PermissionGranted(
        uint128 indexed accountId,
        bytes32 indexed permission,
        address indexed user,
        address sender
    );
    event PermissionRevoked(
        uint128 indexed accountId,
        bytes32 indexed permission,
        address indexed user,
        address sender
    );

    function createAccount(uint128 accountId) external {
        Account.Data storage account = Account.load(accountId);
        if (account.rbac.owner != address(0)) revert AccountTaken(accountId);
        account.id = accountId;
        account.rbac.owner = msg.sender;
        emit AccountCreated(accountId, msg.sender);
    }

    function grantPermission(uint128 accountId, bytes32 permission, address user) external {
        _administered(accountId).rbac.granted[user][permission] = true;
        emit PermissionGranted(accountId, permission, user, msg.sender);
    }

    function revokePermission(uint128 accountId, bytes32 permission, address user) external {
        _administered(accountId).rbac.granted[user][permission] = false;
        emit PermissionRevoked(accountId, permission, user, msg.sender);
    }

    function isAuthorized(uint128 accountId, bytes32 permission, address user) external view returns (bool) {
        return Account.load(accountId).rbac.authorized(permission, user);
    }

    function getAccountOwner(uint128 accountId) external view returns (address) {
        return Account.load(accountId).rbac.owner;
    }

    function _administered(uint128 accountId) private view returns (Account.Data storage) {
        return Account.loadAccountAndValidatePermission(accountId, AccountRBAC._ADMIN_PERMISSION);
    }
}

/// @title One address in front of many modules: delegates each call by its selector, as the protocol's router does.
contract RouterDouble {
    error NoModule(bytes4 selector);

    bytes32 private constant _SLOT = keccak256("keeper.double.router");

    /// @dev The modules ask for their owner at a slot of their own; it is written here once.
    constructor(bytes32 ownerSlot, address owner) {
        assembly {
            sstore(ownerSlot, or(sload(ownerSlot), owner))
        }
    }

    function route(bytes4[] calldata selectors, address module) external {
        mapping(bytes4 => address) storage modules = _modules();
        for (uint256 i = 0; i < selectors.length; i++) modules[selectors[i]] = module;
    }

    fallback() external payable {
        address module = _modules()[msg.sig];
        if (module == address(0)) revert NoModule(msg.sig);
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), module, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch done
            case 0 {
                revert(0, returndatasize())
            }
            default {
                return(0, returndatasize())
            }
        }
    }

    receive() external payable {}

    function _modules() private pure returns (mapping(bytes4 => address) storage modules) {
        bytes32 slot = _SLOT;
        assembly {
            modules.slot := slot
        }
    }
}
