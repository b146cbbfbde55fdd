// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {
    IMakerJoin,
    IMakerJug,
    IMakerManager,
    IMakerProxy,
    IMakerRegistry,
    IMakerSpotter,
    IMakerVat,
    MakerVenues
} from "../interfaces/IMaker.sol";
import {Tokens} from "../libraries/Tokens.sol";

/// @title How Maker vaults are read, and fed with what was sent here just before.
/// @notice Made by its MakerExecutor's constructor, because one contract of both would be larger than a chain takes.
/// Nobody grants it anything and it keeps nothing: its Executor can make it give to a vault, and nobody make it take.
/// A position's id is its holder's address before the vault's number (holder << 96 | number): a vault that anybody else
/// holds is another position, which nobody configured, whatever its new holder says of whom it obeys.
contract MakerBooks {
    /// @notice The vault is not held by whom the position names, or he is neither the owner nor a proxy of his any more.
    error VaultUnknown(uint256 vault, address holder);
    /// @notice At deployment: not one of that Vat's own.
    error BadMaker(address target);
    /// @notice Only its Executor has it give.
    error NotExecutor(address caller);

    uint256 private constant WAD = 1e18;
    uint256 private constant RAY = 1e27;

    address private immutable EXECUTOR;
    IMakerManager private immutable MANAGER;
    IMakerVat private immutable VAT;
    IMakerSpotter private immutable SPOTTER;
    IMakerJug private immutable JUG;
    IMakerJoin private immutable DAI_JOIN;
    address private immutable DAI;
    IMakerRegistry private immutable REGISTRY;

    modifier onlyExecutor() {
        if (msg.sender != EXECUTOR) revert NotExecutor(msg.sender);
        _;
    }

    constructor(MakerVenues memory m) {
        EXECUTOR = msg.sender;
        MANAGER = IMakerManager(m.manager);
        IMakerVat books = IMakerVat(MANAGER.vat());
        // who sets prices and fees is the Vat's own, or nothing that it says means anything
        if (books.wards(m.spotter) != 1) revert BadMaker(m.spotter);
        if (books.wards(m.jug) != 1) revert BadMaker(m.jug);
        if (IMakerJoin(m.daiJoin).vat() != address(books)) revert BadMaker(m.daiJoin);
        VAT = books;
        SPOTTER = IMakerSpotter(m.spotter);
        JUG = IMakerJug(m.jug);
        DAI_JOIN = IMakerJoin(m.daiJoin);
        DAI = IMakerJoin(m.daiJoin).dai();
        REGISTRY = IMakerRegistry(m.registry);
    }

    // --- what the owner named ---------------------------------------------------------------------------------------------

    function maker() external view returns (MakerVenues memory) {
        return MakerVenues(address(MANAGER), address(SPOTTER), address(JUG), address(DAI_JOIN), address(REGISTRY));
    }

    function vat() external view returns (address) {
        return address(VAT);
    }

    // --- vaults -------------------------------------------------------------------------------------------------------------

    /// @return market the Vat; zero where the vault is not the owner's.
    function marketOf(uint256 position, address owner) external view returns (address market) {
        if (_holds(position, owner)) market = address(VAT);
    }

    /// @notice Of Dai itself; of the collateral its adapter, which takes it in and gives it out: one that the Vat obeys.
    function receiptOf(uint256 position, address token, bool debt) external view returns (address) {
        if (debt) return token == DAI ? token : address(0);
        (bytes32 ilk,) = _vault(position);
        IMakerJoin join = IMakerJoin(REGISTRY.join(ilk));
        bool fits = VAT.wards(address(join)) == 1 && join.ilk() == ilk && join.gem() == token;
        return fits ? address(join) : address(0);
    }

    /// @notice The Vat's own inequality as a quotient: below one exactly where the Dog takes the vault, at the Vat's price.
    /// @dev Drips first: the rate that the Vat holds leaves out the fees since the last drip. Pokes first: whoever liquidates
    /// may do so too, and until a poke the Vat's price is divided by the ratio of then. A poke that reverts (a shut down Vat, a
    /// feed that no longer answers the Spotter) leaves the price that the Vat holds, by which it liquidates and refuses too.
    /// One starved of gas leaves 1/63 of what it had, of which nothing further can be done.
    /// @return wad the health; 2**256 - 1 without debt.
    function health(uint256 position, address owner) external returns (uint256 wad) {
        if (!_holds(position, owner)) revert VaultUnknown(_number(position), MANAGER.owns(_number(position)));
        (bytes32 ilk, address urn) = _vault(position);
        JUG.drip(ilk);
        try SPOTTER.poke(ilk) {} catch {}
        (uint256 ink, uint256 art) = VAT.urns(ilk, urn);
        if (art == 0) return type(uint256).max;
        (uint256 rate, uint256 spot) = _rateAndSpot(ilk);
        wad = ink * spot * WAD / (art * rate);
    }

    /// @notice Dollars of one whole token each, wad: what the Vat lets borrow, times the ratio that must hold; and par.
    /// @dev Of the last poke, which `health` makes: the ratio of now is then the one by which the Vat's price was divided.
    function prices(uint256 position) external view returns (uint256 priceCollateral, uint256 priceDebt) {
        (bytes32 ilk,) = _vault(position);
        (, uint256 spot) = _rateAndSpot(ilk);
        (, uint256 mat) = SPOTTER.ilks(ilk);
        priceDebt = SPOTTER.par();
        priceCollateral = spot * priceDebt / RAY * mat / RAY / 1e9;
        priceDebt /= 1e9;
    }

    /// @return units of Dai that close the debt, rounded up, as of the last drip.
    function owed(uint256 position) public view returns (uint256 units) {
        (bytes32 ilk, address urn) = _vault(position);
        (, uint256 art) = VAT.urns(ilk, urn);
        (uint256 rate,) = _rateAndSpot(ilk);
        units = (art * rate + RAY - 1) / RAY;
    }

    function held(uint256 position) external view returns (uint256 ink) {
        (bytes32 ilk, address urn) = _vault(position);
        (ink,) = VAT.urns(ilk, urn);
    }

    /// @notice Whether the vault's holder lets `user` do everything with it.
    function allows(uint256 position, address user) external view returns (bool) {
        return MANAGER.cdpCan(_holder(position), _number(position), user) == 1;
    }

    // --- giving -------------------------------------------------------------------------------------------------------------

    /// @notice Repay `amount` of Dai that is here, and never more than is owed: the rest would be lost in the Vat.
    function repay(uint256 position, uint256 amount) external onlyExecutor {
        uint256 all = owed(position);
        if (amount > all) revert IExecutorErrors.TransferShort(DAI, amount, all);
        (bytes32 ilk, address urn) = _vault(position);
        (uint256 rate,) = _rateAndSpot(ilk);
        (, uint256 art) = VAT.urns(ilk, urn);
        uint256 dart = amount * RAY / rate;
        _join(DAI_JOIN, DAI, amount);
        VAT.frob(ilk, urn, address(this), address(this), 0, -int256(dart < art ? dart : art));
    }

    /// @notice Lock `amount` of the adapter's token that is here; `ink` is the same in wads.
    function supply(uint256 position, IMakerJoin join, uint256 amount, uint256 ink) external onlyExecutor {
        (bytes32 ilk, address urn) = _vault(position);
        _join(join, join.gem(), amount);
        VAT.frob(ilk, urn, address(this), address(this), int256(ink), 0);
    }

    // --- inside -------------------------------------------------------------------------------------------------------------

    function _join(IMakerJoin join, address token, uint256 amount) private {
        Tokens.allow(token, address(join), amount);
        join.join(address(this), amount);
        Tokens.clear(token, address(join));
    }

    function _vault(uint256 position) private view returns (bytes32 ilk, address urn) {
        return (MANAGER.ilks(_number(position)), MANAGER.urns(_number(position)));
    }

    function _rateAndSpot(bytes32 ilk) private view returns (uint256 rate, uint256 spot) {
        (, rate, spot,,) = VAT.ilks(ilk);
    }

    /// @dev The manager says that the vault is the position's holder's, and he is the owner or says that he obeys him.
    function _holds(uint256 position, address owner) private view returns (bool) {
        address holder = _holder(position);
        if (MANAGER.owns(_number(position)) != holder) return false;
        return holder == owner || _obeys(holder, owner);
    }

    /// @dev Not through the interface: who does not answer would revert here without a word, not say that he obeys nobody.
    function _obeys(address holder, address owner) private view returns (bool) {
        (bool ok, bytes memory said) = holder.staticcall(abi.encodeCall(IMakerProxy.owner, ()));
        return ok && said.length == 32 && abi.decode(said, (uint256)) == uint160(owner);
    }

    function _holder(uint256 position) private pure returns (address) {
        return address(uint160(position >> 96));
    }

    function _number(uint256 position) private pure returns (uint256) {
        return uint96(position);
    }
}
