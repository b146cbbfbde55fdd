// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ISafeRenewal, Line} from "../interfaces/ISafeRenewal.sol";
import {Vm} from "./Vm.sol";

interface ISafe {
    function setup(
        address[] calldata owners,
        uint256 threshold,
        address to,
        bytes calldata data,
        address fallbackHandler,
        address paymentToken,
        uint256 payment,
        address payable paymentReceiver
    ) external;
    function enableModule(address module) external;
    function disableModule(address prevModule, address module) external;
    function isModuleEnabled(address module) external view returns (bool);
    function nonce() external view returns (uint256);
    function getThreshold() external view returns (uint256);
    function getOwners() external view returns (address[] memory);
}

interface IEtch {
    function etch(address target, bytes calldata code) external;
}

/// @title A real Safe, from the bytecode of its npm package, at any address; and the module from its artifact.
/// @dev SAFE_RENEWAL_ARTIFACT names another artifact, which is how a planted defect is put under the same tests.
abstract contract SafeStage {
    Vm private constant CHEATS = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    string private constant BUILD = "anvil/node_modules/@safe-global/safe-smart-account/build/artifacts/contracts/";
    address internal constant MODULES_HEAD = address(1);

    /// @dev A Safe of one signer. Its proxy's code is put there as it is; what it holds is written by its own `setup`.
    function _becomesSafe(address at, address signer) internal {
        address singleton = _create(_code(string.concat(BUILD, "Safe.sol/Safe.json")));
        bytes memory proxy = _code(string.concat(BUILD, "proxies/SafeProxy.sol/SafeProxy.json"));
        address made = _create(bytes.concat(proxy, abi.encode(singleton)));
        IEtch(address(CHEATS)).etch(at, made.code);
        CHEATS.store(at, bytes32(0), bytes32(uint256(uint160(singleton))));
        address[] memory owners = new address[](1);
        owners[0] = signer;
        ISafe(at).setup(owners, 1, address(0), "", address(0), address(0), 0, payable(address(0)));
    }

    /// @dev Reverts in the constructor's own words.
    function _module(address safe, address executor, uint256 until, uint256 period, Line[] memory lines)
        internal
        returns (ISafeRenewal)
    {
        bytes memory code = _code(CHEATS.envOr("SAFE_RENEWAL_ARTIFACT", "contracts/artifacts/SafeRenewal.json"));
        return ISafeRenewal(_create(bytes.concat(code, abi.encode(safe, executor, until, period, lines))));
    }

    function _enable(address safe, ISafeRenewal module) internal {
        CHEATS.prank(safe);
        ISafe(safe).enableModule(address(module));
    }

    function _line(address token, uint256 amount) internal pure returns (Line[] memory lines) {
        lines = new Line[](1);
        lines[0] = Line(token, amount);
    }

    function _create(bytes memory code) internal returns (address made) {
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    function _code(string memory path) private view returns (bytes memory) {
        return CHEATS.parseJsonBytes(CHEATS.readFile(path), ".bytecode");
    }
}

/// @notice What a module asks of an Executor, and a spender.
contract ExecutorStub {
    address public owner;
    bool public paused;

    constructor(address owner_) {
        owner = owner_;
    }

    function setPaused(bool paused_) external {
        paused = paused_;
    }

    function take(CoinOfModes coin, uint256 amount) external {
        coin.transferFrom(owner, address(this), amount);
    }
}

/// @notice A token whose `approve` answers in one of the ways that there are.
contract CoinOfModes {
    enum Mode {
        PLAIN,
        SILENT,
        FROM_NOTHING_ONLY,
        SAYS_NO,
        SAYS_TWO,
        SAYS_SHORT,
        REFUSES,
        LIES,
        NO_AFTER_NOTHING,
        CALLS_BACK
    }

    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    Mode public mode;
    uint256 public approvals;
    bytes public refusal;

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        approvals++;
        if (mode == Mode.REFUSES) revert("no");
        if (mode == Mode.SAYS_NO || (mode == Mode.NO_AFTER_NOTHING && amount != 0)) return false;
        if (mode == Mode.FROM_NOTHING_ONLY && amount != 0 && allowance[msg.sender][spender] != 0) revert("from 0");
        allowance[msg.sender][spender] = mode == Mode.LIES ? amount + 1 : amount;
        if (mode == Mode.CALLS_BACK) _callBack();
        if (mode == Mode.SILENT || mode == Mode.FROM_NOTHING_ONLY) assembly { return(0, 0) }
        if (mode == Mode.SAYS_SHORT) assembly { mstore8(0, 1) return(0, 1) }
        if (mode == Mode.SAYS_TWO) assembly { mstore(0, 2) return(0, 32) }
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    address private _module;
    address private _other;

    function callsBack(address module, address other) external {
        (mode, _module, _other) = (Mode.CALLS_BACK, module, other);
    }

    /// @dev Asks for another renewal while its own is under way, and keeps how it was refused.
    function _callBack() private {
        (bool ok, bytes memory answer) = _module.call(abi.encodeCall(ISafeRenewal.renew, (_other)));
        refusal = ok ? bytes("it went through") : answer;
    }
}
