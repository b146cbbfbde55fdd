// SPDX-License-Identifier: MIT
pragma solidity ^0.8.11;

import "@synthetixio/oracle-manager/contracts/interfaces/INodeModule.sol";
import "@synthetixio/core-contracts/contracts/interfaces/IERC165.sol";

// What the perps market asks of the core system, whose package is not published: signatures alone.

interface IMarketManagerModule {
    function registerMarket(address market) external returns (uint128);
    function depositMarketUsd(uint128 marketId, address target, uint256 amount) external returns (uint256);
    function withdrawMarketUsd(uint128 marketId, address target, uint256 amount) external returns (uint256);
    function getWithdrawableMarketUsd(uint128 marketId) external view returns (uint256);
    function getOracleManager() external view returns (INodeModule);
}

interface IMarketCollateralModule {
    function depositMarketCollateral(uint128 marketId, address collateral, uint256 amount) external;
    function withdrawMarketCollateral(uint128 marketId, address collateral, uint256 amount) external;
}

interface IVaultModule {
    function getVaultCollateral(uint128 poolId, address collateral) external view returns (uint256, uint256);
}

interface IUtilsModule {}

interface ICollateralConfigurationModule {}

interface IMarket is IERC165 {
    function name(uint128 marketId) external view returns (string memory);
    function reportedDebt(uint128 marketId) external view returns (uint256);
    function minimumCredit(uint128 marketId) external view returns (uint256);
}

interface IRewardDistributor is IERC165 {
    function token() external view returns (address);
}

interface RewardsDistributor {
    function token() external view returns (address);
    function poolId() external view returns (uint128);
    function distributeRewards(
        uint128 poolId,
        address collateral,
        uint256 amount,
        uint64 start,
        uint32 duration
    ) external;
}
