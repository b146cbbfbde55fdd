// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IGmxDataStore, IGmxSubaccountRouter, IGmxV2Of} from "../interfaces/IGmxV2.sol";
import {IGmxV2Executor, PerpTerms} from "../interfaces/IGmxV2Executor.sol";
import {Tokens} from "../libraries/Tokens.sol";

/// @title Who may do what with the owner's positions on GMX: his words, and nobody else's.
/// @dev What lets a bot do more is announced a day before, except in the hour after deployment, when nothing is granted
/// yet. What lets it do less works at once. The lending Executors' Settings speak of tokens that are sold and of routers;
/// here there are none, so only their errors and `Tokens` are shared.
abstract contract GmxV2Settings is IGmxV2Executor, ReentrancyGuardTransient {
    /// @dev Where a position lies and what prices it, found when the owner set it and fixed until he sets it again.
    struct Place {
        address market;
        address collateral;
        bool isLong;
        address indexFeed;
        address collateralFeed;
        uint256 indexMultiplier;
        uint256 collateralMultiplier;
    }

    /// @dev What was done.
    struct Book {
        uint64 seq;
        uint40 lastAt;
        uint32 epoch;
        uint128 sizeUsd;
        uint128 margin;
        bytes32 order;
    }

    uint256 internal constant BPS = 10_000;
    uint256 internal constant PPM = 1_000_000;
    uint256 internal constant BOTS_MAX = 3;
    uint256 internal constant SETUP_S = 1 hours;
    uint256 internal constant DELAY_S = 24 hours;
    /// @dev Slippage, age of a price and length of an epoch that no owner may pass by mistake.
    uint256 internal constant SLIPPAGE_BPS_MAX = 1_000;
    uint256 internal constant STALE_S_MAX = 2 days;
    uint256 internal constant EPOCH_S_MIN = 1 hours;

    uint256 public immutable setupUntil;
    address private immutable OWNER;
    address internal immutable SUBACCOUNTS;
    address internal immutable DATA_STORE;
    address internal immutable ORDER_VAULT;

    address public guardian;
    bool public paused;
    address[3] internal _bots;
    mapping(address bot => uint40) internal _botUntil;
    mapping(bytes32 position => PerpTerms) internal _terms;
    mapping(bytes32 position => Place) internal _places;
    mapping(bytes32 position => Book) internal _books;
    mapping(bytes32 change => uint256) public readyAt;

    modifier onlyOwner() {
        if (msg.sender != OWNER) revert NotOwner(msg.sender);
        _;
    }

    /// @dev Asks its deployer, so that creation code and address are the same on every chain.
    constructor() {
        (address owner_, address subaccounts) = IGmxV2Of(msg.sender).parameters();
        OWNER = owner_;
        setupUntil = block.timestamp + SETUP_S;
        SUBACCOUNTS = subaccounts;
        DATA_STORE = IGmxSubaccountRouter(subaccounts).dataStore();
        ORDER_VAULT = IGmxSubaccountRouter(subaccounts).orderVault();
    }

    // --- guardian ---------------------------------------------------------------------------------------------------------

    function pause() external {
        if (msg.sender != OWNER && msg.sender != guardian) revert NotGuardian(msg.sender);
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
        if (_botUntil[guardian_] != 0) revert BadGuardian(guardian_);
        guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    /// @param expiry of nothing removes it.
    function setBot(address bot, uint40 expiry) external onlyOwner {
        if (bot == address(0) || bot == OWNER || bot == guardian) revert BadBot(bot);
        if (expiry > _botUntil[bot]) _announced();
        uint256 seat = BOTS_MAX;
        for (uint256 i; i < BOTS_MAX; ++i) {
            if (_bots[i] == bot) (_bots[i], seat) = (address(0), i);
            else if (_bots[i] == address(0) && seat == BOTS_MAX) seat = i;
        }
        if (expiry != 0) {
            if (seat == BOTS_MAX) revert TooManyBots();
            _bots[seat] = bot;
        }
        _botUntil[bot] = expiry;
        emit BotSet(bot, expiry);
    }

    function setPosition(address market, address collateral, bool isLong, PerpTerms memory terms)
        external
        onlyOwner
        returns (bytes32 position)
    {
        _check(terms);
        position = keccak256(abi.encode(OWNER, market, collateral, isLong));
        Place memory place = _place(market, collateral, isLong);
        PerpTerms memory old = _terms[position];
        bool moved = keccak256(abi.encode(place)) != keccak256(abi.encode(_places[position]));
        if (old.expiry == 0 || moved || _looser(terms, old)) _announced();
        _places[position] = place;
        _terms[position] = terms;
        emit PositionSet(position, market, collateral, isLong, terms);
    }

    /// @dev The sequence and what was spent stay: nothing made before comes to life when the position is set again.
    function removePosition(bytes32 position) external onlyOwner {
        delete _terms[position];
        emit PositionRemoved(position);
    }

    function rescue(address token, uint256 amount) external onlyOwner nonReentrant {
        emit Rescued(token, amount);
        Tokens.send(token, OWNER, amount);
    }

    // --- inside -----------------------------------------------------------------------------------------------------------

    function _owner() internal view returns (address) {
        return OWNER;
    }

    function _store() internal view returns (IGmxDataStore) {
        return IGmxDataStore(DATA_STORE);
    }

    function _name(string memory text) internal pure returns (bytes32) {
        return keccak256(abi.encode(text));
    }

    /// @dev One place of each rule; the number counts them.
    function _check(PerpTerms memory t) private pure {
        if (t.expiry == 0) revert BadPolicy(1);
        if (t.epochS < EPOCH_S_MIN) revert BadPolicy(2);
        if (t.slippageBps == 0 || t.slippageBps > SLIPPAGE_BPS_MAX) revert BadPolicy(3);
        if (t.staleS == 0 || t.staleS > STALE_S_MAX) revert BadPolicy(4);
        if (t.triggerPpm == 0 || t.maxPpm <= t.triggerPpm) revert BadPolicy(5);
        if (t.sizeMinUsd > t.sizeCapUsd || t.marginMin > t.marginCap) revert BadPolicy(6);
        if (t.feeMax == 0) revert BadPolicy(7);
    }

    function _looser(PerpTerms memory now_, PerpTerms memory old) private pure returns (bool) {
        return now_.expiry > old.expiry || now_.cooldownS < old.cooldownS || now_.epochS != old.epochS
            || now_.staleS > old.staleS || now_.slippageBps > old.slippageBps || (now_.mayClose && !old.mayClose)
            || now_.triggerPpm > old.triggerPpm || now_.maxPpm > old.maxPpm || now_.sizeCapUsd > old.sizeCapUsd
            || now_.sizeMinUsd < old.sizeMinUsd || now_.marginCap > old.marginCap || now_.marginMin < old.marginMin
            || now_.feeMax > old.feeMax;
    }

    /// @dev GMX's own market and its own feeds, as the store names them now.
    function _place(address market, address collateral, bool isLong) private view returns (Place memory p) {
        address index = _tokenOf(market, "INDEX_TOKEN");
        bool known = collateral == _tokenOf(market, "LONG_TOKEN") || collateral == _tokenOf(market, "SHORT_TOKEN");
        if (index == address(0) || collateral == address(0) || !known) revert BadAsset(collateral);
        (p.market, p.collateral, p.isLong) = (market, collateral, isLong);
        (p.indexFeed, p.indexMultiplier) = _feedOf(index);
        (p.collateralFeed, p.collateralMultiplier) = _feedOf(collateral);
    }

    function _tokenOf(address market, string memory what) private view returns (address) {
        return _store().getAddress(keccak256(abi.encode(market, _name(what))));
    }

    function _feedOf(address token) private view returns (address feed, uint256 multiplier) {
        feed = _store().getAddress(keccak256(abi.encode(_name("PRICE_FEED"), token)));
        multiplier = _store().getUint(keccak256(abi.encode(_name("PRICE_FEED_MULTIPLIER"), token)));
        if (feed == address(0) || multiplier == 0) revert NoPrice(token);
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
