// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Asset, Bot, IExecutor, Position, Side, Spent, Venues} from "../interfaces/IExecutor.sol";
import {IVenuesOf} from "../interfaces/IVenuesOf.sol";
import {Policies} from "../libraries/Policies.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Lending} from "./Lending.sol";

/// @title Who may do what: the owner's words, and nobody else's.
/// @dev What lets a bot lose more is announced a day before, except in the hour after deployment, when nothing is
/// granted yet. What lets it lose less works at once.
abstract contract Settings is IExecutor, Lending, ReentrancyGuardTransient {
    uint256 internal constant BPS = 10_000;
    uint256 internal constant BOTS_MAX = 3;
    uint256 internal constant SETUP_S = 1 hours;
    uint256 internal constant DELAY_S = 24 hours;

    uint256 public immutable setupUntil;
    address private immutable OWNER;
    address internal immutable AAVE_V3_POOL;
    address internal immutable MORPHO_BLUE;
    address internal immutable UNISWAP_V3_FACTORY;
    bytes32 internal immutable UNISWAP_V3_POOL_HASH;
    address internal immutable BALANCER_VAULT;

    address public guardian;
    bool public paused;
    uint8 internal _botCount;
    mapping(address bot => Bot) internal _bots;
    mapping(bytes32 position => Position) internal _positions;
    mapping(bytes32 position => mapping(Side side => mapping(address token => Asset))) internal _assets;
    mapping(bytes32 asset => mapping(address bot => Spent)) internal _botSpent;
    mapping(address router => bool) public routerAllowed;
    /// @dev Contracts that hold or move money of the owner's: never a router.
    mapping(address target => bool) internal _sensitive;
    mapping(bytes32 change => uint256) public readyAt;

    modifier onlyOwner() {
        _onlyOwner();
        _;
    }

    /// @dev Asks its deployer, so that creation code and address are the same on every chain.
    constructor() {
        (address owner_, Venues memory venues_) = IVenuesOf(msg.sender).parameters();
        OWNER = owner_;
        setupUntil = block.timestamp + SETUP_S;
        AAVE_V3_POOL = venues_.aaveV3Pool;
        MORPHO_BLUE = venues_.morphoBlue;
        UNISWAP_V3_FACTORY = venues_.uniswapV3Factory;
        UNISWAP_V3_POOL_HASH = venues_.uniswapV3PoolHash;
        BALANCER_VAULT = venues_.balancerVault;
        _sensitive[address(this)] = true;
        _sensitive[owner_] = true;
        _sensitive[venues_.aaveV3Pool] = true;
        _sensitive[venues_.morphoBlue] = true;
        _sensitive[venues_.uniswapV3Factory] = true;
        _sensitive[venues_.balancerVault] = true;
    }

    // --- guardian ---------------------------------------------------------------------------------------------------------

    function pause() external {
        if (msg.sender != _owner() && msg.sender != guardian) revert NotGuardian(msg.sender);
        paused = true;
        emit Paused(msg.sender);
    }

    // --- owner ------------------------------------------------------------------------------------------------------------

    function unpause() external onlyOwner {
        paused = false;
        emit Unpaused();
    }

    function announce(bytes32 change) external onlyOwner {
        readyAt[change] = block.timestamp + DELAY_S;
        emit Announced(change, block.timestamp + DELAY_S);
    }

    function setGuardian(address guardian_) external onlyOwner {
        if (_bots[guardian_].shareBps != 0) revert BadGuardian(guardian_);
        guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    function setBot(address bot, uint16 shareBps, uint40 expiry) external onlyOwner {
        if (bot == address(0) || bot == _owner() || bot == guardian || shareBps > BPS) revert BadBot(bot);
        Bot memory old = _bots[bot];
        if (shareBps > old.shareBps || (shareBps != 0 && expiry > old.expiry)) _announced();
        uint256 count = _botCount + (shareBps == 0 ? 0 : 1) - (old.shareBps == 0 ? 0 : 1);
        if (count > BOTS_MAX) revert TooManyBots();
        _botCount = uint8(count);
        _bots[bot] = Bot(shareBps, expiry);
        emit BotSet(bot, shareBps, expiry);
    }

    function setRouter(address router, bool allowed) external onlyOwner {
        if (allowed) {
            if (router.code.length == 0 || _sensitive[router]) revert BadRouter(router);
            _announced();
        }
        routerAllowed[router] = allowed;
        emit RouterSet(router, allowed);
    }

    function setPosition(bytes32 position, Position memory terms) external onlyOwner {
        Policies.check(terms);
        address market = _market(position);
        if (market.code.length == 0) revert BadAsset(market);
        _guard(market);
        Position memory old = _positions[position];
        if (old.trigger == 0 || Policies.looser(terms, old)) _announced();
        terms.seq = old.seq;
        // the cooldown begins now
        terms.lastBlock = old.lastBlock == 0 ? uint40(block.number) : old.lastBlock;
        _positions[position] = terms;
        emit PositionSet(position, terms);
    }

    /// @dev The sequence stays: a plan made before must not come to life when the position is set again.
    function removePosition(bytes32 position) external onlyOwner {
        _positions[position].trigger = 0;
        emit PositionRemoved(position);
    }

    function setAsset(bytes32 position, address token, Side side, uint112 sellCap, uint112 fundCap)
        external
        onlyOwner
    {
        address receipt = _receiptOf(position, token, side);
        if (receipt == address(0) || (side == Side.DEBT && sellCap != 0)) revert BadAsset(token);
        _guard(token);
        _guard(receipt);
        Asset storage a = _assets[position][side][token];
        if (a.receipt != receipt || sellCap > a.sellCap || fundCap > a.fundCap) _announced();
        (a.receipt, a.unit, a.sellCap, a.fundCap) = (receipt, _unit(token), sellCap, fundCap);
        // an epoch long past: the first rescue need not pay for the slot
        if (a.spent.epoch == 0) a.spent.epoch = 1;
        emit AssetSet(position, token, side, sellCap, fundCap);
    }

    /// @dev What was spent stays on the books: listing it again in the same epoch does not open the cap anew.
    function removeAsset(bytes32 position, address token, Side side) external onlyOwner {
        delete _assets[position][side][token].receipt;
        emit AssetRemoved(position, token, side);
    }

    function rescue(address token, uint256 amount) external onlyOwner nonReentrant {
        emit Rescued(token, amount);
        Tokens.send(token, _owner(), amount);
    }

    // --- anyone -----------------------------------------------------------------------------------------------------------

    function owner() external view returns (address) {
        return _owner();
    }

    function venues() external view returns (Venues memory) {
        return Venues(AAVE_V3_POOL, MORPHO_BLUE, UNISWAP_V3_FACTORY, UNISWAP_V3_POOL_HASH, BALANCER_VAULT);
    }

    function positionOf(bytes32 position) external view returns (Position memory) {
        return _positions[position];
    }

    function assetOf(bytes32 position, address token, Side side) external view returns (Asset memory) {
        return _assets[position][side][token];
    }

    function botOf(address bot) external view returns (Bot memory) {
        return _bots[bot];
    }

    function botSpent(bytes32 position, address token, Side side, address bot) external view returns (Spent memory) {
        return _botSpent[_assetKey(position, token, side)][bot];
    }

    // --- inside -----------------------------------------------------------------------------------------------------------

    /// @dev One place reads the immutable: each reading of it is 33 bytes of code.
    function _owner() internal view returns (address) {
        return OWNER;
    }

    function _onlyOwner() private view {
        if (msg.sender != _owner()) revert NotOwner(msg.sender);
    }

    /// @dev From now on this contract can be no router.
    function _guard(address target) private {
        if (routerAllowed[target]) revert BadRouter(target);
        _sensitive[target] = true;
    }

    function _assetKey(bytes32 position, address token, Side side) internal pure returns (bytes32) {
        return keccak256(abi.encode(position, token, side));
    }

    /// @dev A token with more than 26 decimals has no unit that fits; nobody lends against one.
    function _unit(address token) private view returns (uint88) {
        uint256 decimals = IERC20Metadata(token).decimals();
        if (decimals > 26) revert BadAsset(token);
        unchecked {
            return uint88(10 ** decimals);
        }
    }

    /// @dev An announcement is used up by the call it was made for.
    function _announced() private {
        if (block.timestamp <= setupUntil) return;
        bytes32 change = keccak256(msg.data);
        uint256 ready = readyAt[change];
        if (ready == 0 || block.timestamp < ready) revert NotAnnounced(change, ready);
        delete readyAt[change];
    }
}
