// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// A double of GMX v2's Reader for local test chains only: its ABI, and the formulas by which the venue judges a
// position, written from their public description in integers. No GMX source is in here.

import {
    GmxDataStoreDouble,
    Keys,
    Market,
    Position,
    PositionAddresses,
    Price,
    Prices
} from "./GmxDataDouble.sol";

struct LiquidationInfo {
    int256 remainingCollateralUsd;
    int256 minCollateralUsd;
    int256 minCollateralUsdForLeverage;
}

struct ReferralFees {
    bytes32 referralCode;
    address affiliate;
    address trader;
    uint256 totalRebateFactor;
    uint256 affiliateRewardFactor;
    uint256 adjustedAffiliateRewardFactor;
    uint256 traderDiscountFactor;
    uint256 totalRebateAmount;
    uint256 traderDiscountAmount;
    uint256 affiliateRewardAmount;
}

struct ProFees {
    uint256 traderTier;
    uint256 traderDiscountFactor;
    uint256 traderDiscountAmount;
}

struct FundingFees {
    uint256 fundingFeeAmount;
    uint256 claimableLongTokenAmount;
    uint256 claimableShortTokenAmount;
    uint256 latestFundingFeeAmountPerSize;
    uint256 latestLongTokenClaimableFundingAmountPerSize;
    uint256 latestShortTokenClaimableFundingAmountPerSize;
}

struct BorrowingFees {
    uint256 borrowingFeeUsd;
    uint256 borrowingFeeAmount;
    uint256 borrowingFeeReceiverFactor;
    uint256 borrowingFeeAmountForFeeReceiver;
}

struct UiFees {
    address uiFeeReceiver;
    uint256 uiFeeReceiverFactor;
    uint256 uiFeeAmount;
}

struct LiquidationFees {
    uint256 liquidationFeeUsd;
    uint256 liquidationFeeAmount;
    uint256 liquidationFeeReceiverFactor;
    uint256 liquidationFeeAmountForFeeReceiver;
}

struct Fees {
    ReferralFees referral;
    ProFees pro;
    FundingFees funding;
    BorrowingFees borrowing;
    UiFees ui;
    LiquidationFees liquidation;
    Price collateralTokenPrice;
    uint256 positionFeeFactor;
    uint256 protocolFeeAmount;
    uint256 positionFeeReceiverFactor;
    uint256 feeReceiverAmount;
    uint256 feeAmountForPool;
    uint256 positionFeeAmountForPool;
    uint256 positionFeeAmount;
    uint256 totalCostAmountExcludingFunding;
    uint256 totalCostAmount;
    uint256 totalDiscountAmount;
}

struct ExecutionPriceResult {
    int256 priceImpactUsd;
    uint256 executionPrice;
    bool balanceWasImproved;
    int256 proportionalPendingImpactUsd;
    int256 totalImpactUsd;
    uint256 priceImpactDiffUsd;
}

struct PositionInfo {
    bytes32 positionKey;
    Position position;
    Fees fees;
    ExecutionPriceResult executionPriceResult;
    int256 basePnlUsd;
    int256 uncappedBasePnlUsd;
    int256 pnlAfterPriceImpactUsd;
}

/// @notice Fixed-point arithmetic: factors of 30 decimals, products of any size.
library GmxMath {
    uint256 internal constant ONE = 1e30;

    /// @dev floor(a b / d), by the remainder of the product modulo 2**256 - 1 and Newton's inverse.
    function mulDiv(uint256 a, uint256 b, uint256 d) internal pure returns (uint256) {
        unchecked {
            uint256 low = a * b;
            uint256 high = mulmod(a, b, type(uint256).max);
            high = high - low - (high < low ? 1 : 0);
            if (high == 0) return low / d;
            require(high < d, "mulDiv overflow");
            uint256 rest = mulmod(a, b, d);
            if (rest > low) high -= 1;
            low -= rest;
            uint256 twos = d & (~d + 1);
            d /= twos;
            low /= twos;
            low |= high * ((~twos + 1) / twos + 1);
            uint256 inverse = (3 * d) ^ 2;
            for (uint256 i = 0; i < 6; i++) inverse *= 2 - d * inverse;
            return low * inverse;
        }
    }

    function mulDivUp(uint256 a, uint256 b, uint256 d) internal pure returns (uint256 result) {
        result = mulDiv(a, b, d);
        if (mulmod(a, b, d) > 0) result += 1;
    }

    function applied(uint256 value, uint256 factor) internal pure returns (uint256) {
        return mulDiv(value, factor, ONE);
    }

    /// @dev Whole exponents only; below one dollar it is nothing.
    function power(uint256 usd, uint256 exponent) internal pure returns (uint256 result) {
        if (usd < ONE) return 0;
        require(exponent % ONE == 0, "the double knows whole exponents");
        result = usd;
        for (uint256 i = 1; i < exponent / ONE; i++) result = mulDiv(result, usd, ONE);
    }

    function distance(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a - b : b - a;
    }
}

/// @notice What a market owes and is owed at these prices and this second.
library GmxMarketMath {
    using GmxMath for uint256;

    uint256 internal constant PER_SIZE = 1e15;

    function interest(
        GmxDataStoreDouble store,
        string memory what,
        Market memory m,
        bool long
    ) internal view returns (uint256) {
        return
            store.getUint(Keys.at(what, m.marketToken, m.longToken, long)) +
            store.getUint(Keys.at(what, m.marketToken, m.shortToken, long));
    }

    function inTokens(GmxDataStoreDouble store) internal view returns (bool) {
        return store.getBool(Keys.name("USE_OPEN_INTEREST_IN_TOKENS_FOR_BALANCE"));
    }

    function mid(Prices memory prices) internal pure returns (uint256) {
        return (prices.indexTokenPrice.min + prices.indexTokenPrice.max) / 2;
    }

    function balance(
        GmxDataStoreDouble store,
        Market memory m,
        Prices memory prices
    ) internal view returns (uint256 longs, uint256 shorts) {
        if (!inTokens(store)) {
            return (interest(store, "OPEN_INTEREST", m, true), interest(store, "OPEN_INTEREST", m, false));
        }
        longs = interest(store, "OPEN_INTEREST_IN_TOKENS", m, true) * mid(prices);
        shorts = interest(store, "OPEN_INTEREST_IN_TOKENS", m, false) * mid(prices);
    }

    function poolUsd(
        GmxDataStoreDouble store,
        Market memory m,
        Prices memory prices,
        bool long
    ) internal view returns (uint256) {
        if (long) return store.getUint(Keys.at("POOL_AMOUNT", m.marketToken, m.longToken)) * prices.longTokenPrice.min;
        return store.getUint(Keys.at("POOL_AMOUNT", m.marketToken, m.shortToken)) * prices.shortTokenPrice.min;
    }

    function borrowingPerSecond(
        GmxDataStoreDouble store,
        Market memory m,
        Prices memory prices,
        bool long
    ) internal view returns (uint256 rate) {
        uint256 reserved = long
            ? interest(store, "OPEN_INTEREST_IN_TOKENS", m, true) * prices.indexTokenPrice.max
            : interest(store, "OPEN_INTEREST", m, false);
        if (reserved == 0) return 0;
        if (store.getBool(Keys.name("SKIP_BORROWING_FEE_FOR_SMALLER_SIDE"))) {
            (uint256 longs, uint256 shorts) = balance(store, m, prices);
            if (long ? longs < shorts : shorts < longs) return 0;
        }
        address t = m.marketToken;
        uint256 pool = poolUsd(store, m, prices, long);
        uint256 optimal = store.getUint(Keys.at("OPTIMAL_USAGE_FACTOR", t, long));
        if (optimal == 0) {
            uint256 raised = reserved.power(store.getUint(Keys.at("BORROWING_EXPONENT_FACTOR", t, long)));
            return raised.mulDiv(GmxMath.ONE, pool).applied(store.getUint(Keys.at("BORROWING_FACTOR", t, long)));
        }
        uint256 most = pool.applied(store.getUint(Keys.at("OPEN_INTEREST_RESERVE_FACTOR", t, long)));
        uint256 usage = reserved.mulDiv(GmxMath.ONE, most);
        uint256 base = store.getUint(Keys.at("BASE_BORROWING_FACTOR", t, long));
        rate = usage.applied(base);
        if (usage > optimal && optimal < GmxMath.ONE) {
            uint256 above = store.getUint(Keys.at("ABOVE_OPTIMAL_USAGE_BORROWING_FACTOR", t, long));
            if (above > base) rate += (above - base).mulDiv(usage - optimal, GmxMath.ONE - optimal);
        }
    }

    /// @return rate per second, whether longs pay, and the rate that is remembered
    function fundingPerSecond(
        GmxDataStoreDouble store,
        Market memory m,
        Prices memory prices,
        uint256 elapsed
    ) internal view returns (uint256, bool, int256) {
        (uint256 longs, uint256 shorts) = balance(store, m, prices);
        return _fundingRate(store, m.marketToken, [uint256(0), longs, shorts, elapsed]);
    }

    function _fundingRate(
        GmxDataStoreDouble store,
        address t,
        uint256[4] memory now_
    ) private view returns (uint256 rate, bool longsPay, int256 saved) {
        uint256 increase = store.getUint(Keys.at("FUNDING_INCREASE_FACTOR_PER_SECOND", t));
        uint256 gap = now_[1].distance(now_[2]);
        if (now_[1] + now_[2] == 0 || (gap == 0 && increase == 0)) return (0, true, 0);
        gap = gap.power(store.getUint(Keys.at("FUNDING_EXPONENT_FACTOR", t)));
        now_[0] = gap.mulDiv(GmxMath.ONE, now_[1] + now_[2]);
        uint256 most = store.getUint(Keys.at("MAX_FUNDING_FACTOR_PER_SECOND", t));
        if (increase == 0) {
            rate = now_[0].applied(store.getUint(Keys.at("FUNDING_FACTOR", t)));
            return (rate > most ? most : rate, now_[1] > now_[2], 0);
        }
        saved = _adapted(store, t, now_);
        if (saved > int256(most)) saved = int256(most);
        if (saved < -int256(most)) saved = -int256(most);
        rate = uint256(saved < 0 ? -saved : saved);
        uint256 least = store.getUint(Keys.at("MIN_FUNDING_FACTOR_PER_SECOND", t));
        if (rate < least) rate = least;
        longsPay = saved >= 0;
    }

    /// @param now_ share of imbalance, longs, shorts, seconds
    function _adapted(
        GmxDataStoreDouble store,
        address t,
        uint256[4] memory now_
    ) private view returns (int256 moved) {
        int256 saved = store.getInt(Keys.at("SAVED_FUNDING_FACTOR_PER_SECOND", t));
        moved = saved;
        bool same = (saved > 0 && now_[1] > now_[2]) || (saved < 0 && now_[2] > now_[1]);
        if (!same || now_[0] > store.getUint(Keys.at("THRESHOLD_FOR_STABLE_FUNDING", t))) {
            uint256 step = now_[0].applied(store.getUint(Keys.at("FUNDING_INCREASE_FACTOR_PER_SECOND", t)));
            return now_[1] < now_[2] ? saved - int256(step * now_[3]) : saved + int256(step * now_[3]);
        }
        if (now_[0] >= store.getUint(Keys.at("THRESHOLD_FOR_DECREASE_FUNDING", t)) || saved == 0) return moved;
        int256 fallen = int256(store.getUint(Keys.at("FUNDING_DECREASE_FACTOR_PER_SECOND", t)) * now_[3]);
        if (saved > 0) return saved <= fallen ? int256(1) : saved - fallen;
        return -saved <= fallen ? -int256(1) : saved + fallen;
    }

    /// @return delta of the fee per size that one side with one collateral owes since the last update
    function fundingDelta(
        GmxDataStoreDouble store,
        Market memory m,
        Prices memory prices,
        bool long,
        bool longToken
    ) internal view returns (uint256 delta) {
        uint256 elapsed = since(store, Keys.at("FUNDING_UPDATED_AT", m.marketToken));
        if (interest(store, "OPEN_INTEREST", m, true) == 0 || interest(store, "OPEN_INTEREST", m, false) == 0) return 0;
        (uint256 rate, bool longsPay, ) = fundingPerSecond(store, m, prices, elapsed);
        if (longsPay != long) return 0;
        uint256 all = interest(store, "OPEN_INTEREST", m, long);
        address token = longToken ? m.longToken : m.shortToken;
        uint256 mine = store.getUint(Keys.at("OPEN_INTEREST", m.marketToken, token, long));
        uint256 part = all.applied(elapsed * rate).mulDiv(mine, all);
        if (part == 0 || mine == 0) return 0;
        uint256 price = longToken ? prices.longTokenPrice.max : prices.shortTokenPrice.max;
        return (part.mulDivUp(GmxMath.ONE * PER_SIZE, mine) + price - 1) / price;
    }

    function since(GmxDataStoreDouble store, bytes32 key) internal view returns (uint256) {
        uint256 at = store.getUint(key);
        return at == 0 ? 0 : block.timestamp - at;
    }
}

/// @title Views over positions, markets and orders.
contract GmxReaderDouble {
    using GmxMath for uint256;

    function getMarket(GmxDataStoreDouble store, address key) public view returns (Market memory) {
        bytes32 k = bytes32(uint256(uint160(key)));
        return
            Market(
                store.getAddress(Keys.field(k, "MARKET_TOKEN")),
                store.getAddress(Keys.field(k, "INDEX_TOKEN")),
                store.getAddress(Keys.field(k, "LONG_TOKEN")),
                store.getAddress(Keys.field(k, "SHORT_TOKEN"))
            );
    }

    function getMarkets(
        GmxDataStoreDouble store,
        uint256 start,
        uint256 end
    ) external view returns (Market[] memory found) {
        address[] memory keys = store.getAddressValuesAt(Keys.name("MARKET_LIST"), start, end);
        found = new Market[](keys.length);
        for (uint256 i = 0; i < keys.length; i++) found[i] = getMarket(store, keys[i]);
    }

    function getPosition(GmxDataStoreDouble store, bytes32 key) public view returns (Position memory p) {
        if (!store.containsBytes32(Keys.name("POSITION_LIST"), key)) return p;
        p.addresses = PositionAddresses(
            store.getAddress(Keys.field(key, "ACCOUNT")),
            store.getAddress(Keys.field(key, "MARKET")),
            store.getAddress(Keys.field(key, "COLLATERAL_TOKEN"))
        );
        p.numbers.sizeInUsd = store.getUint(Keys.field(key, "SIZE_IN_USD"));
        p.numbers.sizeInTokens = store.getUint(Keys.field(key, "SIZE_IN_TOKENS"));
        p.numbers.collateralAmount = store.getUint(Keys.field(key, "COLLATERAL_AMOUNT"));
        p.numbers.pendingImpactAmount = store.getInt(Keys.field(key, "PENDING_IMPACT_AMOUNT"));
        p.numbers.borrowingFactor = store.getUint(Keys.field(key, "BORROWING_FACTOR"));
        p.numbers.fundingFeeAmountPerSize = store.getUint(Keys.field(key, "FUNDING_FEE_AMOUNT_PER_SIZE"));
        p.numbers.increasedAtTime = store.getUint(Keys.field(key, "INCREASED_AT_TIME"));
        p.numbers.decreasedAtTime = store.getUint(Keys.field(key, "DECREASED_AT_TIME"));
        p.flags.isLong = store.getBool(Keys.field(key, "IS_LONG"));
    }

    function getAccountPositions(
        GmxDataStoreDouble store,
        address account,
        uint256 start,
        uint256 end
    ) public view returns (Position[] memory found) {
        bytes32[] memory keys = store.getBytes32ValuesAt(Keys.at("ACCOUNT_POSITION_LIST", account), start, end);
        found = new Position[](keys.length);
        for (uint256 i = 0; i < keys.length; i++) found[i] = getPosition(store, keys[i]);
    }

    function isPositionLiquidatable(
        GmxDataStoreDouble store,
        address,
        bytes32 key,
        Market memory market,
        Prices memory prices,
        bool shouldValidateMinCollateralUsd,
        bool forLiquidation
    ) external view returns (bool, string memory, LiquidationInfo memory) {
        Position memory p = getPosition(store, key);
        return judge(store, p, market, prices, [shouldValidateMinCollateralUsd, forLiquidation]);
    }

    /// @dev By borrowing and funding as stored, as the venue's own view does.
    function judge(
        GmxDataStoreDouble store,
        Position memory p,
        Market memory m,
        Prices memory prices,
        bool[2] memory how
    ) public view returns (bool, string memory, LiquidationInfo memory info) {
        info.remainingCollateralUsd = _remaining(store, p, m, prices);
        string memory factor = how[1] ? "MIN_COLLATERAL_FACTOR_FOR_LIQUIDATION" : "MIN_COLLATERAL_FACTOR";
        info.minCollateralUsdForLeverage = int256(
            p.numbers.sizeInUsd.applied(store.getUint(Keys.at(factor, m.marketToken)))
        );
        if (how[0]) {
            info.minCollateralUsd = int256(store.getUint(Keys.name("MIN_COLLATERAL_USD")));
            if (info.remainingCollateralUsd < info.minCollateralUsd) return (true, "min collateral", info);
        }
        if (info.remainingCollateralUsd <= 0) return (true, "< 0", info);
        if (info.remainingCollateralUsd < info.minCollateralUsdForLeverage) {
            return (true, "min collateral for leverage", info);
        }
        return (false, "", info);
    }

    function _remaining(
        GmxDataStoreDouble store,
        Position memory p,
        Market memory m,
        Prices memory prices
    ) private view returns (int256) {
        uint256 price = collateralPrice(p, m, prices).min;
        (int256 left, bool improved) = impactWhenJudged(store, p, m, prices);
        uint256 costs = positionFee(store, p, improved, p.numbers.sizeInUsd) / price;
        costs += borrowed(store, p, m, prices, false) / price;
        costs += funded(store, p, m, prices, false);
        (int256 won, ) = pnl(store, p, m, prices);
        left += won + int256(p.numbers.collateralAmount * price);
        return left - int256(costs * price);
    }

    function getPositionInfo(
        GmxDataStoreDouble store,
        address,
        bytes32 key,
        Prices memory prices,
        uint256 sizeDeltaUsd,
        address,
        bool usePositionSizeAsSizeDeltaUsd
    ) public view returns (PositionInfo memory) {
        return _info(store, key, prices, usePositionSizeAsSizeDeltaUsd ? type(uint256).max : sizeDeltaUsd);
    }

    function _info(
        GmxDataStoreDouble store,
        bytes32 key,
        Prices memory prices,
        uint256 sizeDeltaUsd
    ) private view returns (PositionInfo memory info) {
        info.positionKey = key;
        info.position = getPosition(store, key);
        Position memory p = info.position;
        Market memory m = getMarket(store, p.addresses.market);
        if (sizeDeltaUsd > p.numbers.sizeInUsd) sizeDeltaUsd = p.numbers.sizeInUsd;
        _fillFees(store, info, m, prices, sizeDeltaUsd);
        (info.basePnlUsd, info.uncappedBasePnlUsd) = pnl(store, p, m, prices);
        (int256 impact, bool improved) = impactOfClosing(store, p, m, prices);
        info.executionPriceResult.priceImpactUsd = impact;
        info.executionPriceResult.balanceWasImproved = improved;
        info.executionPriceResult.totalImpactUsd = impact;
        info.pnlAfterPriceImpactUsd = info.basePnlUsd + impact;
    }

    function getAccountPositionInfoList(
        GmxDataStoreDouble store,
        address,
        address account,
        address[] memory markets,
        Prices[] memory marketPrices,
        address,
        uint256 start,
        uint256 end
    ) external view returns (PositionInfo[] memory) {
        bytes32[] memory keys = store.getBytes32ValuesAt(Keys.at("ACCOUNT_POSITION_LIST", account), start, end);
        return _infos(store, keys, markets, marketPrices);
    }

    function _infos(
        GmxDataStoreDouble store,
        bytes32[] memory keys,
        address[] memory markets,
        Prices[] memory marketPrices
    ) private view returns (PositionInfo[] memory found) {
        found = new PositionInfo[](keys.length);
        for (uint256 i = 0; i < keys.length; i++) {
            address market = store.getAddress(Keys.field(keys[i], "MARKET"));
            for (uint256 j = 0; j < markets.length; j++) {
                if (markets[j] == market) found[i] = _info(store, keys[i], marketPrices[j], type(uint256).max);
            }
        }
    }

    function _fillFees(
        GmxDataStoreDouble store,
        PositionInfo memory info,
        Market memory m,
        Prices memory prices,
        uint256 sizeDeltaUsd
    ) private view {
        Position memory p = info.position;
        (, bool improved) = impactOfClosing(store, p, m, prices);
        Fees memory fees = info.fees;
        fees.collateralTokenPrice = collateralPrice(p, m, prices);
        uint256 price = fees.collateralTokenPrice.min;
        fees.positionFeeFactor = store.getUint(Keys.at("POSITION_FEE_FACTOR", m.marketToken, improved));
        fees.positionFeeAmount = positionFee(store, p, improved, sizeDeltaUsd) / price;
        fees.borrowing.borrowingFeeUsd = borrowed(store, p, m, prices, true);
        fees.borrowing.borrowingFeeAmount = fees.borrowing.borrowingFeeUsd / price;
        fees.funding.fundingFeeAmount = funded(store, p, m, prices, true);
        fees.totalCostAmountExcludingFunding = fees.positionFeeAmount + fees.borrowing.borrowingFeeAmount;
        fees.totalCostAmount = fees.totalCostAmountExcludingFunding + fees.funding.fundingFeeAmount;
    }

    function collateralPrice(
        Position memory p,
        Market memory m,
        Prices memory prices
    ) public pure returns (Price memory) {
        return p.addresses.collateralToken == m.longToken ? prices.longTokenPrice : prices.shortTokenPrice;
    }

    function positionFee(
        GmxDataStoreDouble store,
        Position memory p,
        bool improved,
        uint256 sizeDeltaUsd
    ) public view returns (uint256) {
        return sizeDeltaUsd.applied(store.getUint(Keys.at("POSITION_FEE_FACTOR", p.addresses.market, improved)));
    }

    /// @dev In dollars.
    function borrowed(
        GmxDataStoreDouble store,
        Position memory p,
        Market memory m,
        Prices memory prices,
        bool pending
    ) public view returns (uint256) {
        bool long = p.flags.isLong;
        uint256 factor = store.getUint(Keys.at("CUMULATIVE_BORROWING_FACTOR", m.marketToken, long));
        if (pending) {
            bytes32 at = Keys.at("CUMULATIVE_BORROWING_FACTOR_UPDATED_AT", m.marketToken, long);
            factor +=
                GmxMarketMath.borrowingPerSecond(store, m, prices, long) *
                GmxMarketMath.since(store, at);
        }
        return p.numbers.sizeInUsd.applied(factor - p.numbers.borrowingFactor);
    }

    /// @dev In collateral tokens, rounded up.
    function funded(
        GmxDataStoreDouble store,
        Position memory p,
        Market memory m,
        Prices memory prices,
        bool pending
    ) public view returns (uint256) {
        bool long = p.flags.isLong;
        address token = p.addresses.collateralToken;
        uint256 perSize = store.getUint(Keys.at("FUNDING_FEE_AMOUNT_PER_SIZE", m.marketToken, token, long));
        if (pending) perSize += GmxMarketMath.fundingDelta(store, m, prices, long, token == m.longToken);
        return
            p.numbers.sizeInUsd.mulDivUp(
                perSize - p.numbers.fundingFeeAmountPerSize,
                GmxMath.ONE * GmxMarketMath.PER_SIZE
            );
    }

    /// @return won after the cap of the side's profit, and before it
    function pnl(
        GmxDataStoreDouble store,
        Position memory p,
        Market memory m,
        Prices memory prices
    ) public view returns (int256 won, int256 uncapped) {
        bool long = p.flags.isLong;
        uint256 worth = p.numbers.sizeInTokens * (long ? prices.indexTokenPrice.min : prices.indexTokenPrice.max);
        uncapped = int256(worth) - int256(p.numbers.sizeInUsd);
        if (!long) uncapped = -uncapped;
        won = uncapped;
        if (uncapped <= 0) return (won, uncapped);
        (uint256 all, uint256 cap) = _sideProfit(store, m, prices, long);
        if (all > cap && cap > 0) won = int256(uint256(uncapped).mulDiv(cap, all));
    }

    /// @return all that a side has won (0 where it lost), and the most that the pool pays
    function _sideProfit(
        GmxDataStoreDouble store,
        Market memory m,
        Prices memory prices,
        bool long
    ) private view returns (uint256 all, uint256 cap) {
        uint256 usd = GmxMarketMath.interest(store, "OPEN_INTEREST", m, long);
        uint256 worth = GmxMarketMath.interest(store, "OPEN_INTEREST_IN_TOKENS", m, long);
        worth *= long ? prices.indexTokenPrice.max : prices.indexTokenPrice.min;
        if (usd == 0 || worth == 0) return (0, 0);
        if (long) all = worth > usd ? worth - usd : 0;
        else all = usd > worth ? usd - worth : 0;
        cap = GmxMarketMath.poolUsd(store, m, prices, long).applied(store.getUint(Keys.pnl(m.marketToken, long)));
    }

    /// @dev As a liquidation counts it: with what is pending, never a gain, and not below its floor.
    function impactWhenJudged(
        GmxDataStoreDouble store,
        Position memory p,
        Market memory m,
        Prices memory prices
    ) public view returns (int256 impact, bool improved) {
        (impact, improved) = impactOfClosing(store, p, m, prices);
        if (impact > 0) {
            uint256 gain = store.getUint(Keys.at("MAX_POSITION_IMPACT_FACTOR", m.marketToken, true));
            uint256 loss = store.getUint(Keys.at("MAX_POSITION_IMPACT_FACTOR", m.marketToken, false));
            int256 most = int256(p.numbers.sizeInUsd.applied(gain < loss ? gain : loss));
            if (impact > most) impact = most;
        }
        int256 pending = p.numbers.pendingImpactAmount;
        impact += pending * int256(pending > 0 ? prices.indexTokenPrice.min : prices.indexTokenPrice.max);
        if (impact >= 0) return (0, improved);
        bytes32 key = Keys.at("MAX_POSITION_IMPACT_FACTOR_FOR_LIQUIDATIONS", m.marketToken);
        int256 floor = -int256(p.numbers.sizeInUsd.applied(store.getUint(key)));
        if (impact < floor) impact = floor;
    }

    function impactOfClosing(
        GmxDataStoreDouble store,
        Position memory p,
        Market memory m,
        Prices memory prices
    ) public view returns (int256 impact, bool improved) {
        (uint256 longs, uint256 shorts) = GmxMarketMath.balance(store, m, prices);
        uint256 moved = GmxMarketMath.inTokens(store)
            ? p.numbers.sizeInTokens * GmxMarketMath.mid(prices)
            : p.numbers.sizeInUsd;
        uint256[4] memory sides = [longs, shorts, longs, shorts];
        uint256 own = p.flags.isLong ? 2 : 3;
        sides[own] = sides[own] > moved ? sides[own] - moved : 0;
        return _impact(store, m.marketToken, sides);
    }

    /// @param sides longs and shorts before, longs and shorts after
    function _impact(
        GmxDataStoreDouble store,
        address t,
        uint256[4] memory sides
    ) private view returns (int256, bool improved) {
        uint256 before = sides[0].distance(sides[1]);
        uint256 later = sides[2].distance(sides[3]);
        improved = later < before;
        if ((sides[0] <= sides[1]) == (sides[2] <= sides[3])) {
            uint256 size = _curve(store, t, before, improved).distance(_curve(store, t, later, improved));
            return (improved ? int256(size) : -int256(size), improved);
        }
        return (int256(_curve(store, t, before, true)) - int256(_curve(store, t, later, false)), improved);
    }

    function _curve(
        GmxDataStoreDouble store,
        address t,
        uint256 gap,
        bool positive
    ) private view returns (uint256) {
        uint256 factor = store.getUint(Keys.at("POSITION_IMPACT_FACTOR", t, positive));
        uint256 other = store.getUint(Keys.at("POSITION_IMPACT_FACTOR", t, false));
        if (factor > other) factor = other;
        uint256 exponent = store.getUint(Keys.at("POSITION_IMPACT_EXPONENT_FACTOR", t, positive));
        return gap.power(exponent).applied(factor);
    }
}
