// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {IMorphoBlue, IMorphoBlueOracle, MarketParams} from "../interfaces/IMorphoBlue.sol";
import {Tokens} from "./Tokens.sol";

/// @title A borrower of a Morpho Blue market: how to read, feed and drain him.
/// @dev The grant is an authorisation, which Morpho has only whole. Functions are internal: no delegatecall.
library MorphoBlue {
    uint256 private constant WAD = 1e18;
    uint256 private constant ORACLE_SCALE = 1e36;
    /// @dev SharesMathLib of Morpho Blue.
    uint256 private constant VIRTUAL_SHARES = 1e6;
    uint256 private constant VIRTUAL_ASSETS = 1;

    /// @dev One place makes the call: each would be a hundred bytes of code.
    function marketOf(IMorphoBlue morpho, bytes32 id) internal view returns (MarketParams memory) {
        return morpho.idToMarketParams(id);
    }

    /// @notice The market's own inequality as a quotient: below one exactly where Morpho lets liquidate.
    /// @dev Accrues first: what Morpho's views say leaves out the interest since the market's last update.
    /// @return wad the health; 2**256 - 1 without debt.
    function health(IMorphoBlue morpho, bytes32 id, address account) internal returns (uint256 wad) {
        MarketParams memory market = marketOf(morpho, id);
        morpho.accrueInterest(market);
        uint256 debt = owed(morpho, id, account);
        if (debt == 0) return type(uint256).max;
        (, uint256 units) = held(morpho, id, account);
        wad = units * priceOf(market) / ORACLE_SCALE * market.lltv / WAD * WAD / debt;
    }

    /// @return units of the loan token that are owed, rounded up as Morpho does, as of its last accrual.
    function owed(IMorphoBlue morpho, bytes32 id, address account) internal view returns (uint256 units) {
        (uint256 shares,) = held(morpho, id, account);
        (,, uint256 assets, uint256 all,,) = morpho.market(id);
        all += VIRTUAL_SHARES;
        units = (shares * (assets + VIRTUAL_ASSETS) + all - 1) / all;
    }

    function held(IMorphoBlue morpho, bytes32 id, address account)
        internal
        view
        returns (uint256 borrowShares, uint256 collateral)
    {
        (, borrowShares, collateral) = morpho.position(id, account);
    }

    /// @notice The market's price of a whole collateral token in whole loan tokens, wad, rounded against whoever sells.
    function price(IMorphoBlue morpho, bytes32 id, uint256 unitOfCollateral, uint256 unitOfLoan)
        internal
        view
        returns (uint256 wad)
    {
        MarketParams memory market = marketOf(morpho, id);
        uint256 scaled = priceOf(market) * unitOfCollateral;
        if (scaled == 0) revert IExecutorErrors.NoPrice(market.collateralToken);
        uint256 scale = ORACLE_SCALE / WAD * unitOfLoan;
        wad = (scaled + scale - 1) / scale;
    }

    /// @notice Repay `amount` from here, exactly. All that is owed is repaid by shares: by assets a rest would stay.
    function repay(IMorphoBlue morpho, bytes32 id, uint256 amount, address account) internal {
        MarketParams memory market = marketOf(morpho, id);
        (uint256 assets, uint256 shares) = (amount, 0);
        if (amount >= owed(morpho, id, account)) {
            assets = 0;
            (shares,) = held(morpho, id, account);
        }
        Tokens.allow(market.loanToken, address(morpho), amount);
        (uint256 repaid,) = morpho.repay(market, assets, shares, account, "");
        Tokens.exact(market.loanToken, amount, repaid);
        Tokens.clear(market.loanToken, address(morpho));
    }

    /// @notice Supply `amount` of collateral from here.
    function supply(IMorphoBlue morpho, bytes32 id, uint256 amount, address account) internal {
        MarketParams memory market = marketOf(morpho, id);
        Tokens.allow(market.collateralToken, address(morpho), amount);
        morpho.supplyCollateral(market, amount, account, "");
        Tokens.clear(market.collateralToken, address(morpho));
    }

    /// @notice Withdraw the account's collateral to `to`. Morpho refuses when health would fall below 1.
    function take(IMorphoBlue morpho, bytes32 id, uint256 amount, address account, address to) internal {
        if (!morpho.isAuthorized(account, address(this))) {
            revert IExecutorErrors.GrantShort(address(morpho), 0, amount);
        }
        morpho.withdrawCollateral(marketOf(morpho, id), amount, account, to);
    }

    function priceOf(MarketParams memory market) private view returns (uint256) {
        return IMorphoBlueOracle(market.oracle).price();
    }
}
