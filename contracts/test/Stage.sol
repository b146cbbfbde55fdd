// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IAaveV3Oracle, IAaveV3Pool} from "../interfaces/IAaveV3.sol";
import {Asset, IExecutor, Order, Position, Side, Source, Venues} from "../interfaces/IExecutor.sol";
import {IUniswapV3Pool} from "../interfaces/IUniswapV3.sol";
import {FlashVault} from "../mocks/FlashVault.sol";
import {HostileRouter} from "../mocks/HostileRouter.sol";
import {Vm} from "./Vm.sol";

interface IFactory {
    function deploy(bytes calldata code, Venues calldata venues) external returns (address);
}

interface IFeed {
    function set(int256 answer) external;
}

interface ITestToken is IERC20 {
    function mint(address to, uint256 amount) external;
}

interface IPoolBorrow is IAaveV3Pool {
    function borrow(address asset, uint256 amount, uint256 mode, uint16 referral, address onBehalfOf) external;
}

/// @notice Trades a pool to a price, whatever it costs.
contract Trader {
    ITestToken private immutable WETH;
    ITestToken private immutable USDC;

    constructor(ITestToken weth, ITestToken usdc) {
        (WETH, USDC) = (weth, usdc);
    }

    function tradeTo(address uniswap, uint160 limit, uint160 standing) external {
        if (limit != standing) {
            IUniswapV3Pool(uniswap).swap(address(this), standing > limit, 1e40, limit, "");
        }
    }

    function uniswapV3SwapCallback(int256 amount0, int256 amount1, bytes calldata) external {
        bool wethFirst = address(WETH) < address(USDC);
        if (amount0 > 0) (wethFirst ? WETH : USDC).transfer(msg.sender, uint256(amount0));
        if (amount1 > 0) (wethFirst ? USDC : WETH).transfer(msg.sender, uint256(amount1));
    }
}

/// @title The real Aave v3.6 and Uniswap v3, one borrower of 10 WETH against 17,000 USDC, and his Executor.
/// @dev The Executor is deployed from an artifact: the committed one, or the one that EXECUTOR_ARTIFACT names, which is
/// how a planted defect is put under the same tests.
abstract contract Stage {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant WAD = 1e18;
    address internal constant OWNER = address(0xA11CE);
    address internal constant BOT = address(0xB07);
    address internal constant BOT2 = address(0xB072);
    address internal constant GUARDIAN = address(0x6A4D);
    address internal constant THIEF = address(0xBAD);
    address internal constant NEIGHBOUR = address(0x4E16);

    string internal market;
    IPoolBorrow internal pool;
    ITestToken internal weth;
    ITestToken internal usdc;
    IERC20 internal aWeth;
    IERC20 internal dUsdc;
    IAaveV3Oracle internal oracle;
    address internal uniswap;
    address internal deployer;
    FlashVault internal vault;
    HostileRouter internal router;
    Trader internal trader;
    IExecutor internal executor;
    bytes32 internal id;
    address internal feed;
    address internal dai;

    function _deploy() internal {
        vm.loadAllocs(".cache/forge/alloc.json");
        market = vm.readFile(".cache/forge/market.json");
        vm.warp(vm.parseJsonUint(market, ".timestamp") + 12);
        vm.roll(vm.parseJsonUint(market, ".number") + 1);
        pool = IPoolBorrow(_at(".pool"));
        oracle = IAaveV3Oracle(_at(".oracle"));
        weth = ITestToken(_at(".tokens.WETH.token"));
        usdc = ITestToken(_at(".tokens.USDC.token"));
        aWeth = IERC20(_at(".tokens.WETH.aToken"));
        dUsdc = IERC20(_at(".tokens.USDC.debtToken"));
        uniswap = _at(".pools.WETHUSDC");
        deployer = _at(".deployer");
        feed = _at(".tokens.WETH.feed");
        dai = _at(".tokens.DAI.token");
        vault = new FlashVault();
        router = new HostileRouter(THIEF);
        _mint(usdc, address(vault), 1e15);
        executor = IExecutor(_deployExecutor());
        id = bytes32(uint256(uint160(address(pool))));
        _mint(weth, address(router), 1e26);
        _mint(usdc, address(router), 1e20);
        trader = new Trader(weth, usdc);
        _mint(weth, address(trader), 1e26);
        _mint(usdc, address(trader), 1e20);
    }

    function _deployExecutor() internal returns (address) {
        string memory path = _artifact();
        bytes memory factoryCode = vm.parseJsonBytes(vm.readFile("contracts/artifacts/ExecutorFactory.json"), ".bytecode");
        address factory;
        assembly {
            factory := create(0, add(factoryCode, 0x20), mload(factoryCode))
        }
        bytes memory code = vm.parseJsonBytes(vm.readFile(path), ".bytecode");
        vm.prank(OWNER);
        return IFactory(factory).deploy(code, _venues());
    }

    function _artifact() internal view virtual returns (string memory) {
        return vm.envOr("EXECUTOR_ARTIFACT", "contracts/artifacts/AaveV3Executor.json");
    }

    function _venues() internal view virtual returns (Venues memory) {
        return Venues({
            aaveV3Pool: address(pool),
            morphoBlue: address(0),
            uniswapV3Factory: _at(".factory"),
            uniswapV3PoolHash: 0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54,
            balancerVault: address(vault)
        });
    }

    function _terms() internal view returns (Position memory) {
        return Position({
            trigger: 1.25e18,
            target: 1.4e18,
            max: 1.6e18,
            emergency: 1.08e18,
            hysteresis: 0.02e18,
            cooldownBlocks: 5,
            epochS: 1 days,
            expiry: uint40(block.timestamp + 300 days),
            slippageBps: 100,
            flashFeeBps: 10,
            seq: 0,
            lastBlock: 0
        });
    }

    function _configure(uint112 sellCap, uint112 fundCap) internal {
        vm.startPrank(OWNER);
        executor.setPosition(id, _terms());
        executor.setAsset(id, address(weth), Side.COLLATERAL, sellCap, fundCap);
        executor.setAsset(id, address(usdc), Side.DEBT, 0, fundCap);
        executor.setBot(BOT, 10_000, type(uint40).max);
        executor.setGuardian(GUARDIAN);
        executor.setRouter(address(router), true);
        vm.stopPrank();
        vm.roll(block.number + 5);
    }

    function _open(address who, uint256 collateral, uint256 debt) internal virtual {
        _mint(weth, who, collateral);
        vm.startPrank(who);
        weth.approve(address(pool), type(uint256).max);
        pool.supply(address(weth), collateral, who, 0);
        if (debt != 0) pool.borrow(address(usdc), debt, 2, 0, who);
        usdc.transfer(address(0xdead), usdc.balanceOf(who));
        vm.stopPrank();
    }

    function _grant(uint256 units) internal virtual {
        vm.prank(OWNER);
        aWeth.approve(address(executor), units);
    }

    /// @dev Feed and pool at one price, in whole dollars with 8 decimals.
    function _price(uint256 usd8) internal {
        _feedPrice(usd8);
        _poolPrice(usd8);
    }

    function _feedPrice(uint256 usd8) internal virtual {
        IFeed(feed).set(int256(usd8));
    }

    /// @dev Somebody trades until the pool stands there.
    function _poolPrice(uint256 usd8) internal {
        // units of USDC for a unit of WETH: usd8 x 1e6 / 1e8 / 1e18
        bool wethFirst = address(weth) < address(usdc);
        trader.tradeTo(
            uniswap,
            uint160(wethFirst ? _sqrt((usd8 << 160) / 1e20) << 16 : _sqrt((uint256(1e20) << 160) / usd8) << 16),
            uint160(uint256(vm.load(uniswap, bytes32(0))))
        );
    }

    function _sqrt(uint256 x) private pure returns (uint256 y) {
        uint256 z = (x >> 1) + 1;
        y = x;
        while (z < y) {
            y = z;
            z = (x / z + z) >> 1;
        }
    }

    function _mint(ITestToken token, address to, uint256 amount) internal {
        vm.prank(deployer);
        token.mint(to, amount);
    }

    function _health(address who) internal view virtual returns (uint256 health) {
        (,,,,, health) = pool.getUserAccountData(who);
    }

    function _order(uint256 repay, uint256 sellMax, Source source) internal view returns (Order memory o) {
        o.position = id;
        o.seq = executor.positionOf(id).seq;
        o.deadline = uint64(block.timestamp + 60);
        o.collateral = address(weth);
        o.debt = address(usdc);
        o.repay = repay;
        o.sellMax = sellMax;
        o.source = source;
        o.sourceToken = dai;
        o.sourceFee = 500;
        o.swapFee = 500;
    }

    /// @dev USDC to repay so that the owner's health becomes `target`, selling at half a per cent below the oracle:
    /// R = (T D - W) / (T - lambda (1 + f)), in USDC units.
    function _repayFor(uint256 target) internal view returns (uint256) {
        uint256 debt = dUsdc.balanceOf(OWNER);
        uint256 weighted = aWeth.balanceOf(OWNER) * oracle.getAssetPrice(address(weth)) / 1e20 * 83 / 100;
        return (target * debt / WAD - weighted) * WAD / (target - 0.83e18 * 1_005 / 1_000);
    }

    function _routed(Order memory o, bytes memory data) internal view returns (Order memory) {
        o.router = address(router);
        o.data = new bytes[](1);
        o.data[0] = data;
        return o;
    }

    function _at(string memory key) internal view returns (address) {
        return vm.parseJsonAddress(market, key);
    }

    function _eq(uint256 a, uint256 b, string memory what) internal pure {
        require(a == b, what);
    }
}
