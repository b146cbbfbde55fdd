// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice What the Executor asks of a Compound v3 market (Comet).
interface ICompoundV3 {
    struct AssetInfo {
        uint8 offset;
        address asset;
        address priceFeed;
        uint64 scale;
        uint64 borrowCollateralFactor;
        uint64 liquidateCollateralFactor;
        uint64 liquidationFactor;
        uint128 supplyCap;
    }

    function baseToken() external view returns (address);
    function baseTokenPriceFeed() external view returns (address);
    function baseScale() external view returns (uint256);
    function numAssets() external view returns (uint8);
    function getAssetInfo(uint8 i) external view returns (AssetInfo memory);
    /// @dev Reverts for what is no collateral of the market.
    function getAssetInfoByAddress(address asset) external view returns (AssetInfo memory);
    /// @dev 8 decimals; reverts for a price that is not above nothing.
    function getPrice(address priceFeed) external view returns (uint256);
    /// @dev Interest to this second included, unlike the views of solvency.
    function borrowBalanceOf(address account) external view returns (uint256);
    function userCollateral(address account, address asset) external view returns (uint128 units, uint128 reserved);
    function isAllowed(address owner, address manager) external view returns (bool);
    function supplyTo(address dst, address asset, uint256 amount) external;
    function withdrawFrom(address src, address to, address asset, uint256 amount) external;
}
