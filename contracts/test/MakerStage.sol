// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IExecutor, Venues} from "../interfaces/IExecutor.sol";
import {MakerVenues} from "../interfaces/IMaker.sol";
import {
    CdpManagerDouble,
    DaiJoinDouble,
    DsProxyDouble,
    GemJoinDouble,
    IlkRegistryDouble,
    ITokenOfMaker,
    IPip,
    JugDouble,
    OsmDouble,
    ProxyActionsDouble,
    SpotterDouble,
    VatDouble
} from "../mocks/MakerDouble.sol";
import {VenueRules} from "./VenueRules.sol";

interface IMakerFactory {
    function deploy(bytes calldata code, Venues calldata venues, MakerVenues calldata vaults) external returns (address);
}

interface IMock {
    function mockCall(address target, bytes calldata data, bytes calldata answer) external;
}

/// @title A Maker vault system of our own making (a double), on the same tokens, beside the same Uniswap v3.
/// @dev The stages' dollar has 6 decimals, Dai has 18: it is made to say 18, so one of its units is one wei of Dai, and
/// amounts and prices of the other stages fit as they are.
abstract contract MakerStage is VenueRules {
    bytes32 internal constant ILK = "ETH-A";
    uint256 internal constant RAY = 1e27;
    uint256 internal constant MAT = 1.25e27;
    /// @dev A fifth a year, so that a month shows.
    uint256 internal constant DUTY = 1_000_000_005_781_378_656_804_591_712;

    VatDouble internal vat;
    JugDouble internal jug;
    SpotterDouble internal spotter;
    OsmDouble internal osm;
    CdpManagerDouble internal manager;
    GemJoinDouble internal gemJoin;
    DaiJoinDouble internal daiJoin;
    IlkRegistryDouble internal registry;
    ProxyActionsDouble internal actions;
    IMakerFactory internal factory;
    mapping(address who => uint256) internal _vaults;

    function _deployMarket() internal {
        _deploy();
        IMock(address(vm)).mockCall(address(usdc), abi.encodeWithSignature("decimals()"), abi.encode(uint256(18)));
        vat = new VatDouble();
        jug = new JugDouble(vat);
        spotter = new SpotterDouble(vat);
        manager = new CdpManagerDouble(vat);
        gemJoin = new GemJoinDouble(vat, ILK, ITokenOfMaker(address(weth)));
        daiJoin = new DaiJoinDouble(vat, ITokenOfMaker(address(usdc)));
        registry = new IlkRegistryDouble();
        actions = new ProxyActionsDouble();
        vat.init(ILK);
        vat.rely(address(jug));
        vat.rely(address(spotter));
        vat.rely(address(gemJoin));
        jug.file(ILK, DUTY);
        osm = new OsmDouble(0);
        osm.kiss(address(spotter));
        spotter.file(ILK, IPip(address(osm)), MAT);
        registry.put(ILK, address(gemJoin), address(weth));
        _feedPrice(3_000e8);
        factory = IMakerFactory(_created("contracts/artifacts/MakerExecutorFactory.json"));
        executor = IExecutor(_made(OWNER, _maker()));
        _vaults[OWNER] = manager.open(ILK, OWNER);
        id = _idOf(OWNER, _vaults[OWNER]);
    }

    function _maker() internal view returns (MakerVenues memory) {
        return MakerVenues(address(manager), address(spotter), address(jug), address(daiJoin), address(registry));
    }

    function _code() internal view returns (bytes memory) {
        string memory path = vm.envOr("MAKER_ARTIFACT", "contracts/artifacts/MakerExecutor.json");
        return vm.parseJsonBytes(vm.readFile(path), ".bytecode");
    }

    function _made(address who, MakerVenues memory vaults) internal returns (address) {
        bytes memory code = _code();
        vm.prank(who);
        return factory.deploy(code, _venues(), vaults);
    }

    function _created(string memory path) private returns (address made) {
        bytes memory code = vm.parseJsonBytes(vm.readFile(path), ".bytecode");
        assembly {
            made := create(0, add(code, 0x20), mload(code))
        }
        require(made != address(0), "not deployed");
    }

    function _open(address who, uint256 collateral, uint256 debt) internal override {
        if (_vaults[who] == 0) _vaults[who] = manager.open(ILK, who);
        uint256 vault = _vaults[who];
        _mint(weth, who, collateral);
        vm.startPrank(who);
        weth.approve(address(gemJoin), collateral);
        gemJoin.join(manager.urns(vault), collateral);
        manager.frob(vault, int256(collateral), int256(debt * RAY / _rate()));
        vm.stopPrank();
    }

    function _authorise(bool allowed) internal override {
        vm.prank(OWNER);
        manager.cdpAllow(_vaults[OWNER], address(executor), allowed ? 1 : 0);
    }

    /// @dev Units of the dollar for a unit of collateral, wad: usd8 x 1e6 / 1e8. Poked, as somebody always does.
    function _feedPrice(uint256 usd8) internal override {
        osm.file(uint128(usd8 / 100), uint128(usd8 / 100));
        spotter.poke(ILK);
    }

    function _factorPct() internal pure override returns (uint256) {
        return 80;
    }

    /// @dev With the fees since the last drip.
    function _rate() internal view returns (uint256 rate) {
        (, rate,,,) = vat.ilks(ILK);
        (uint256 duty, uint256 rho) = jug.ilks(ILK);
        rate = jug.rpow(duty, block.timestamp - rho) * rate / RAY;
    }

    function _owed(address who) internal view override returns (uint256) {
        (, uint256 art) = vat.urns(ILK, manager.urns(_vaults[who]));
        return (art * _rate() + RAY - 1) / RAY;
    }

    function _pledged(address who) internal view override returns (uint256 ink) {
        (ink,) = vat.urns(ILK, manager.urns(_vaults[who]));
    }

    function _health(address who) internal view override returns (uint256) {
        (uint256 ink, uint256 art) = vat.urns(ILK, manager.urns(_vaults[who]));
        (,, uint256 spot,,) = vat.ilks(ILK);
        return art == 0 ? type(uint256).max : ink * spot * WAD / (art * _rate());
    }

    function _marketAddress() internal view override returns (address) {
        return address(vat);
    }

    function _idOf(address holder, uint256 vault) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(holder)) << 96 | vault);
    }

    /// @dev The owner's vault is his proxy's from now on, which makes it another position.
    function _proxied() internal returns (DsProxyDouble proxy) {
        proxy = new DsProxyDouble(OWNER);
        manager.give(_vaults[OWNER], address(proxy));
        id = _idOf(address(proxy), _vaults[OWNER]);
        _configure(20e18, 20e18);
    }
}
