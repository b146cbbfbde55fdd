// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

interface IVaultToken {
    function balanceOf(address account) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
}

interface IVaultReceiver {
    function receiveFlashLoan(address[] memory, uint256[] memory, uint256[] memory, bytes memory) external;
}

/// @title A double of a Balancer v2 vault's flash loan: anyone may start one in anyone's name, and a fee may be set.
contract FlashVault {
    uint256 public feeBps;

    error NotPaidBack();

    function setFee(uint256 feeBps_) external {
        feeBps = feeBps_;
    }

    function flashLoan(address recipient, address[] memory tokens, uint256[] memory amounts, bytes memory userData)
        external
    {
        uint256[] memory fees = new uint256[](1);
        fees[0] = (amounts[0] * feeBps + 9_999) / 10_000;
        uint256 before = IVaultToken(tokens[0]).balanceOf(address(this));
        IVaultToken(tokens[0]).transfer(recipient, amounts[0]);
        IVaultReceiver(recipient).receiveFlashLoan(tokens, amounts, fees, userData);
        if (IVaultToken(tokens[0]).balanceOf(address(this)) < before + fees[0]) revert NotPaidBack();
    }
}
