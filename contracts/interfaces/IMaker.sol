// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice Contracts of the Maker/Sky vault system that cannot be found from one another; the Vat is the manager's.
struct MakerVenues {
    address manager;
    address spotter;
    address jug;
    address daiJoin;
    /// Of the collateral types: asked for an adapter once, when the owner lists a collateral.
    address registry;
}

/// @notice What a MakerExecutor asks its deployer besides, while it is being constructed.
interface IMakerVenuesOf {
    function maker() external view returns (MakerVenues memory);
}

/// @notice Vaults by number: DssCdpManager.
interface IMakerManager {
    function vat() external view returns (address);
    function urns(uint256 vault) external view returns (address);
    function owns(uint256 vault) external view returns (address);
    function ilks(uint256 vault) external view returns (bytes32);
    function cdpCan(address holder, uint256 vault, address user) external view returns (uint256);
    /// @dev Collateral that is freed lands in the vault's own balance in the Vat.
    function frob(uint256 vault, int256 dink, int256 dart) external;
    function flux(uint256 vault, address to, uint256 wad) external;
}

/// @notice The books. Amounts wad, rates and prices ray.
interface IMakerVat {
    /// @dev As it was when fees were last dripped and the price was last poked.
    function ilks(bytes32 ilk)
        external
        view
        returns (uint256 Art, uint256 rate, uint256 spot, uint256 line, uint256 dust);
    function urns(bytes32 ilk, address urn) external view returns (uint256 ink, uint256 art);
    function wards(address user) external view returns (uint256);
    /// @dev Asks no leave of the vault's holder for what makes the vault safer.
    function frob(bytes32 ilk, address urn, address collateralOf, address daiOf, int256 dink, int256 dart) external;
}

interface IMakerSpotter {
    function par() external view returns (uint256);
    function ilks(bytes32 ilk) external view returns (address pip, uint256 mat);
    /// @notice Make the feed's price and the ratio of now the Vat's; anyone may. A void price makes the Vat's zero.
    function poke(bytes32 ilk) external;
}

interface IMakerJug {
    /// @notice Accrue the fees of the collateral type to this second; anyone may.
    function drip(bytes32 ilk) external returns (uint256 rate);
}

/// @notice An adapter: of a collateral type (GemJoin), or of Dai.
interface IMakerJoin {
    function vat() external view returns (address);
    function ilk() external view returns (bytes32);
    function gem() external view returns (address);
    function dai() external view returns (address);
    function join(address user, uint256 amount) external;
    function exit(address to, uint256 amount) external;
}

interface IMakerRegistry {
    function join(bytes32 ilk) external view returns (address);
}

/// @notice A wallet that obeys an owner: DSProxy.
interface IMakerProxy {
    function owner() external view returns (address);
}
