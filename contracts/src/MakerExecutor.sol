// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Side} from "../interfaces/IExecutor.sol";
import {IMakerJoin, IMakerManager, IMakerVenuesOf, MakerVenues} from "../interfaces/IMaker.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Executor} from "./Executor.sol";
import {MakerBooks} from "./MakerBooks.sol";

/// @title The Executor of an owner's Maker vaults, held by himself or by a proxy that obeys him.
/// @notice A position's id is the address that holds the vault, then the vault's number (holder << 96 | number): where
/// another holds it, it is another position. The grant is the manager's `cdpAllow`, which permits everything with
/// that vault: this contract can be given it because it has no way to use it but the checked ones, and no way to get one.
/// @dev Health and prices are the Vat's, poked first: the price that will count after this one nobody may read on chain.
/// Paying in asks for no grant, as the Vat asks for none.
contract MakerExecutor is Executor {
    MakerBooks public immutable BOOKS;
    IMakerManager private immutable MANAGER;

    constructor() {
        MakerVenues memory m = IMakerVenuesOf(msg.sender).maker();
        MakerBooks books = new MakerBooks(m);
        BOOKS = books;
        MANAGER = IMakerManager(m.manager);
        _sensitive[address(books)] = true;
        _sensitive[m.manager] = true;
        _sensitive[books.vat()] = true;
        _sensitive[m.spotter] = true;
        _sensitive[m.jug] = true;
        _sensitive[m.daiJoin] = true;
        _sensitive[m.registry] = true;
    }

    function _market(bytes32 position) internal view override returns (address) {
        return BOOKS.marketOf(uint256(position), _owner());
    }

    function _receiptOf(bytes32 position, address token, Side side) internal view override returns (address) {
        return BOOKS.receiptOf(uint256(position), token, side == Side.DEBT);
    }

    function _health(bytes32 position) internal override returns (uint256) {
        return BOOKS.health(uint256(position), _owner());
    }

    function _prices(bytes32 position, address collateral, address)
        internal
        view
        override
        returns (uint256 priceCollateral, uint256 priceDebt)
    {
        (priceCollateral, priceDebt) = BOOKS.prices(uint256(position));
        if (priceCollateral == 0) revert NoPrice(collateral);
    }

    function _owed(bytes32 position, address) internal view override returns (uint256) {
        return BOOKS.owed(uint256(position));
    }

    /// @dev The Vat counts collateral in wads, whatever the token does.
    function _shares(bytes32 position, address) internal view override returns (uint256) {
        return BOOKS.held(uint256(position));
    }

    function _unitsOf(bytes32 position, address token, uint256 shares) internal view override returns (uint256) {
        uint256 scale = _scale(position, token);
        return (shares + scale - 1) / scale;
    }

    function _repay(bytes32 position, address token, uint256 amount) internal override {
        Tokens.send(token, address(BOOKS), amount);
        BOOKS.repay(uint256(position), amount);
    }

    function _supply(bytes32 position, address token, uint256 amount) internal override {
        Tokens.send(token, address(BOOKS), amount);
        IMakerJoin join = IMakerJoin(_assets[position][Side.COLLATERAL][token].receipt);
        BOOKS.supply(uint256(position), join, amount, amount * _scale(position, token));
    }

    /// @dev The Vat refuses where what is left would not carry the debt.
    function _take(bytes32 position, address token, address receipt, uint256 amount, address to) internal override {
        if (!BOOKS.allows(uint256(position), address(this))) revert GrantShort(address(MANAGER), 0, amount);
        uint256 ink = amount * _scale(position, token);
        uint256 vault = uint96(uint256(position));
        MANAGER.frob(vault, -int256(ink), 0);
        MANAGER.flux(vault, address(this), ink);
        IMakerJoin(receipt).exit(to, amount);
    }

    function _scale(bytes32 position, address token) private view returns (uint256) {
        return 1e18 / _assets[position][Side.COLLATERAL][token].unit;
    }
}
