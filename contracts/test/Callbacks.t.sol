// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IAaveV3FlashReceiver} from "../interfaces/IAaveV3.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {IExecutor, Order, Source, Venues} from "../interfaces/IExecutor.sol";
import {IBalancerFlashReceiver, IMorphoBlueFlashReceiver} from "../interfaces/IFlashLenders.sol";
import {IUniswapV3Callbacks, IUniswapV3Pool} from "../interfaces/IUniswapV3.sol";
import {HostileRouter} from "../mocks/HostileRouter.sol";
import {Stage} from "./Stage.sol";

/// @title The doors through which money passes in the middle: open to one caller, once, with the bytes sent out.
contract CallbacksTest is Stage {
    function setUp() public {
        _deploy();
        _configure(20e18, 20_000e6);
        _open(OWNER, 10e18, 17_000e6);
        _grant(8e18);
        _price(2_060e8);
    }

    function _refusedFrom(address caller, bytes memory data) private {
        vm.prank(caller);
        (bool ok, bytes memory answer) = address(executor).call(data);
        require(!ok && bytes4(answer) == IExecutorErrors.CallbackCaller.selector, "not refused");
    }

    /// @dev At rest nothing is expected from anybody, whoever calls and whatever the bytes.
    function testFuzz_callbacks__nothing_expected__refuse_everybody(address caller, uint256 a, bytes memory data) public {
        // nobody calls from zero; there the digest of nothing refuses
        vm.assume(caller != address(0));
        _all(caller, a, data);
        _all(address(pool), a, data);
        _all(uniswap, a, data);
        _all(address(vault), a, data);
        _all(address(executor), a, data);
        _all(BOT, a, data);
    }

    function _all(address caller, uint256 a, bytes memory data) private {
        (address[] memory tokens, uint256[] memory amounts) = (new address[](1), new uint256[](1));
        (tokens[0], amounts[0]) = (address(usdc), a);
        _refusedFrom(
            caller,
            abi.encodeCall(IAaveV3FlashReceiver.executeOperation, (address(usdc), a, 0, address(executor), data))
        );
        _refusedFrom(caller, abi.encodeCall(IMorphoBlueFlashReceiver.onMorphoFlashLoan, (a, data)));
        _refusedFrom(caller, abi.encodeCall(IBalancerFlashReceiver.receiveFlashLoan, (tokens, amounts, amounts, data)));
        _refusedFrom(caller, abi.encodeCall(IUniswapV3Callbacks.uniswapV3FlashCallback, (0, a, data)));
        _refusedFrom(caller, abi.encodeCall(IUniswapV3Callbacks.uniswapV3SwapCallback, (int256(a), -1, data)));
    }

    /// @dev Real lenders, started by a thief in the Executor's name.
    function test_callbacks__loan_started_by_a_thief__is_refused() public {
        vm.startPrank(THIEF);
        vm.expectRevert();
        pool.flashLoanSimple(address(executor), address(usdc), 1e6, "", 0);
        (address[] memory tokens, uint256[] memory amounts) = (new address[](1), new uint256[](1));
        (tokens[0], amounts[0]) = (address(usdc), 1e6);
        vm.expectPartialRevert(IExecutorErrors.CallbackCaller.selector);
        vault.flashLoan(address(executor), tokens, amounts, "");
        vm.expectRevert();
        IUniswapV3Pool(uniswap).swap(address(executor), true, 1e6, 4295128740, "");
        vm.stopPrank();
    }

    function _during(address target, bytes memory data) private returns (uint256 broken) {
        Order memory o = _routed(
            _order(12_000e6, 5.85e18, Source.BALANCER),
            abi.encodeCall(HostileRouter.swapAnd, (address(weth), 5.85e18, address(usdc), 12_050e6, target, data))
        );
        vm.prank(BOT);
        executor.deleverage(o);
        broken = router.broken();
    }

    /// @dev In the middle of a swap the router, who is a thief, calls in.
    function test_router__in_the_middle_of_a_swap__opens_no_door() public {
        Order memory again = _order(1_000e6, 1e18, Source.UNISWAP_V3_SWAP);
        again.seq += 1;
        _eq(_during(address(executor), abi.encodeCall(IExecutor.deleverage, (again))), 0, "deleverage");
    }

    function test_router__starts_a_loan_in_the_middle_of_a_swap__opens_no_door() public {
        (address[] memory tokens, uint256[] memory amounts) = (new address[](1), new uint256[](1));
        (tokens[0], amounts[0]) = (address(usdc), 1e6);
        bytes memory data = abi.encodeCall(vault.flashLoan, (address(executor), tokens, amounts, ""));
        _eq(_during(address(vault), data), 0, "flash loan");
    }

    function test_router__starts_a_loan_with_the_pool_in_the_middle_of_a_swap__opens_no_door() public {
        bytes memory data = abi.encodeCall(pool.flashLoanSimple, (address(executor), address(usdc), 1e6, "", 0));
        _eq(_during(address(pool), data), 0, "flash loan");
    }

    /// @dev A bot who is a contract and calls again from within: the lock answers.
    function test_bot__calls_again_from_within__meets_the_lock() public {
        _grant(20e18);
        vm.prank(OWNER);
        executor.setBot(address(router), 10_000, type(uint40).max);
        Order memory again = _order(1_000e6, 1e18, Source.UNISWAP_V3_SWAP);
        again.seq += 1;
        vm.roll(block.number + 1);
        _eq(_during(address(executor), abi.encodeCall(IExecutor.deleverage, (again))), 0, "deleverage");
        bytes4 locked = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        require(router.refusal() == locked, "not by the lock");
        bytes memory data =
            abi.encodeCall(IExecutor.repayFromReserve, (id, 2, address(usdc), 1e6, type(uint64).max));
        vm.roll(block.number + 6);
        _price(1_700e8);
        Order memory o = _routed(
            _order(_repayFor(1.44e18), 1.3e18, Source.BALANCER),
            abi.encodeCall(HostileRouter.swapAnd, (address(weth), 1.3e18, address(usdc), 2_250e6, address(executor), data))
        );
        vm.prank(BOT);
        executor.deleverage(o);
        _eq(router.broken(), 0, "repay");
        require(router.refusal() == locked, "not by the lock");
    }
}

/// @title A lender who lies: same sender, other bytes; the right bytes twice; no call back; another's loan.
contract LyingVault {
    uint256 public lie;

    function setLie(uint256 lie_) external {
        lie = lie_;
    }

    function flashLoan(address to, address[] memory tokens, uint256[] memory amounts, bytes memory data) external {
        if (lie == 1) data[40] = data[40] ^ 0x01;
        if (lie == 2) amounts[0] += 1;
        if (lie == 3) return;
        uint256 kept = lie == 5 ? 1e6 : 0;
        uint256[] memory fees = new uint256[](1);
        ITransfer(tokens[0]).transfer(to, amounts[0] - kept);
        IBalancerFlashReceiver(to).receiveFlashLoan(tokens, amounts, fees, data);
        if (lie == 4) IBalancerFlashReceiver(to).receiveFlashLoan(tokens, amounts, fees, data);
    }
}

/// @title An Aave pool that says a loan was started by another, or was of something else.
contract LyingPool {
    uint256 public lie;

    function setLie(uint256 lie_) external {
        lie = lie_;
    }

    function flashLoanSimple(address to, address asset, uint256 amount, bytes calldata data, uint16) external {
        ITransfer(asset).transfer(to, amount);
        address initiator = lie == 1 ? address(0xBAD) : to;
        IAaveV3FlashReceiver(to).executeOperation(asset, lie == 2 ? amount + 1 : amount, 0, initiator, data);
    }
}

contract LyingPoolTest is Stage {
    LyingPool private _liar;

    function setUp() public {
        _liar = new LyingPool();
        _deploy();
        _mint(usdc, address(_liar), 1e12);
        _configure(20e18, 20_000e6);
        _open(OWNER, 10e18, 17_000e6);
        _grant(8e18);
        _price(2_060e8);
    }

    function _venues() internal view override returns (Venues memory venues) {
        venues = super._venues();
        venues.aaveV3Pool = address(_liar);
    }

    function _lies(uint256 lie, bytes4 selector) private {
        _liar.setLie(lie);
        Order memory o = _order(12_000e6, 6e18, Source.AAVE_V3);
        vm.expectPartialRevert(selector);
        vm.prank(BOT);
        executor.deleverage(o);
    }

    function test_callback__of_a_loan_started_by_another__is_refused() public {
        _lies(1, IExecutorErrors.CallbackInitiator.selector);
    }

    function test_callback__of_another_amount__is_refused() public {
        _lies(2, IExecutorErrors.CallbackArguments.selector);
    }
}

interface ITransfer {
    function transfer(address to, uint256 amount) external returns (bool);
}

/// @dev The vault's address is an immutable of the Executor; its code is replaced by the liar's.
contract LyingLenderTest is Stage {
    function setUp() public {
        _deploy();
        _configure(20e18, 20_000e6);
        _open(OWNER, 10e18, 17_000e6);
        _grant(8e18);
        _price(2_060e8);
        IEtch(address(vm)).etch(address(vault), address(new LyingVault()).code);
    }

    function _lies(uint256 lie, bytes4 selector) private {
        LyingVault(address(vault)).setLie(lie);
        Order memory o = _order(12_000e6, 6e18, Source.BALANCER);
        vm.expectPartialRevert(selector);
        vm.prank(BOT);
        executor.deleverage(o);
    }

    function test_callback__other_bytes__is_refused() public {
        _lies(1, IExecutorErrors.CallbackArguments.selector);
    }

    function test_callback__other_amount__is_refused() public {
        _lies(2, IExecutorErrors.CallbackArguments.selector);
    }

    function test_callback__that_never_comes__is_refused() public {
        _lies(3, IExecutorErrors.CallbackMissing.selector);
    }

    /// @dev The lender keeps a dollar of the loan; the reserve held here would pay for it.
    function test_loan__sent_short__does_not_cost_the_reserve() public {
        _mint(usdc, address(executor), 50_000e6);
        _lies(5, IExecutorErrors.ResidueMissing.selector);
    }

    function test_callback__twice__is_refused() public {
        _lies(4, IExecutorErrors.CallbackCaller.selector);
    }
}

interface IEtch {
    function etch(address target, bytes calldata code) external;
}
