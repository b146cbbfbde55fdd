// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice By what Morpho Blue names one market in every call.
struct MarketParams {
    address loanToken;
    address collateralToken;
    address oracle;
    address irm;
    uint256 lltv;
}

/// @notice What the Executor asks of Morpho Blue.
interface IMorphoBlue {
    function idToMarketParams(bytes32 id) external view returns (MarketParams memory);
    /// @dev Without the interest since the last update, unless `accrueInterest` was called in the same block.
    function market(bytes32 id)
        external
        view
        returns (
            uint128 supplyAssets,
            uint128 supplyShares,
            uint128 borrowAssets,
            uint128 borrowShares,
            uint128 lastUpdate,
            uint128 fee
        );
    function position(bytes32 id, address account)
        external
        view
        returns (uint256 supplyShares, uint128 borrowShares, uint128 collateral);
    function isAuthorized(address authorizer, address authorized) external view returns (bool);
    function accrueInterest(MarketParams memory params) external;
    function supplyCollateral(MarketParams memory params, uint256 assets, address onBehalf, bytes memory data) external;
    function withdrawCollateral(MarketParams memory params, uint256 assets, address onBehalf, address receiver)
        external;
    /// @dev One of `assets` and `shares` is nothing.
    function repay(MarketParams memory params, uint256 assets, uint256 shares, address onBehalf, bytes memory data)
        external
        returns (uint256 assetsRepaid, uint256 sharesRepaid);
}

interface IMorphoBlueOracle {
    /// @notice Loan units for one unit of collateral, times 1e36.
    function price() external view returns (uint256);
}
