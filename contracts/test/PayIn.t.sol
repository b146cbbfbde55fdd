// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {IExecutor, Side} from "../interfaces/IExecutor.sol";
import {Stage} from "./Stage.sol";

/// @title The owner's own means into the position: from the reserve here first, then from the wallet.
contract PayInTest is Stage {
    uint64 private constant LATE = type(uint64).max;

    function setUp() public {
        _deploy();
        _configure(20e18, 20e18);
        _open(OWNER, 10e18, 17_000e6);
        _price(2_060e8);
        vm.startPrank(OWNER);
        usdc.approve(address(executor), 20_000e6);
        weth.approve(address(executor), 20e18);
        vm.stopPrank();
    }


    function _add(uint256 amount) private {
        uint64 seq = executor.positionOf(id).seq;
        vm.prank(BOT);
        executor.addCollateral(id, seq, address(weth), amount, LATE);
    }

    function _refusedRepay(uint256 amount, bytes4 selector) private {
        uint64 seq = executor.positionOf(id).seq;
        vm.expectPartialRevert(selector);
        vm.prank(BOT);
        executor.repayFromReserve(id, seq, address(usdc), amount, LATE);
    }

    function test_repay__from_the_wallet__reaches_target() public {
        _mint(usdc, OWNER, 6_000e6);
        uint64 seq = executor.positionOf(id).seq;
        vm.prank(BOT);
        executor.repayFromReserve(id, seq, address(usdc), 5_000e6, LATE);
        require(_health(OWNER) >= 1.4e18, "target");
        _eq(usdc.balanceOf(OWNER), 1_000e6, "took more");
        _eq(executor.positionOf(id).seq, seq + 1, "seq");
    }

    function test_repay__reserve_first__then_the_wallet() public {
        _mint(usdc, address(executor), 4_000e6);
        _mint(usdc, OWNER, 6_000e6);
        uint64 seq = executor.positionOf(id).seq;
        vm.prank(BOT);
        executor.repayFromReserve(id, seq, address(usdc), 5_000e6, LATE);
        _eq(usdc.balanceOf(address(executor)), 0, "reserve");
        _eq(usdc.balanceOf(OWNER), 5_000e6, "wallet");
    }

    function test_repay__reserve_larger__leaves_the_rest_of_it() public {
        _mint(usdc, address(executor), 9_000e6);
        uint64 seq = executor.positionOf(id).seq;
        vm.prank(BOT);
        executor.repayFromReserve(id, seq, address(usdc), 5_000e6, LATE);
        _eq(usdc.balanceOf(address(executor)), 4_000e6, "reserve");
    }

    function test_repay__more_than_is_owed__repays_all_and_takes_no_more() public {
        _mint(usdc, address(executor), 19_000e6);
        uint256 owed = dUsdc.balanceOf(OWNER);
        uint64 seq = executor.positionOf(id).seq;
        vm.prank(BOT);
        executor.repayFromReserve(id, seq, address(usdc), 19_000e6, LATE);
        _eq(dUsdc.balanceOf(OWNER), 0, "debt left");
        _eq(usdc.balanceOf(address(executor)), 19_000e6 - owed, "took more");
    }

    function test_repay__means_short__is_refused() public {
        _mint(usdc, OWNER, 4_999e6);
        _refusedRepay(5_000e6, IExecutorErrors.ReserveShort.selector);
    }

    function test_repay__allowance_short__is_refused() public {
        _mint(usdc, OWNER, 6_000e6);
        vm.prank(OWNER);
        usdc.approve(address(executor), 4_999e6);
        _refusedRepay(5_000e6, IExecutorErrors.GrantShort.selector);
    }

    function test_repay__nothing__is_refused() public {
        _refusedRepay(0, IExecutorErrors.BadAmount.selector);
    }

    function test_repay__above_the_cap__is_refused() public {
        _mint(usdc, OWNER, 6_000e6);
        vm.prank(OWNER);
        executor.setAsset(id, address(usdc), Side.DEBT, 0, 4_999e6);
        _refusedRepay(5_000e6, IExecutorErrors.SpendCap.selector);
    }

    function test_repay__healthy__is_refused() public {
        _price(3_000e8);
        _mint(usdc, OWNER, 6_000e6);
        _refusedRepay(5_000e6, IExecutorErrors.NotTriggered.selector);
    }

    /// @dev Between emergency and trigger a partial must be worth the hysteresis; below emergency a thousandth.
    function test_repay__partial__must_be_useful() public {
        _mint(usdc, OWNER, 6_000e6);
        _price(2_300e8); // 1.123
        _refusedRepay(250e6, IExecutorErrors.TargetMissed.selector); // 0.0168
        uint64 seq = executor.positionOf(id).seq;
        vm.prank(BOT);
        executor.repayFromReserve(id, seq, address(usdc), 350e6, LATE); // 0.0236
        _price(2_060e8);
        vm.roll(block.number + 5);
        _refusedRepay(10e6, IExecutorErrors.TargetMissed.selector);
        vm.prank(BOT);
        executor.repayFromReserve(id, seq + 1, address(usdc), 20e6, LATE);
    }

    function test_repay__beyond_max_health__is_refused() public {
        _mint(usdc, OWNER, 9_000e6);
        _refusedRepay(7_000e6, IExecutorErrors.MaxHealthExceeded.selector);
    }

    function test_add__from_the_wallet__reaches_target() public {
        _mint(weth, OWNER, 5e18);
        _add(4e18);
        require(_health(OWNER) >= 1.4e18, "target");
        _eq(weth.balanceOf(OWNER), 1e18, "took more");
        _eq(weth.balanceOf(address(executor)), 0, "residue");
    }

    function test_add__above_the_cap__is_refused() public {
        _mint(weth, OWNER, 5e18);
        vm.prank(OWNER);
        executor.setAsset(id, address(weth), Side.COLLATERAL, 0, 3e18);
        uint64 seq = executor.positionOf(id).seq;
        vm.expectPartialRevert(IExecutorErrors.SpendCap.selector);
        vm.prank(BOT);
        executor.addCollateral(id, seq, address(weth), 4e18, LATE);
    }

    function test_add__token_not_listed__is_refused() public {
        uint64 seq = executor.positionOf(id).seq;
        vm.expectPartialRevert(IExecutorErrors.AssetUnknown.selector);
        vm.prank(BOT);
        executor.addCollateral(id, seq, address(usdc), 4e6, LATE);
    }

    function test_add__token_takes_a_fee__is_refused() public {
        _mint(weth, OWNER, 5e18);
        // the token keeps one unit of every transfer from now on
        IEtchCode(address(vm)).etch(address(weth), address(new FeeToken()).code);
        uint64 seq = executor.positionOf(id).seq;
        vm.expectPartialRevert(IExecutorErrors.TransferShort.selector);
        vm.prank(BOT);
        executor.addCollateral(id, seq, address(weth), 4e18, LATE);
    }

    /// @dev A token that is a bot too, and asks for another payment while its own transfer is under way.
    function test_add__token_calls_back__meets_the_lock_and_nothing_moves() public {
        vm.prank(OWNER);
        executor.setBot(address(weth), 10_000, type(uint40).max);
        uint256 supplied = aWeth.balanceOf(OWNER);
        IEtchCode(address(vm)).etch(address(weth), address(new CallbackToken(executor, id)).code);
        uint64 seq = executor.positionOf(id).seq;
        vm.expectRevert(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector));
        vm.prank(BOT);
        executor.addCollateral(id, seq, address(weth), 4e18, LATE);
        _eq(aWeth.balanceOf(OWNER), supplied, "position");
        _eq(executor.positionOf(id).seq, seq, "seq");
    }

    function testFuzz_pay_in__not_a_bot__is_refused(address caller) public {
        vm.assume(caller != BOT);
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        vm.prank(caller);
        executor.repayFromReserve(id, 0, address(usdc), 1, LATE);
        vm.expectPartialRevert(IExecutorErrors.NotBot.selector);
        vm.prank(caller);
        executor.addCollateral(id, 0, address(weth), 1, LATE);
    }

    function test_pay_in__past_its_deadline__is_refused() public {
        vm.expectPartialRevert(IExecutorErrors.DeadlinePassed.selector);
        vm.prank(BOT);
        executor.repayFromReserve(id, 0, address(usdc), 1, uint64(block.timestamp - 1));
    }
}

/// @dev Everybody has plenty, and every transfer loses a unit.
contract FeeToken {
    mapping(address => uint256) private _moved;

    function balanceOf(address account) external view returns (uint256) {
        return account == address(0xA11CE) ? 1e24 : _moved[account];
    }

    function allowance(address, address) external pure returns (uint256) {
        return type(uint256).max;
    }

    function transferFrom(address, address to, uint256 amount) external returns (bool) {
        _moved[to] += amount - 1;
        return true;
    }
}

/// @dev Everybody has plenty; its transfer calls the Executor, and passes on how it was refused.
contract CallbackToken {
    IExecutor private immutable EXECUTOR;
    bytes32 private immutable ID;

    constructor(IExecutor executor, bytes32 id) {
        (EXECUTOR, ID) = (executor, id);
    }

    function balanceOf(address account) external pure returns (uint256) {
        return account == address(0xA11CE) ? 1e24 : 0;
    }

    function allowance(address, address) external pure returns (uint256) {
        return type(uint256).max;
    }

    function transferFrom(address, address, uint256 amount) external returns (bool) {
        EXECUTOR.addCollateral(ID, EXECUTOR.positionOf(ID).seq, address(this), amount, type(uint64).max);
        return true;
    }
}

interface IEtchCode {
    function etch(address target, bytes calldata code) external;
}
