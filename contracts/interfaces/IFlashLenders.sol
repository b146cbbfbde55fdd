// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

interface IMorphoBlueFlash {
    function flashLoan(address token, uint256 assets, bytes calldata data) external;
}

interface IMorphoBlueFlashReceiver {
    function onMorphoFlashLoan(uint256 assets, bytes calldata data) external;
}

interface IBalancerVault {
    function flashLoan(address recipient, address[] memory tokens, uint256[] memory amounts, bytes memory userData)
        external;
}

interface IBalancerFlashReceiver {
    function receiveFlashLoan(
        address[] memory tokens,
        uint256[] memory amounts,
        uint256[] memory fees,
        bytes memory userData
    ) external;
}
