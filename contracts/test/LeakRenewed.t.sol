// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ISafeRenewal} from "../interfaces/ISafeRenewal.sol";
import {LeakDrill} from "./Leak.t.sol";
import {SafeStage} from "./SafeStage.sol";
import {Vm} from "./Vm.sol";

/// @title The weeks of the stolen bot key, where the owner is a Safe whose module renews the allowance.
/// @dev The thief renews whenever the module lets him. In the bound the allowance is what stands when he begins, and a
/// renewal for each period that the week touches: `amount x (floor(week / period) + 2)`, with no slack for him to gain,
/// since a renewal is due in the moment in which he gets the key.
contract RenewedWeeks is LeakDrill, SafeStage {
    ISafeRenewal private _renewal;

    /// @dev With an argument, so that forge does not take it for a test of its own.
    constructor(bool) {}

    function _grant(uint256 units) internal override {
        _becomesSafe(OWNER, address(0x519));
        uint256 period = [uint256(4 hours), 8 hours, 1 days, 2 days, 4 days][_draw(0, 5)];
        uint256 amount = units / _draw(1, 40) + 1;
        uint256 now_s = block.timestamp;
        vm.warp(now_s - period);
        _renewal = _module(OWNER, address(executor), now_s + 30 days, period, _line(address(aWeth), amount));
        vm.warp(now_s);
        _enable(OWNER, _renewal);
        super._grant(amount);
        _w.allowance = amount * (DAYS * 1 days / period + 2);
    }

    /// @dev Every step of a week begins here; a refusal is the module's business.
    function _feedPrice(uint256 usd8) internal override {
        super._feedPrice(usd8);
        if (address(_renewal) == address(0)) return;
        vm.prank(THIEF);
        (bool ok,) = address(_renewal).call(abi.encodeCall(ISafeRenewal.renew, (address(aWeth))));
        ok;
    }
}

contract LeakRenewed {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev LEAK_FIRST, LEAK_MANY and LEAK_TRIES as in the drill that it repeats. Where nobody says how many, none is
    /// played: a seed takes longer than all other tests, which are run for each planted defect of the Executors.
    function test_leak_renewed() external {
        if (vm.envOr("LEAK_MANY", uint256(0)) == 0) return;
        RenewedWeeks weeks_ = new RenewedWeeks(true);
        weeks_.setUp();
        weeks_.test_leak_drill();
    }
}
