// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Order, Position, Side, Source} from "../interfaces/IExecutor.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {IMakerJoin, MakerVenues} from "../interfaces/IMaker.sol";
import {DaiJoinDouble, DsProxyDouble, GemJoinDouble, IPip, ITokenOfMaker, VatDouble} from "../mocks/MakerDouble.sol";
import {MakerBooks} from "../src/MakerBooks.sol";
import {MakerStage} from "./MakerStage.sol";

interface IHasBooks {
    function BOOKS() external view returns (MakerBooks);
}

/// @title The rules on a double of the Maker vault system, and what is Maker's alone.
contract MakerTest is MakerStage {
    function setUp() public {
        _deployMarket();
        _begin();
    }

    function _books() private view returns (MakerBooks) {
        return IHasBooks(address(executor)).BOOKS();
    }

    // --- whose vault --------------------------------------------------------------------------------------------------------

    function test_maker__vault_of_the_owners_proxy__is_rescued_by_the_proxys_leave() public {
        DsProxyDouble proxy = _proxied();
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        // the leave was the holder's of before
        _refused(o, IExecutorErrors.GrantShort.selector);
        vm.prank(OWNER);
        proxy.execute(
            address(actions), abi.encodeCall(actions.cdpAllow, (manager, _vaults[OWNER], address(executor), 1))
        );
        _done(o);
    }

    function test_maker__vault_given_away__is_no_longer_acted_on() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        _mint(usdc, address(executor), 5_000e6);
        manager.give(_vaults[OWNER], NEIGHBOUR);
        vm.prank(NEIGHBOUR);
        manager.cdpAllow(_vaults[OWNER], address(executor), 1);
        _refused(o, MakerBooks.VaultUnknown.selector);
        _refusedPayIn(Side.DEBT, 5_000e6, MakerBooks.VaultUnknown.selector);
    }

    function test_maker__proxy_given_away__is_no_longer_acted_on() public {
        DsProxyDouble proxy = _proxied();
        vm.startPrank(OWNER);
        proxy.execute(
            address(actions), abi.encodeCall(actions.cdpAllow, (manager, _vaults[OWNER], address(executor), 1))
        );
        proxy.setOwner(THIEF);
        vm.stopPrank();
        _refused(_rescue(DEEP, Source.UNISWAP_V3_SWAP), MakerBooks.VaultUnknown.selector);
    }

    /// @dev Who is given the vault may say that he obeys its owner of before: the position is the old holder's.
    function test_maker__vault_given_to_who_says_that_he_obeys_the_owner__is_no_longer_fed_nor_sold() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        DsProxyDouble liar = new DsProxyDouble(OWNER);
        manager.give(_vaults[OWNER], address(liar));
        vm.prank(address(liar));
        manager.cdpAllow(_vaults[OWNER], address(executor), 1);
        _refused(o, MakerBooks.VaultUnknown.selector);
        _refusedPayIn(Side.DEBT, 5_000e6, MakerBooks.VaultUnknown.selector);
        _refusedPayIn(Side.COLLATERAL, 5e18, MakerBooks.VaultUnknown.selector);
        // and back in the hands of whom the position names it goes on
        manager.give(_vaults[OWNER], OWNER);
        _done(o);
    }

    /// @dev From the owner's proxy to the owner himself: his, and still another position.
    function test_maker__vault_out_of_the_proxy__is_another_position() public {
        _proxied();
        bytes32 before = id;
        manager.give(_vaults[OWNER], OWNER);
        _refused(_rescue(DEEP, Source.UNISWAP_V3_SWAP), MakerBooks.VaultUnknown.selector);
        id = _idOf(OWNER, _vaults[OWNER]);
        require(before != id, "same id");
        _done(_rescue(DEEP, Source.UNISWAP_V3_SWAP));
    }

    /// @dev None of them answers whom it obeys: an error with a name, not a revert without a word.
    function test_maker__holder_that_answers_nothing_or_no_address__is_not_the_owners() public {
        _proxied();
        address holder = address(uint160(uint256(id) >> 96));
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        bytes[4] memory codes = [
            bytes(hex"5f5ffd"), bytes(hex"00"), abi.encodePacked(hex"73", OWNER, hex"5f5260405ff3"),
            abi.encodePacked(hex"74", hex"01", OWNER, hex"5f5260205ff3")
        ];
        for (uint256 i; i < 4; ++i) {
            IEtch(address(vm)).etch(holder, codes[i]);
            _refused(o, MakerBooks.VaultUnknown.selector);
        }
    }

    function testFuzz_maker__vault_of_another__cannot_be_configured(uint256 number, address holder) public {
        bytes32 other = bytes32(number);
        vm.assume(other != id);
        _open(NEIGHBOUR, COLLATERAL, DEBT);
        uint256 theirs = _vaults[NEIGHBOUR];
        bytes32[6] memory ids = [
            other, bytes32(theirs), _idOf(NEIGHBOUR, theirs), _idOf(OWNER, theirs), bytes32(_vaults[OWNER]),
            _idOf(holder == OWNER ? THIEF : holder, _vaults[OWNER])
        ];
        Position memory terms = _terms();
        vm.startPrank(OWNER);
        for (uint256 i; i < 6; ++i) {
            vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
            executor.setPosition(ids[i], terms);
        }
        vm.stopPrank();
    }

    // --- whose price --------------------------------------------------------------------------------------------------------

    /// @dev Between a lower ratio and the next poke the Vat's price times the ratio of now is below the feed's.
    function test_maker__ratio_lowered_and_not_poked__the_bound_stays_the_feeds_price() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        o.sellMax *= 2;
        _poolPrice(_priceAt(DEEP) * 88 / 100);
        _refused(o, IExecutorErrors.SlippageExceeded.selector);
        spotter.file(ILK, IPip(address(osm)), MAT * 85 / 100);
        _refused(o, IExecutorErrors.SlippageExceeded.selector);
    }

    /// @dev The feed fell and nobody poked: whoever liquidates does, so does a rescue.
    function test_maker__feed_fell_and_nobody_poked__is_rescued_at_the_feeds_price() public {
        uint128 price = uint128(_priceAt(DEEP) / 100);
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        _feedPrice(_priceAt(DEEP) * 2);
        _refused(o, IExecutorErrors.NotTriggered.selector);
        osm.file(price, price);
        vm.prank(BOT);
        executor.deleverage(o);
        (,, uint256 spot,,) = vat.ilks(ILK);
        _eq(spot, uint256(price) * 1e9 * RAY / MAT, "not poked");
    }

    /// @dev The feed no longer answers the Spotter: the Vat liquidates by the price that it holds, and so it is rescued.
    function test_maker__poke_that_reverts__is_survived_at_the_price_that_the_vat_holds() public {
        osm.diss(address(spotter));
        vm.expectRevert(bytes("OSM/contract-not-whitelisted"));
        spotter.poke(ILK);
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        _done(o);
    }

    function test_maker__poke_that_reverts__money_can_be_paid_in() public {
        osm.diss(address(spotter));
        _mint(usdc, address(executor), 5_000e6);
        _payIn(Side.DEBT, 5_000e6);
        require(_health(OWNER) >= 1.4e18, "target");
    }

    /// @dev The poke gets all but a 63rd of what is left, so no bot can make it fail alone: too little gas reverts the whole.
    function testFuzz_maker__any_gas__no_sale_without_the_poke(uint256 gas) public {
        uint128 price = uint128(_priceAt(DEEP) / 100);
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        osm.file(price * 2, price * 2);
        gas = 100_000 + gas % 500_000;
        vm.prank(BOT);
        (bool ok,) = address(executor).call{gas: gas}(abi.encodeCall(executor.deleverage, (o)));
        require(!ok, "sold at the price of before");
    }

    // --- what it stands on --------------------------------------------------------------------------------------------------

    function test_maker__deployed_on_what_is_not_the_vats__is_refused() public {
        VatDouble other = new VatDouble();
        MakerVenues memory m = _maker();
        m.spotter = address(other);
        _notMade(m);
        m = _maker();
        m.jug = address(other);
        _notMade(m);
        m = _maker();
        m.daiJoin = address(new DaiJoinDouble(other, ITokenOfMaker(address(usdc))));
        _notMade(m);
    }

    function _notMade(MakerVenues memory m) private {
        bytes memory code = _code();
        vm.expectRevert(abi.encodeWithSignature("DeployFailed()"));
        vm.prank(THIEF);
        factory.deploy(code, _venues(), m);
    }

    function test_maker__adapter_that_the_vat_does_not_obey_or_of_another_type__cannot_be_listed() public {
        GemJoinDouble other = new GemJoinDouble(vat, ILK, ITokenOfMaker(address(weth)));
        registry.put(ILK, address(other), address(weth));
        _unlisted();
        other = new GemJoinDouble(vat, "ETH-B", ITokenOfMaker(address(weth)));
        vat.rely(address(other));
        registry.put(ILK, address(other), address(weth));
        _unlisted();
    }

    function _unlisted() private {
        vm.expectPartialRevert(IExecutorErrors.BadAsset.selector);
        vm.prank(OWNER);
        executor.setAsset(id, address(weth), Side.COLLATERAL, 1, 1);
    }

    /// @dev What the list says later counts only once the owner lists the collateral anew.
    function test_maker__list_changed_later__the_adapter_stays() public {
        registry.put(ILK, THIEF, address(weth));
        _done(_rescue(DEEP, Source.UNISWAP_V3_SWAP));
    }

    function test_maker__parts_of_the_system__can_be_no_routers() public {
        address[7] memory parts = [
            address(manager), address(vat), address(spotter), address(jug), address(daiJoin), address(gemJoin),
            address(_books())
        ];
        for (uint256 i; i < 7; ++i) {
            vm.expectPartialRevert(IExecutorErrors.BadRouter.selector);
            vm.prank(OWNER);
            executor.setRouter(parts[i], true);
        }
        vm.expectPartialRevert(IExecutorErrors.BadRouter.selector);
        vm.prank(OWNER);
        executor.setRouter(address(registry), true);
    }

    function test_maker__books__give_for_their_executor_alone() public {
        MakerBooks books = _books();
        _mint(usdc, address(books), 1e6);
        vm.startPrank(THIEF);
        vm.expectPartialRevert(MakerBooks.NotExecutor.selector);
        books.repay(uint256(id), 1e6);
        vm.expectPartialRevert(MakerBooks.NotExecutor.selector);
        books.supply(uint256(id), IMakerJoin(address(gemJoin)), 1, 1);
        vm.stopPrank();
        MakerVenues memory m = books.maker();
        require(m.manager == address(manager) && m.registry == address(registry), "told otherwise");
    }

    // --- amounts ------------------------------------------------------------------------------------------------------------

    function test_maker__rest_below_the_dust_limit__is_the_vats_to_refuse() public {
        vat.fileDust(ILK, 12_000e6 * RAY);
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        vm.expectRevert(bytes("Vat/dust"));
        vm.prank(BOT);
        executor.deleverage(o);
        vat.fileDust(ILK, 1_000e6 * RAY);
        _done(o);
    }

    /// @dev Anybody may pay into a vault: the Vat asks for no leave, and neither does this.
    function test_maker__paid_in_without_a_grant__reaches_target() public {
        _authorise(false);
        _mint(usdc, address(executor), 5_000e6);
        _payIn(Side.DEBT, 5_000e6);
        require(_health(OWNER) >= 1.4e18, "target");
        _eq(usdc.allowance(address(_books()), address(daiJoin)), 0, "allowance left");
        _eq(usdc.balanceOf(address(_books())), 0, "kept");
    }

    function test_maker__whole_debt_after_a_year__leaves_none() public {
        vm.warp(block.timestamp + 200 days);
        _mint(usdc, address(executor), 30_000e6);
        uint256 owed = _owed(OWNER);
        _payIn(Side.DEBT, 30_000e6);
        (, uint256 art) = vat.urns(ILK, manager.urns(_vaults[OWNER]));
        _eq(art, 0, "debt left");
        _eq(usdc.balanceOf(address(executor)), 30_000e6 - owed, "not exact");
    }

    function test_maker__void_price__sells_nothing() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        _feedPrice(0);
        _refused(o, IExecutorErrors.NoPrice.selector);
    }

    /// @dev The market fell, the price that counts has not been poked yet: the bound is the Vat's price.
    function test_maker__market_below_the_price_that_counts_by_more_than_the_slippage__is_refused() public {
        Order memory o = _rescue(DEEP, Source.UNISWAP_V3_SWAP);
        o.sellMax *= 2;
        _poolPrice(_priceAt(DEEP) * 98 / 100);
        _refused(o, IExecutorErrors.SlippageExceeded.selector);
        _feedPrice(_priceAt(DEEP) * 985 / 1_000);
        o.repay = _repayTo(1.45e18, _priceAt(DEEP) * 985 / 1_000);
        _done(o);
    }

    /// @dev Par counts on both sides: a Dai of half a dollar halves the dollars of a price in Dai.
    function test_maker__par__is_the_price_of_dai_and_part_of_the_collaterals() public {
        (uint256 sold, uint256 paid) = _books().prices(uint256(id));
        _eq(paid, 1e18, "par");
        // units: 2e-9 of a Dai's wei for a wei of collateral is 2e9 of 1e18
        _eq(sold, _priceAt(DEEP) * 1e7 / 1e9, "price");
        spotter.filePar(RAY / 2);
        (sold, paid) = _books().prices(uint256(id));
        _eq(paid, 0.5e18, "par");
        _eq(sold, _priceAt(DEEP) * 1e7 / 2e9, "price");
    }

    /// @dev The Vat counts every collateral in wads.
    function test_maker__collateral_of_eight_decimals__is_counted_in_wads() public {
        ITokenMint wbtc = ITokenMint(_at(".tokens.WBTC.token"));
        bytes32 ilk = "WBTC-A";
        GemJoinDouble join = new GemJoinDouble(vat, ilk, ITokenOfMaker(address(wbtc)));
        vat.init(ilk);
        vat.rely(address(join));
        vat.fileSpot(ilk, RAY);
        jug.file(ilk, RAY);
        registry.put(ilk, address(join), address(wbtc));
        uint256 vault = manager.open(ilk, OWNER);
        manager.fill(vault, 1.1e18, 1e18);
        bytes32 position = _idOf(OWNER, vault);
        Position memory terms = _terms();
        vm.startPrank(OWNER);
        executor.setPosition(position, terms);
        executor.setAsset(position, address(wbtc), Side.COLLATERAL, 1e18, 1e18);
        vm.stopPrank();
        vm.roll(block.number + 5);
        vm.prank(deployer);
        wbtc.mint(address(executor), 0.3e8);
        vm.prank(BOT);
        executor.addCollateral(position, 0, address(wbtc), 0.3e8, LATE);
        (uint256 ink,) = vat.urns(ilk, manager.urns(vault));
        _eq(ink, 1.4e18, "not in wads");
    }
}

interface IEtch {
    function etch(address target, bytes calldata code) external;
}

interface ITokenMint {
    function mint(address to, uint256 amount) external;
}
