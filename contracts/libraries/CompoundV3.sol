// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Side} from "../interfaces/IExecutor.sol";
import {ICompoundV3} from "../interfaces/ICompoundV3.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {Tokens} from "./Tokens.sol";

/// @title A borrower of a Compound v3 market: how to read, feed and drain him.
/// @dev The grant is `allow`, which Compound has only whole. Functions are internal: no delegatecall.
library CompoundV3 {
    uint256 private constant WAD = 1e18;

    /// @notice The position's id is the market's address.
    function marketOf(bytes32 position) internal pure returns (ICompoundV3) {
        return ICompoundV3(address(uint160(uint256(position))));
    }

    /// @notice Collateral by the liquidate factors over debt, as `absorb` weighs them: its roundings, interest included.
    /// @return wad the health; 2**256 - 1 without debt, and with a debt too small to be worth anything in 8 decimals.
    function health(ICompoundV3 market, address account) internal view returns (uint256 wad) {
        uint256 debt =
            market.borrowBalanceOf(account) * market.getPrice(market.baseTokenPriceFeed()) / market.baseScale();
        if (debt == 0) return type(uint256).max;
        uint256 n = market.numAssets();
        for (uint256 i; i < n; ++i) {
            ICompoundV3.AssetInfo memory a = market.getAssetInfo(uint8(i));
            uint256 units = held(market, account, a.asset);
            // what counts for nothing may have lost its feed
            if (units == 0 || a.liquidateCollateralFactor == 0) continue;
            wad += units * market.getPrice(a.priceFeed) / a.scale * a.liquidateCollateralFactor / WAD;
        }
        wad = wad * WAD / debt;
    }

    /// @notice The token itself where the market knows it on that side, else zero.
    function receiptOf(ICompoundV3 market, address token, Side side) internal view returns (address) {
        if (side == Side.DEBT) return token == market.baseToken() ? token : address(0);
        try market.getAssetInfoByAddress(token) returns (ICompoundV3.AssetInfo memory) {
            return token;
        } catch {
            return address(0);
        }
    }

    function held(ICompoundV3 market, address account, address asset) internal view returns (uint256 units) {
        (units,) = market.userCollateral(account, asset);
    }

    /// @notice Prices of one whole token each, 8 decimals of the market's quote.
    function prices(ICompoundV3 market, address collateral) internal view returns (uint256, uint256) {
        address feed = market.getAssetInfoByAddress(collateral).priceFeed;
        return (market.getPrice(feed), market.getPrice(market.baseTokenPriceFeed()));
    }

    /// @notice Repay `amount` from here, exactly: what is paid beyond the debt would be a loan to the market.
    function repay(ICompoundV3 market, address token, uint256 amount, address account) internal {
        uint256 owed = market.borrowBalanceOf(account);
        if (amount > owed) revert IExecutorErrors.TransferShort(token, amount, owed);
        supply(market, token, amount, account);
    }

    /// @notice Supply `amount` from here: of collateral, or of the base token, which repays.
    function supply(ICompoundV3 market, address token, uint256 amount, address account) internal {
        Tokens.allow(token, address(market), amount);
        market.supplyTo(account, token, amount);
        Tokens.clear(token, address(market));
    }

    /// @notice Withdraw the account's collateral to `to`. The market refuses where what is left would not carry the debt
    /// by the borrow factors, which are stricter than the liquidate factors.
    function take(ICompoundV3 market, address token, uint256 amount, address account, address to) internal {
        if (!market.isAllowed(account, address(this))) {
            revert IExecutorErrors.GrantShort(address(market), 0, amount);
        }
        market.withdrawFrom(account, to, token, amount);
    }
}
