// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Side} from "../interfaces/IExecutor.sol";
import {IAaveV3Oracle, IAaveV3Pool, IAaveV3Provider, IAaveV3Receipt} from "../interfaces/IAaveV3.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {Tokens} from "./Tokens.sol";

/// @title An account of an Aave v3 pool (3.0 to 3.6, and Spark): how to read, feed and drain it.
/// @dev The grant is a finite allowance of aTokens to the Executor. Functions are internal: no delegatecall.
library AaveV3 {
    uint256 private constant VARIABLE_RATE = 2;
    uint256 private constant RAY = 1e27;

    /// @notice The position's id is the pool's address.
    function poolOf(bytes32 position) internal pure returns (IAaveV3Pool) {
        return IAaveV3Pool(address(uint160(uint256(position))));
    }

    /// @return wad the health; 2**256 - 1 without debt.
    function health(IAaveV3Pool pool, address account) internal view returns (uint256 wad) {
        (,,,,, wad) = pool.getUserAccountData(account);
    }

    /// @notice The protocol's token for `token`; zero where the pool does not know it.
    function receiptOf(IAaveV3Pool pool, address token, Side side) internal view returns (address) {
        return address(uint160(pool.getReserveData(token)[side == Side.COLLATERAL ? 8 : 10]));
    }

    function scaled(address receipt, address account) internal view returns (uint256) {
        return IAaveV3Receipt(receipt).scaledBalanceOf(account);
    }

    /// @notice Scaled aTokens in units of the token, at the index of now.
    function unitsUp(IAaveV3Pool pool, address token, uint256 shares) internal view returns (uint256) {
        return (shares * pool.getReserveNormalizedIncome(token) + RAY - 1) / RAY;
    }

    /// @notice Prices of one whole token each, in the market's base unit, as the pool itself reads them.
    function prices(IAaveV3Pool pool, address collateral, address debt)
        internal
        view
        returns (uint256 priceCollateral, uint256 priceDebt)
    {
        IAaveV3Oracle oracle = IAaveV3Oracle(IAaveV3Provider(pool.ADDRESSES_PROVIDER()).getPriceOracle());
        priceCollateral = _price(oracle, collateral);
        priceDebt = _price(oracle, debt);
    }

    /// @notice Repay `amount` from here, exactly.
    function repay(IAaveV3Pool pool, address token, uint256 amount, address account) internal {
        Tokens.allow(token, address(pool), amount);
        Tokens.exact(token, amount, pool.repay(token, amount, VARIABLE_RATE, account));
        Tokens.clear(token, address(pool));
    }

    /// @notice Supply `amount` from here.
    function supply(IAaveV3Pool pool, address token, uint256 amount, address account) internal {
        Tokens.allow(token, address(pool), amount);
        pool.supply(token, amount, account, 0);
        Tokens.clear(token, address(pool));
    }

    /// @notice Pull the account's aTokens and withdraw them to `to`. The pool refuses when health would fall below 1.
    function take(IAaveV3Pool pool, address token, address receipt, uint256 amount, address account, address to)
        internal
    {
        try IERC20(receipt).transferFrom(account, address(this), amount) returns (bool moved) {
            if (!moved) Tokens.explain(receipt, account, amount, "");
        } catch (bytes memory reason) {
            Tokens.explain(receipt, account, amount, reason);
        }
        Tokens.exact(token, amount, pool.withdraw(token, amount, to));
    }

    function _price(IAaveV3Oracle oracle, address token) private view returns (uint256 answer) {
        answer = oracle.getAssetPrice(token);
        if (answer == 0) revert IExecutorErrors.NoPrice(token);
    }
}
