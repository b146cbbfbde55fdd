// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

interface IFeedOfComet {
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80);
}

interface ITokenOfComet {
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// @title A double of a Compound v3 market at the level of its interface, for local test chains only.
/// @notice Own code, written from the public formulas: accounting of base and collateral, pausing, caps, absorption
/// and the trap that the real market has: its views of solvency use the stored indices, while every action accrues
/// first. No rewards, no sale of absorbed collateral. Anyone may set it: it must never hold anything of value.
contract CometDouble {
    error Absent();
    error BadNonce();
    error BadPrice();
    error BadSignatory();
    error NotCollateralized();
    error NotLiquidatable();
    error Paused();
    error SignatureExpired();
    error SupplyCapExceeded();
    error Unauthorized();

    event AbsorbDebt(address indexed absorber, address indexed borrower, uint256 basePaidOut, uint256 usdValue);
    event Approval(address indexed owner, address indexed spender, uint256 amount);
    event Supply(address indexed from, address indexed dst, uint256 amount);
    event SupplyCollateral(address indexed from, address indexed dst, address indexed asset, uint256 amount);

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

    struct TotalsBasic {
        uint64 baseSupplyIndex;
        uint64 baseBorrowIndex;
        uint64 trackingSupplyIndex;
        uint64 trackingBorrowIndex;
        uint104 totalSupplyBase;
        uint104 totalBorrowBase;
        uint40 lastAccrualTime;
        uint8 pauseFlags;
    }

    struct UserBasic {
        int104 principal;
        uint64 baseTrackingIndex;
        uint64 baseTrackingAccrued;
        uint16 assetsIn;
        uint8 _reserved;
    }

    uint256 private constant FACTOR = 1e18;
    uint256 private constant INDEX = 1e15;

    address public immutable baseToken;
    address public immutable baseTokenPriceFeed;
    uint256 public immutable baseScale;

    TotalsBasic private _totals;
    AssetInfo[] private _assets;
    /// @dev base, slope low, slope high, kink; lenders first.
    uint256[8] private _curves;

    mapping(address account => UserBasic) public userBasic;
    mapping(address account => mapping(address asset => uint256)) private _collateral;
    mapping(address asset => uint256) private _supplied;
    mapping(address owner => mapping(address manager => bool)) public isAllowed;
    mapping(address owner => uint256) public userNonce;

    string public constant name = "Compound USDC";
    string public constant version = "0";

    constructor(
        address baseToken_,
        address baseFeed_,
        uint256 baseScale_,
        uint256[8] memory curves,
        AssetInfo[] memory assets
    ) {
        baseToken = baseToken_;
        baseTokenPriceFeed = baseFeed_;
        baseScale = baseScale_;
        _curves = curves;
        for (uint256 i = 0; i < assets.length; i++) {
            _assets.push(assets[i]);
            _assets[i].offset = uint8(i);
        }
        _totals.baseSupplyIndex = uint64(INDEX);
        _totals.baseBorrowIndex = uint64(INDEX);
        _totals.lastAccrualTime = uint40(block.timestamp);
    }

    // ---- what a test may turn

    function setFactors(uint256 i, uint64 borrowFactor, uint64 liquidateFactor, uint64 liquidationFactor) external {
        _assets[i].borrowCollateralFactor = borrowFactor;
        _assets[i].liquidateCollateralFactor = liquidateFactor;
        _assets[i].liquidationFactor = liquidationFactor;
    }

    function setCap(uint256 i, uint128 cap) external {
        _assets[i].supplyCap = cap;
    }

    function setFeed(uint256 i, address feed) external {
        _assets[i].priceFeed = feed;
    }

    function setPauseFlags(uint8 flags) external {
        _totals.pauseFlags = flags;
    }

    function setCurves(uint256[8] calldata curves) external {
        _accrue();
        _curves = curves;
    }

    // ---- views

    function numAssets() external view returns (uint8) {
        return uint8(_assets.length);
    }

    function getAssetInfo(uint8 i) external view returns (AssetInfo memory) {
        return _assets[i];
    }

    function getAssetInfoByAddress(address asset) external view returns (AssetInfo memory) {
        return _assets[_indexOf(asset)];
    }

    function totalsBasic() external view returns (TotalsBasic memory) {
        return _totals;
    }

    function totalsCollateral(address asset) external view returns (uint128, uint128) {
        return (uint128(_supplied[asset]), 0);
    }

    function userCollateral(address account, address asset) external view returns (uint128, uint128) {
        return (uint128(_collateral[account][asset]), 0);
    }

    function supplyPerSecondInterestRateBase() external view returns (uint256) { return _curves[0]; }
    function supplyPerSecondInterestRateSlopeLow() external view returns (uint256) { return _curves[1]; }
    function supplyPerSecondInterestRateSlopeHigh() external view returns (uint256) { return _curves[2]; }
    function supplyKink() external view returns (uint256) { return _curves[3]; }
    function borrowPerSecondInterestRateBase() external view returns (uint256) { return _curves[4]; }
    function borrowPerSecondInterestRateSlopeLow() external view returns (uint256) { return _curves[5]; }
    function borrowPerSecondInterestRateSlopeHigh() external view returns (uint256) { return _curves[6]; }
    function borrowKink() external view returns (uint256) { return _curves[7]; }

    function getUtilization() public view returns (uint256) {
        uint256 supplied = uint256(_totals.totalSupplyBase) * _totals.baseSupplyIndex / INDEX;
        if (supplied == 0) return 0;
        return uint256(_totals.totalBorrowBase) * _totals.baseBorrowIndex / INDEX * FACTOR / supplied;
    }

    function getSupplyRate(uint256 used) public view returns (uint64) {
        return _rate(0, used);
    }

    function getBorrowRate(uint256 used) public view returns (uint64) {
        return _rate(4, used);
    }

    function getPrice(address feed) public view returns (uint256) {
        (, int256 price, , , ) = IFeedOfComet(feed).latestRoundData();
        if (price <= 0) revert BadPrice();
        return uint256(price);
    }

    function balanceOf(address account) external view returns (uint256) {
        (uint256 supplyIndex, ) = _accrued();
        int256 principal = userBasic[account].principal;
        return principal > 0 ? uint256(principal) * supplyIndex / INDEX : 0;
    }

    function borrowBalanceOf(address account) public view returns (uint256) {
        (, uint256 borrowIndex) = _accrued();
        int256 principal = userBasic[account].principal;
        return principal < 0 ? uint256(-principal) * borrowIndex / INDEX : 0;
    }

    /// @notice By the borrow factors and the stored indices.
    function isBorrowCollateralized(address account) public view returns (bool) {
        return userBasic[account].principal >= 0 || _liquidity(account, false) >= 0;
    }

    /// @notice By the liquidate factors and the stored indices.
    function isLiquidatable(address account) public view returns (bool) {
        return userBasic[account].principal < 0 && _liquidity(account, true) < 0;
    }

    // ---- actions

    function allow(address manager, bool allowed) external {
        _allow(msg.sender, manager, allowed);
    }

    function allowBySig(
        address owner,
        address manager,
        bool allowed,
        uint256 nonce,
        uint256 expiry,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256(bytes(version)),
                block.chainid,
                address(this)
            )
        );
        bytes32 body = keccak256(
            abi.encode(
                keccak256("Authorization(address owner,address manager,bool isAllowed,uint256 nonce,uint256 expiry)"),
                owner,
                manager,
                allowed,
                nonce,
                expiry
            )
        );
        address signatory = ecrecover(keccak256(abi.encodePacked(hex"1901", domain, body)), v, r, s);
        if (signatory == address(0) || signatory != owner) revert BadSignatory();
        if (nonce != userNonce[signatory]++) revert BadNonce();
        if (block.timestamp >= expiry) revert SignatureExpired();
        _allow(signatory, manager, allowed);
    }

    function supply(address asset, uint256 amount) external {
        supplyTo(msg.sender, asset, amount);
    }

    function supplyTo(address dst, address asset, uint256 amount) public {
        if (_totals.pauseFlags & 1 != 0) revert Paused();
        if (asset == baseToken) {
            _accrue();
            if (amount == type(uint256).max) amount = borrowBalanceOf(dst);
            ITokenOfComet(asset).transferFrom(msg.sender, address(this), amount);
            _setBase(dst, _present(userBasic[dst].principal) + int256(amount));
            emit Supply(msg.sender, dst, amount);
            return;
        }
        uint256 i = _indexOf(asset);
        ITokenOfComet(asset).transferFrom(msg.sender, address(this), amount);
        _supplied[asset] += amount;
        if (_supplied[asset] > _assets[i].supplyCap) revert SupplyCapExceeded();
        _setCollateral(dst, i, _collateral[dst][asset] + amount);
        emit SupplyCollateral(msg.sender, dst, asset, amount);
    }

    function withdraw(address asset, uint256 amount) external {
        withdrawFrom(msg.sender, msg.sender, asset, amount);
    }

    function withdrawFrom(address src, address to, address asset, uint256 amount) public {
        if (_totals.pauseFlags & 4 != 0) revert Paused();
        if (src != msg.sender && !isAllowed[src][msg.sender]) revert Unauthorized();
        _accrue();
        if (asset == baseToken) {
            _setBase(src, _present(userBasic[src].principal) - int256(amount));
        } else {
            _supplied[asset] -= amount;
            _setCollateral(src, _indexOf(asset), _collateral[src][asset] - amount);
        }
        if (!isBorrowCollateralized(src)) revert NotCollateralized();
        ITokenOfComet(asset).transfer(to, amount);
    }

    function absorb(address absorber, address[] calldata accounts) external {
        if (_totals.pauseFlags & 8 != 0) revert Paused();
        _accrue();
        for (uint256 n = 0; n < accounts.length; n++) _absorb(absorber, accounts[n]);
    }

    function accrueAccount(address) external {
        _accrue();
    }

    // ---- inside

    function _allow(address owner, address manager, bool allowed) private {
        isAllowed[owner][manager] = allowed;
        emit Approval(owner, manager, allowed ? type(uint256).max : 0);
    }

    function _absorb(address absorber, address account) private {
        if (!isLiquidatable(account)) revert NotLiquidatable();
        uint256 credit = 0;
        for (uint256 i = 0; i < _assets.length; i++) {
            AssetInfo storage a = _assets[i];
            uint256 seized = _collateral[account][a.asset];
            if (seized == 0) continue;
            _supplied[a.asset] -= seized;
            _setCollateral(account, i, 0);
            credit += seized * getPrice(a.priceFeed) / a.scale * a.liquidationFactor / FACTOR;
        }
        uint256 basePrice = getPrice(baseTokenPriceFeed);
        int256 owed = _present(userBasic[account].principal);
        int256 left = owed + int256(credit * baseScale / basePrice);
        if (left < 0) left = 0;
        _setBase(account, left);
        uint256 paid = uint256(left - owed);
        emit AbsorbDebt(absorber, account, paid, paid * basePrice / baseScale);
    }

    function _setBase(address account, int256 balance) private {
        int256 old = userBasic[account].principal;
        int256 next = balance >= 0
            ? int256(uint256(balance) * INDEX / _totals.baseSupplyIndex)
            : -int256((uint256(-balance) * INDEX + _totals.baseBorrowIndex - 1) / _totals.baseBorrowIndex);
        userBasic[account].principal = int104(next);
        _totals.totalSupplyBase = uint104(_totals.totalSupplyBase - _plus(old) + _plus(next));
        _totals.totalBorrowBase = uint104(_totals.totalBorrowBase - _plus(-old) + _plus(-next));
    }

    function _setCollateral(address account, uint256 i, uint256 balance) private {
        _collateral[account][_assets[i].asset] = balance;
        UserBasic storage user = userBasic[account];
        uint256 inside = uint256(user.assetsIn) | uint256(user._reserved) << 16;
        inside = balance == 0 ? inside & ~(uint256(1) << i) : inside | (uint256(1) << i);
        user.assetsIn = uint16(inside);
        user._reserved = uint8(inside >> 16);
    }

    function _plus(int256 value) private pure returns (uint256) {
        return value > 0 ? uint256(value) : 0;
    }

    function _present(int256 principal) private view returns (int256) {
        if (principal >= 0) return int256(uint256(principal) * _totals.baseSupplyIndex / INDEX);
        return -int256(uint256(-principal) * _totals.baseBorrowIndex / INDEX);
    }

    function _liquidity(address account, bool liquidation) private view returns (int256 left) {
        left = _present(userBasic[account].principal) * int256(getPrice(baseTokenPriceFeed)) / int256(baseScale);
        for (uint256 i = 0; i < _assets.length; i++) {
            AssetInfo storage a = _assets[i];
            uint256 balance = _collateral[account][a.asset];
            if (balance == 0) continue;
            uint256 worth = balance * getPrice(a.priceFeed) / a.scale;
            left += int256(worth * (liquidation ? a.liquidateCollateralFactor : a.borrowCollateralFactor) / FACTOR);
        }
    }

    function _accrue() private {
        (uint256 supplyIndex, uint256 borrowIndex) = _accrued();
        _totals.baseSupplyIndex = uint64(supplyIndex);
        _totals.baseBorrowIndex = uint64(borrowIndex);
        _totals.lastAccrualTime = uint40(block.timestamp);
    }

    function _accrued() private view returns (uint256 supplyIndex, uint256 borrowIndex) {
        supplyIndex = _totals.baseSupplyIndex;
        borrowIndex = _totals.baseBorrowIndex;
        uint256 age = block.timestamp - _totals.lastAccrualTime;
        if (age == 0) return (supplyIndex, borrowIndex);
        uint256 used = getUtilization();
        supplyIndex += supplyIndex * (uint256(getSupplyRate(used)) * age) / FACTOR;
        borrowIndex += borrowIndex * (uint256(getBorrowRate(used)) * age) / FACTOR;
    }

    function _rate(uint256 at, uint256 used) private view returns (uint64) {
        uint256 kink = _curves[at + 3];
        if (used <= kink) return uint64(_curves[at] + _curves[at + 1] * used / FACTOR);
        uint256 low = _curves[at] + _curves[at + 1] * kink / FACTOR;
        return uint64(low + _curves[at + 2] * (used - kink) / FACTOR);
    }

    function _indexOf(address asset) private view returns (uint256) {
        for (uint256 i = 0; i < _assets.length; i++) if (_assets[i].asset == asset) return i;
        revert Absent();
    }
}
