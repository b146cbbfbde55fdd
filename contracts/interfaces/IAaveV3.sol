// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice What the Executor asks of an Aave v3 pool, the same from 3.0 to 3.6.
interface IAaveV3Pool {
    function supply(address asset, uint256 amount, address onBehalfOf, uint16 referralCode) external;
    function withdraw(address asset, uint256 amount, address to) external returns (uint256);
    function repay(address asset, uint256 amount, uint256 interestRateMode, address onBehalfOf)
        external
        returns (uint256);
    function flashLoanSimple(address receiver, address asset, uint256 amount, bytes calldata params, uint16 referral)
        external;
    function getUserAccountData(address user)
        external
        view
        returns (uint256 collateral, uint256 debt, uint256 available, uint256 threshold, uint256 ltv, uint256 health);
    /// @dev A struct of 15 static words, told here as words: the 9th is the aToken, the 11th the variable debt token.
    function getReserveData(address asset) external view returns (uint256[15] memory);
    function getReserveNormalizedIncome(address asset) external view returns (uint256);
    function ADDRESSES_PROVIDER() external view returns (address);
}

/// @notice An aToken.
interface IAaveV3Receipt {
    function scaledBalanceOf(address user) external view returns (uint256);
}

interface IAaveV3Provider {
    function getPriceOracle() external view returns (address);
}

interface IAaveV3Oracle {
    function getAssetPrice(address asset) external view returns (uint256);
}

/// @notice Called by an Aave v3 pool in the middle of `flashLoanSimple`.
interface IAaveV3FlashReceiver {
    function executeOperation(address asset, uint256 amount, uint256 fee, address initiator, bytes calldata params)
        external
        returns (bool);
}
