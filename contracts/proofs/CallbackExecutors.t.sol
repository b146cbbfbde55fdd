// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Venues} from "../interfaces/IExecutor.sol";
import {IExecutorErrors} from "../interfaces/IExecutorErrors.sol";
import {IMakerVenuesOf, MakerVenues} from "../interfaces/IMaker.sol";
import {IVenuesOf} from "../interfaces/IVenuesOf.sol";
import {AaveV3Executor} from "../src/AaveV3Executor.sol";
import {CompoundV3Executor} from "../src/CompoundV3Executor.sol";
import {Executor} from "../src/Executor.sol";
import {MakerExecutor} from "../src/MakerExecutor.sol";
import {MorphoBlueExecutor} from "../src/MorphoBlueExecutor.sol";
import {Pranks, Symbols} from "./CallbackCaller.t.sol";

/// @title While nothing is expected, an Executor takes no callback: whoever calls, whichever, with whatever it carries.
/// @dev `make halmos`. What is expected, and by whom, is the library's: CallbackCallerProof. Here it is shown of each
/// Executor's own code that no way leads past that gate.
abstract contract CallbackExecutorsProof is IVenuesOf {
    Symbols private constant svm = Symbols(0xF3993A62377BCd56AE39D773740A5390411E8BC9);
    Pranks private constant vm = Pranks(address(uint160(uint256(keccak256("hevm cheat code")))));

    Executor internal _executor;

    function parameters() external view returns (address, Venues memory) {
        return (address(this), Venues(address(0xAA), address(0xBB), address(0xCC), bytes32(uint256(1)), address(0xDD)));
    }

    function check_aave_lends_nothing_unasked(address caller, uint256 amount, uint256 fee) public {
        bytes memory data = svm.createBytes(96, "data");
        _refused(caller, abi.encodeCall(_executor.executeOperation, (_who(), amount, fee, _who(), data)));
    }

    function check_morpho_lends_nothing_unasked(address caller, uint256 amount) public {
        _refused(caller, abi.encodeCall(_executor.onMorphoFlashLoan, (amount, svm.createBytes(96, "data"))));
    }

    function check_a_pool_lends_nothing_unasked(address caller, uint256 fee0, uint256 fee1) public {
        bytes memory data = svm.createBytes(96, "data");
        _refused(caller, abi.encodeCall(_executor.uniswapV3FlashCallback, (fee0, fee1, data)));
    }

    function check_a_pool_swaps_nothing_unasked(address caller, int256 amount0, int256 amount1) public {
        bytes memory data = svm.createBytes(96, "data");
        _refused(caller, abi.encodeCall(_executor.uniswapV3SwapCallback, (amount0, amount1, data)));
    }

    function check_balancer_lends_nothing_unasked(address caller, uint256 amount, uint256 fee) public {
        (uint256[] memory amounts, uint256[] memory fees) = (new uint256[](1), new uint256[](1));
        address[] memory tokens = new address[](1);
        (tokens[0], amounts[0], fees[0]) = (_who(), amount, fee);
        bytes memory data = svm.createBytes(96, "data");
        _refused(caller, abi.encodeCall(_executor.receiveFlashLoan, (tokens, amounts, fees, data)));
    }

    function _who() private pure returns (address) {
        return svm.createAddress("who");
    }

    /// @dev By the gate and by nothing else. Nobody calls from the address zero.
    function _refused(address caller, bytes memory data) private {
        vm.assume(caller != address(0));
        vm.prank(caller);
        (bool taken, bytes memory why) = address(_executor).call(data);
        assert(!taken && bytes4(why) == IExecutorErrors.CallbackCaller.selector);
    }
}

contract AaveV3ExecutorProof is CallbackExecutorsProof {
    function setUp() public {
        _executor = new AaveV3Executor();
    }
}

contract MorphoBlueExecutorProof is CallbackExecutorsProof {
    function setUp() public {
        _executor = new MorphoBlueExecutor();
    }
}

contract CompoundV3ExecutorProof is CallbackExecutorsProof {
    function setUp() public {
        _executor = new CompoundV3Executor();
    }
}

/// @dev It plays the vault system itself: what an Executor asks while it is made.
contract MakerExecutorProof is CallbackExecutorsProof, IMakerVenuesOf {
    function setUp() public {
        _executor = new MakerExecutor();
    }

    function maker() external view returns (MakerVenues memory) {
        return MakerVenues(address(this), address(this), address(this), address(this), address(this));
    }

    function vat() external view returns (address) {
        return address(this);
    }

    function wards(address) external pure returns (uint256) {
        return 1;
    }

    function dai() external pure returns (address) {
        return address(0xDA);
    }
}
