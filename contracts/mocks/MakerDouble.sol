// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Doubles of the Maker/Sky vault system at the level of its interfaces, for local test chains only. Own code, written
// from the public formulas, with the storage and ABI shapes that a reader of the real contracts meets. Anyone may set
// them: they must never hold anything of value.

interface ITokenOfMaker {
    function decimals() external view returns (uint8);
    function balanceOf(address account) external view returns (uint256);
    function mint(address to, uint256 value) external;
    function burn(address from, uint256 value) external;
    function approve(address spender, uint256 value) external returns (bool);
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

interface IPip {
    function peek() external view returns (bytes32, bool);
}

uint256 constant RAY = 10 ** 27;

/// @title The vault engine: every vault's collateral and normalised debt, every collateral type's rate and price.
contract VatDouble {
    struct Ilk {
        uint256 Art;
        uint256 rate;
        uint256 spot;
        uint256 line;
        uint256 dust;
    }

    struct Urn {
        uint256 ink;
        uint256 art;
    }

    mapping(address user => uint256) public wards;
    mapping(address owner => mapping(address user => uint256)) public can;
    mapping(bytes32 ilk => Ilk) public ilks;
    mapping(bytes32 ilk => mapping(address urn => Urn)) public urns;
    mapping(bytes32 ilk => mapping(address user => uint256)) public gem;
    mapping(address user => uint256) public dai;
    uint256 public live = 1;

    function rely(address user) external {
        wards[user] = 1;
    }

    function deny(address user) external {
        wards[user] = 0;
    }

    function init(bytes32 ilk) external {
        ilks[ilk].rate = RAY;
        ilks[ilk].line = type(uint256).max;
    }

    function cage() external {
        live = 0;
    }

    function fileSpot(bytes32 ilk, uint256 spot) external {
        ilks[ilk].spot = spot;
    }

    function fileDust(bytes32 ilk, uint256 dust) external {
        ilks[ilk].dust = dust;
    }

    function hope(address user) external {
        can[msg.sender][user] = 1;
    }

    function slip(bytes32 ilk, address user, int256 wad) external {
        gem[ilk][user] = _sum(gem[ilk][user], wad);
    }

    function suck(address user, uint256 rad) external {
        dai[user] += rad;
    }

    function move(address from, address to, uint256 rad) external {
        require(_wish(from), "Vat/not-allowed");
        dai[from] -= rad;
        dai[to] += rad;
    }

    function flux(bytes32 ilk, address from, address to, uint256 wad) external {
        require(_wish(from), "Vat/not-allowed");
        gem[ilk][from] -= wad;
        gem[ilk][to] += wad;
    }

    function fold(bytes32 ilk, int256 rate) external {
        ilks[ilk].rate = uint256(int256(ilks[ilk].rate) + rate);
    }

    function frob(bytes32 i, address u, address v, address w, int256 dink, int256 dart) external {
        require(live == 1, "Vat/not-live");
        Ilk storage ilk = ilks[i];
        Urn storage urn = urns[i][u];
        require(ilk.rate != 0, "Vat/ilk-not-init");
        urn.ink = _sum(urn.ink, dink);
        urn.art = _sum(urn.art, dart);
        ilk.Art = _sum(ilk.Art, dart);
        int256 dtab = int256(ilk.rate) * dart;
        uint256 tab = ilk.rate * urn.art;
        bool lessRisky = dart <= 0 && dink >= 0;
        require(lessRisky || tab <= urn.ink * ilk.spot, "Vat/not-safe");
        require(lessRisky || _wish(u), "Vat/not-allowed-u");
        require(dink <= 0 || _wish(v), "Vat/not-allowed-v");
        require(dart >= 0 || _wish(w), "Vat/not-allowed-w");
        require(urn.art == 0 || tab >= ilk.dust, "Vat/dust");
        gem[i][v] = _sum(gem[i][v], -dink);
        dai[w] = _sum(dai[w], dtab);
    }

    function grab(bytes32 i, address u) external {
        ilks[i].Art -= urns[i][u].art;
        delete urns[i][u];
    }

    function _sum(uint256 x, int256 y) private pure returns (uint256) {
        int256 z = int256(x) + y;
        require(z >= 0);
        return uint256(z);
    }

    function _wish(address owner) private view returns (bool) {
        return owner == msg.sender || can[owner][msg.sender] == 1;
    }
}

/// @title Stability fees, compounded per second; anyone may drip them into the Vat.
contract JugDouble {
    struct Ilk {
        uint256 duty;
        uint256 rho;
    }

    VatDouble public immutable vat;
    uint256 public base;
    mapping(bytes32 ilk => Ilk) public ilks;

    constructor(VatDouble vat_) {
        vat = vat_;
    }

    function file(bytes32 ilk, uint256 duty) external {
        ilks[ilk] = Ilk(duty, block.timestamp);
    }

    function fileBase(uint256 base_) external {
        base = base_;
    }

    function drip(bytes32 ilk) external returns (uint256 rate) {
        (, uint256 before, , , ) = vat.ilks(ilk);
        rate = rpow(base + ilks[ilk].duty, block.timestamp - ilks[ilk].rho) * before / RAY;
        vat.fold(ilk, int256(rate) - int256(before));
        ilks[ilk].rho = block.timestamp;
    }

    /// @notice x ** n in rays by squaring, each product rounded half up.
    function rpow(uint256 x, uint256 n) public pure returns (uint256 z) {
        z = n % 2 == 1 ? x : RAY;
        for (n /= 2; n > 0; n /= 2) {
            x = (x * x + RAY / 2) / RAY;
            if (n % 2 == 1) z = (z * x + RAY / 2) / RAY;
        }
    }
}

/// @title The price delayed by an hour: `cur` counts, `nxt` is known and will. Only the whitelisted may ask.
contract OsmDouble {
    struct Feed {
        uint128 val;
        uint128 has;
    }

    mapping(address user => uint256) public wards; // slot 0
    uint256 public stopped; // slot 1
    address public src; // slot 2, with hop and zzz
    uint16 public hop = 3600;
    uint64 public zzz;
    Feed internal cur; // slot 3
    Feed internal nxt; // slot 4
    mapping(address user => uint256) public bud; // slot 5
    uint128 private _market;

    modifier toll() {
        require(bud[msg.sender] == 1, "OSM/contract-not-whitelisted");
        _;
    }

    constructor(uint128 val) {
        src = address(this);
        _market = val;
        cur = Feed(val, 1);
        nxt = Feed(val, 1);
        zzz = uint64(block.timestamp - (block.timestamp % hop));
    }

    /// @notice What the source behind it says from now on.
    function setMarket(uint128 val) external {
        _market = val;
    }

    /// @dev For tests: both prices at once.
    function file(uint128 cur_, uint128 nxt_) external {
        (cur, nxt) = (Feed(cur_, 1), Feed(nxt_, 1));
    }

    function kiss(address user) external {
        bud[user] = 1;
    }

    function diss(address user) external {
        bud[user] = 0;
    }

    function stop() external {
        stopped = 1;
    }

    function void() external {
        cur = nxt = Feed(0, 0);
        stopped = 1;
    }

    function pass() public view returns (bool) {
        return block.timestamp >= zzz + hop;
    }

    function poke() external {
        require(stopped == 0, "OSM/is-stopped");
        require(pass(), "OSM/not-passed");
        if (_market == 0) return;
        cur = nxt;
        nxt = Feed(_market, 1);
        zzz = uint64(block.timestamp - (block.timestamp % hop));
    }

    function peek() external view toll returns (bytes32, bool) {
        return (bytes32(uint256(cur.val)), cur.has == 1);
    }

    function peep() external view toll returns (bytes32, bool) {
        return (bytes32(uint256(nxt.val)), nxt.has == 1);
    }
}

/// @title From a price to the Vat's spot: per unit of collateral, already divided by the ratio that must hold.
contract SpotterDouble {
    struct Ilk {
        IPip pip;
        uint256 mat;
    }

    event Poke(bytes32 ilk, bytes32 val, uint256 spot);

    VatDouble public immutable vat;
    uint256 public par = RAY;
    mapping(bytes32 ilk => Ilk) public ilks;

    constructor(VatDouble vat_) {
        vat = vat_;
    }

    function filePar(uint256 par_) external {
        par = par_;
    }

    function file(bytes32 ilk, IPip pip, uint256 mat) external {
        ilks[ilk] = Ilk(pip, mat);
    }

    /// @dev As the real one: a price that is void makes the spot zero; a feed that does not answer (none, or one that
    /// did not list this contract), a ratio of zero and a Vat that was shut down make it revert.
    function poke(bytes32 ilk) external {
        (bytes32 val, bool has) = ilks[ilk].pip.peek();
        uint256 spot = has ? uint256(val) * 10 ** 9 * RAY / par * RAY / ilks[ilk].mat : 0;
        require(vat.live() == 1, "Vat/not-live");
        vat.fileSpot(ilk, spot);
        emit Poke(ilk, val, spot);
    }
}

/// @title Who takes an unsafe vault: by the Vat's stored rate and spot, so whoever barks drips and pokes first.
contract DogDouble {
    event Bark(
        bytes32 indexed ilk,
        address indexed urn,
        uint256 ink,
        uint256 art,
        uint256 due,
        address clip,
        uint256 indexed id
    );

    VatDouble public immutable vat;
    mapping(bytes32 ilk => uint256) private _chop;
    uint256 private _count;

    constructor(VatDouble vat_) {
        vat = vat_;
    }

    function file(bytes32 ilk, uint256 chop) external {
        _chop[ilk] = chop;
    }

    function ilks(bytes32 ilk) external view returns (address clip, uint256 chop, uint256 hole, uint256 dirt) {
        return (address(this), _chop[ilk], type(uint256).max, 0);
    }

    function bark(bytes32 ilk, address urn, address) external returns (uint256 id) {
        (uint256 ink, uint256 art) = vat.urns(ilk, urn);
        (, uint256 rate, uint256 spot, , ) = vat.ilks(ilk);
        require(spot > 0 && ink * spot < art * rate, "Dog/not-unsafe");
        vat.grab(ilk, urn);
        id = ++_count;
        emit Bark(ilk, urn, ink, art, art * rate, address(this), id);
    }
}

/// @title Collateral in and out of the Vat.
contract GemJoinDouble {
    VatDouble public immutable vat;
    bytes32 public immutable ilk;
    ITokenOfMaker public immutable gem;
    uint256 public immutable dec;

    constructor(VatDouble vat_, bytes32 ilk_, ITokenOfMaker gem_) {
        vat = vat_;
        ilk = ilk_;
        gem = gem_;
        dec = gem_.decimals();
    }

    function join(address user, uint256 units) external {
        vat.slip(ilk, user, int256(units * 10 ** (18 - dec)));
        gem.transferFrom(msg.sender, address(this), units);
    }

    function exit(address to, uint256 units) external {
        vat.slip(ilk, msg.sender, -int256(units * 10 ** (18 - dec)));
        gem.transfer(to, units);
    }
}

/// @title Dai in and out of the Vat: from a stock that was put here, minted only where that is short.
contract DaiJoinDouble {
    VatDouble public immutable vat;
    ITokenOfMaker public immutable dai;

    constructor(VatDouble vat_, ITokenOfMaker dai_) {
        vat = vat_;
        dai = dai_;
    }

    function join(address user, uint256 wad) external {
        vat.suck(user, wad * RAY);
        dai.transferFrom(msg.sender, address(this), wad);
    }

    function exit(address to, uint256 wad) external {
        vat.move(msg.sender, address(this), wad * RAY);
        uint256 here = dai.balanceOf(address(this));
        if (here < wad) dai.mint(address(this), wad - here);
        dai.transfer(to, wad);
    }
}

/// @title A vault's own address in the Vat; the manager may do everything with it.
contract UrnDouble {
    constructor(VatDouble vat) {
        vat.hope(msg.sender);
    }
}

/// @title Vaults by number: their addresses, collateral types and owners.
contract CdpManagerDouble {
    VatDouble public immutable vat;
    uint256 public cdpi;
    mapping(uint256 id => address) public urns;
    mapping(uint256 id => address) public owns;
    mapping(uint256 id => bytes32) public ilks;
    mapping(address owner => mapping(uint256 id => mapping(address user => uint256))) public cdpCan;

    modifier cdpAllowed(uint256 id) {
        require(msg.sender == owns[id] || cdpCan[owns[id]][id][msg.sender] == 1, "cdp-not-allowed");
        _;
    }

    constructor(VatDouble vat_) {
        vat = vat_;
    }

    function open(bytes32 ilk, address owner) external returns (uint256) {
        cdpi += 1;
        urns[cdpi] = address(new UrnDouble(vat));
        owns[cdpi] = owner;
        ilks[cdpi] = ilk;
        return cdpi;
    }

    function give(uint256 id, address owner) external {
        owns[id] = owner;
    }

    function cdpAllow(uint256 id, address user, uint256 ok) external cdpAllowed(id) {
        cdpCan[owns[id]][id][user] = ok;
    }

    function frob(uint256 id, int256 dink, int256 dart) external cdpAllowed(id) {
        vat.frob(ilks[id], urns[id], urns[id], urns[id], dink, dart);
    }

    function flux(uint256 id, address to, uint256 wad) external cdpAllowed(id) {
        vat.flux(ilks[id], urns[id], to, wad);
    }

    /// @dev For tests: a vault opened whole, collateral out of thin air, its Dai to the owner's balance in the Vat.
    function fill(uint256 id, int256 dink, int256 dart) external {
        vat.slip(ilks[id], urns[id], dink);
        vat.frob(ilks[id], urns[id], urns[id], urns[id], dink, dart);
    }
}

/// @title Where everything is: addresses by name.
contract ChainlogDouble {
    mapping(bytes32 key => address) private _found;

    function set(bytes32 key, address found) external {
        _found[key] = found;
    }

    function getAddress(bytes32 key) external view returns (address found) {
        found = _found[key];
        require(found != address(0), "dss-chain-log/invalid-key");
    }
}

/// @title Collateral types and what belongs to them.
contract IlkRegistryDouble {
    mapping(bytes32 ilk => address) public join;
    mapping(bytes32 ilk => address) public gem;

    function put(bytes32 ilk, address join_, address gem_) external {
        join[ilk] = join_;
        gem[ilk] = gem_;
    }
}

/// @title A wallet that runs other contracts' code as its own, for its owner only.
contract DsProxyDouble {
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function setOwner(address owner_) external {
        require(msg.sender == owner, "ds-auth-unauthorized");
        owner = owner_;
    }

    function execute(address target, bytes memory data) external payable returns (bytes32) {
        require(msg.sender == owner, "ds-auth-unauthorized");
        (bool ok, bytes memory answer) = target.delegatecall(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        return answer.length >= 32 ? bytes32(answer) : bytes32(0);
    }
}

/// @title What a proxy runs: pay collateral or Dai of the caller into a vault, whoever owns it; let another use its own.
contract ProxyActionsDouble {
    function cdpAllow(CdpManagerDouble manager, uint256 id, address user, uint256 ok) external {
        manager.cdpAllow(id, user, ok);
    }

    function lockGem(CdpManagerDouble manager, GemJoinDouble join, uint256 id, uint256 units, bool pull) external {
        ITokenOfMaker gem = join.gem();
        if (pull) gem.transferFrom(msg.sender, address(this), units);
        gem.approve(address(join), units);
        join.join(address(this), units);
        int256 wad = int256(units * 10 ** (18 - join.dec()));
        manager.vat().frob(manager.ilks(id), manager.urns(id), address(this), address(this), wad, 0);
    }

    function wipe(CdpManagerDouble manager, DaiJoinDouble join, uint256 id, uint256 wad) external {
        VatDouble vat = manager.vat();
        ITokenOfMaker dai = join.dai();
        dai.transferFrom(msg.sender, address(this), wad);
        dai.approve(address(join), wad);
        join.join(address(this), wad);
        bytes32 ilk = manager.ilks(id);
        address urn = manager.urns(id);
        (, uint256 rate, , , ) = vat.ilks(ilk);
        (, uint256 art) = vat.urns(ilk, urn);
        uint256 dart = wad * RAY / rate;
        if (dart > art) dart = art;
        vat.frob(ilk, urn, address(this), address(this), 0, -int256(dart));
    }
}
