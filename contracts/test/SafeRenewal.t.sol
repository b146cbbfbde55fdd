// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ISafeRenewal, Line} from "../interfaces/ISafeRenewal.sol";
import {CoinOfModes, ExecutorStub, ISafe, SafeStage} from "./SafeStage.sol";
import {Vm} from "./Vm.sol";

/// @title One thing a module does, and every way in which it does not.
contract SafeRenewalTest is SafeStage {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address private constant SAFE = address(0x5AFE);
    address private constant SIGNER = address(0x519);
    uint256 private constant START_S = 1_750_000_000;
    uint256 private constant PERIOD = 1 days;
    uint256 private constant TERM = 90 days;
    uint112 private constant AMOUNT = 8e18;
    uint256 private constant ODD = 5_000_001;

    ExecutorStub private _executor;
    CoinOfModes private _coin;
    CoinOfModes private _other;
    ISafeRenewal private _renewal;

    function setUp() public {
        vm.warp(START_S);
        _becomesSafe(SAFE, SIGNER);
        _executor = new ExecutorStub(SAFE);
        (_coin, _other) = (new CoinOfModes(), new CoinOfModes());
        _coin.mint(SAFE, 1e24);
        _other.mint(SAFE, 1e24);
        Line[] memory lines = new Line[](2);
        (lines[0], lines[1]) = (Line(address(_coin), AMOUNT), Line(address(_other), ODD));
        _renewal = _module(SAFE, address(_executor), START_S + TERM, PERIOD, lines);
        _enable(SAFE, _renewal);
        _allowed(AMOUNT);
        _used(AMOUNT - 1);
        vm.warp(START_S + PERIOD);
    }

    function _allowed(uint256 units) private {
        vm.prank(SAFE);
        _coin.approve(address(_executor), units);
    }

    function _used(uint256 units) private {
        _executor.take(_coin, units);
    }

    function _standing() private view returns (uint256) {
        return _coin.allowance(SAFE, address(_executor));
    }

    function _refused(bytes memory reason) private {
        uint256 before = _standing();
        vm.expectRevert(reason);
        _renewal.renew(address(_coin));
        require(_standing() == before, "moved");
    }

    function _made(uint256 until, uint256 period, Line[] memory lines) private {
        this.made(SAFE, address(_executor), until, period, lines);
    }

    function made(address safe, address executor, uint256 until, uint256 period, Line[] memory lines) external {
        _module(safe, executor, until, period, lines);
    }

    // --- what is constructed --------------------------------------------------------------------------------------------

    function testFuzz_made__safe_is_no_contract__is_refused(uint160 who) public {
        address safe = who % 2 == 0 ? address(0) : address(who);
        vm.assume(safe.code.length == 0);
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadSafe.selector, safe));
        this.made(safe, address(_executor), START_S + TERM, PERIOD, _line(address(_coin), 1));
    }

    function testFuzz_made__executor_is_no_contract__is_refused(uint160 who) public {
        address executor = who % 2 == 0 ? address(0) : address(who);
        vm.assume(executor.code.length == 0);
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadExecutor.selector, executor));
        this.made(SAFE, executor, START_S + TERM, PERIOD, _line(address(_coin), 1));
    }

    function testFuzz_made__executor_of_another__is_refused(address owner) public {
        vm.assume(owner != SAFE);
        address executor = address(new ExecutorStub(owner));
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.NotTheSafes.selector, executor, owner));
        this.made(SAFE, executor, START_S + TERM, PERIOD, _line(address(_coin), 1));
    }

    function testFuzz_made__until_past_or_beyond_a_year__is_refused(uint256 until) public {
        uint256 now_s = block.timestamp;
        until = until % 2 == 0 ? until % (now_s + 1) : now_s + 365 days + 1 + until % 1e30;
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadUntil.selector, until));
        _made(until, 1 hours, _line(address(_coin), 1));
    }

    function test_made__until_at_both_ends__is_taken() public {
        _made(block.timestamp + 365 days, PERIOD, _line(address(_coin), 1));
        _made(block.timestamp + 1 hours, 1 hours, _line(address(_coin), 1));
    }

    function testFuzz_made__period_too_short_or_longer_than_the_term__is_refused(uint256 period) public {
        period = period % 2 == 0 ? period % 1 hours : TERM + 1 + period % 1e30;
        uint256 until = block.timestamp + TERM;
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadPeriod.selector, period));
        _made(until, period, _line(address(_coin), 1));
    }

    function test_made__no_token_or_nine__is_refused() public {
        for (uint256 many; many < 10; many += 9) {
            Line[] memory lines = new Line[](many);
            for (uint256 i; i < many; ++i) lines[i] = Line(address(new CoinOfModes()), 1);
            vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadCount.selector, many));
            _made(START_S + TERM, PERIOD, lines);
        }
    }

    function test_made__eight_tokens__are_all_told() public {
        Line[] memory lines = new Line[](8);
        for (uint256 i; i < 8; ++i) lines[i] = Line(address(new CoinOfModes()), i + 1);
        (,,,, Line[] memory told) = _module(SAFE, address(_executor), START_S + TERM, PERIOD, lines).terms();
        require(keccak256(abi.encode(told)) == keccak256(abi.encode(lines)), "lines");
    }

    function test_made__what_is_no_token__is_refused() public {
        address[5] memory wrong = [address(0), address(0xE0A), SAFE, address(_executor), address(new NoCoin())];
        for (uint256 i; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadToken.selector, wrong[i]));
            _made(START_S + TERM, PERIOD, _line(wrong[i], 1));
        }
    }

    function test_made__a_safe_or_executor_that_answers_for_a_token__is_refused() public {
        CoinAndOwner both = new CoinAndOwner();
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadToken.selector, address(both)));
        this.made(address(both), address(both), START_S + TERM, PERIOD, _line(address(both), 1));
        ExecutorStub executor = new ExecutorStub(address(both));
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadToken.selector, address(both)));
        this.made(address(both), address(executor), START_S + TERM, PERIOD, _line(address(both), 1));
        both.setOwner(SAFE);
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadToken.selector, address(both)));
        this.made(SAFE, address(both), START_S + TERM, PERIOD, _line(address(both), 1));
    }

    function test_made__token_twice__is_refused() public {
        Line[] memory lines = new Line[](3);
        (lines[0], lines[1]) = (Line(address(_coin), 1), Line(address(_other), 2));
        lines[2] = Line(address(_coin), 3);
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.TwiceNamed.selector, address(_coin)));
        _made(START_S + TERM, PERIOD, lines);
    }

    function testFuzz_made__amount_nothing_or_without_limit__is_refused(uint256 amount) public {
        amount = amount % 4 == 0 ? 0 : amount | (1 << (112 + amount % 144));
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.BadAmount.selector, address(_coin), amount));
        _made(START_S + TERM, PERIOD, _line(address(_coin), amount));
    }

    function test_made__largest_amount__is_taken() public {
        _made(START_S + TERM, PERIOD, _line(address(_coin), type(uint112).max));
    }

    function test_terms__are_what_was_constructed() public view {
        (address safe, address executor, uint256 until, uint256 period, Line[] memory lines) = _renewal.terms();
        require(safe == SAFE && executor == address(_executor) && until == START_S + TERM && period == PERIOD, "terms");
        require(lines.length == 2 && lines[0].token == address(_coin) && lines[0].amount == AMOUNT, "line");
        require(_renewal.readyAt(address(_coin)) == START_S + PERIOD, "ready");
    }

    // --- what is refused ------------------------------------------------------------------------------------------------

    function testFuzz_renew__token_not_named__is_refused(address token) public {
        vm.assume(token != address(_coin) && token != address(_other));
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.TokenUnknown.selector, token));
        _renewal.renew(token);
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.TokenUnknown.selector, token));
        _renewal.readyAt(token);
    }

    function testFuzz_renew__after_its_end__is_refused(uint64 late) public {
        vm.warp(START_S + TERM + 1 + late);
        _refused(abi.encodeWithSelector(ISafeRenewal.Ended.selector, START_S + TERM));
    }

    function testFuzz_renew__before_the_first_period_is_over__is_refused(uint256 early) public {
        vm.warp(START_S + early % PERIOD);
        _refused(abi.encodeWithSelector(ISafeRenewal.TooEarly.selector, address(_coin), START_S + PERIOD));
    }

    function testFuzz_renew__twice_within_a_period__is_refused(uint256 after_, uint256 again) public {
        uint256 first = START_S + PERIOD + after_ % 10 days;
        vm.warp(first);
        _renewal.renew(address(_coin));
        _used(AMOUNT);
        vm.warp(first + again % PERIOD);
        _refused(abi.encodeWithSelector(ISafeRenewal.TooEarly.selector, address(_coin), first + PERIOD));
        vm.warp(first + PERIOD);
        _renewal.renew(address(_coin));
    }

    function test_renew__executor_paused__is_refused() public {
        _executor.setPaused(true);
        _refused(abi.encodeWithSelector(ISafeRenewal.ExecutorPaused.selector));
        _executor.setPaused(false);
        _renewal.renew(address(_coin));
    }

    function test_renew__disabled_by_the_safe__is_refused() public {
        vm.prank(SAFE);
        ISafe(SAFE).disableModule(MODULES_HEAD, address(_renewal));
        _refused(abi.encodeWithSelector(ISafeRenewal.NotEnabled.selector));
    }

    function testFuzz_renew__more_than_half_stands__is_refused_and_takes_nothing_away(uint256 more) public {
        uint256 standing = AMOUNT / 2 + 1 + more % (more % 2 == 0 ? AMOUNT / 2 : 1e30);
        _allowed(standing);
        _refused(abi.encodeWithSelector(ISafeRenewal.NotUsed.selector, address(_coin), standing));
    }

    function test_renew__token_that_refuses__is_refused() public {
        CoinOfModes.Mode[5] memory modes = [
            CoinOfModes.Mode.SAYS_NO,
            CoinOfModes.Mode.SAYS_TWO,
            CoinOfModes.Mode.SAYS_SHORT,
            CoinOfModes.Mode.REFUSES,
            CoinOfModes.Mode.NO_AFTER_NOTHING
        ];
        for (uint256 i; i < modes.length; ++i) {
            _coin.setMode(modes[i]);
            _refused(abi.encodeWithSelector(ISafeRenewal.ApproveFailed.selector, address(_coin)));
        }
        _coin.setMode(CoinOfModes.Mode.PLAIN);
        _renewal.renew(address(_coin));
    }

    function test_renew__token_that_lies__is_refused() public {
        _coin.setMode(CoinOfModes.Mode.LIES);
        _refused(abi.encodeWithSelector(ISafeRenewal.AllowanceWrong.selector, address(_coin), AMOUNT + 1, AMOUNT));
    }

    /// @dev The other token is due as well: only the lock keeps it from being renewed in the middle.
    function test_renew__token_calls_back__meets_the_lock() public {
        _coin.callsBack(address(_renewal), address(_other));
        _renewal.renew(address(_coin));
        require(
            bytes4(_coin.refusal()) == ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector, "no lock"
        );
        require(_other.approvals() == 0 && _coin.approvals() == 2, "renewed in the middle");
    }

    /// @dev For its own token it would be early besides: the clock is set before anybody is called.
    function test_renew__all_errors__are_asked_in_order() public {
        vm.warp(START_S + TERM + 1);
        _executor.setPaused(true);
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.TokenUnknown.selector, SAFE));
        _renewal.renew(SAFE);
        _refused(abi.encodeWithSelector(ISafeRenewal.Ended.selector, START_S + TERM));
        vm.warp(START_S + PERIOD - 1);
        _refused(abi.encodeWithSelector(ISafeRenewal.TooEarly.selector, address(_coin), START_S + PERIOD));
        vm.warp(START_S + PERIOD);
        _refused(abi.encodeWithSelector(ISafeRenewal.ExecutorPaused.selector));
    }

    // --- what is done ---------------------------------------------------------------------------------------------------

    function testFuzz_renew__by_anybody__allows_exactly_the_amount(address who, uint256 used, uint256 when) public {
        vm.assume(who != address(vm));
        _allowed(AMOUNT);
        _used(AMOUNT / 2 + used % (AMOUNT / 2 + 1));
        when = START_S + PERIOD + when % (TERM - PERIOD + 1);
        vm.warp(when);
        vm.prank(who);
        _renewal.renew(address(_coin));
        require(_standing() == AMOUNT, "amount");
        require(_renewal.readyAt(address(_coin)) == when + PERIOD, "clock");
        require(_renewal.readyAt(address(_other)) == START_S + PERIOD, "the other's clock");
        require(_other.approvals() == 0, "the other's allowance");
    }

    function test_renew__in_the_last_second__is_done() public {
        vm.warp(START_S + TERM);
        _renewal.renew(address(_coin));
        require(_standing() == AMOUNT, "amount");
    }

    /// @dev Or a liquidator would start the clock for cents, and the second fall of a night would find one amount less.
    function test_renew__half_used_and_a_unit_less__are_told_apart() public {
        _allowed(AMOUNT);
        _refused(abi.encodeWithSelector(ISafeRenewal.NotUsed.selector, address(_coin), AMOUNT));
        _used(1);
        _refused(abi.encodeWithSelector(ISafeRenewal.NotUsed.selector, address(_coin), AMOUNT - 1));
        _used(AMOUNT / 2 - 2);
        _refused(abi.encodeWithSelector(ISafeRenewal.NotUsed.selector, address(_coin), AMOUNT / 2 + 1));
        require(_renewal.readyAt(address(_coin)) == START_S + PERIOD, "clock");
        _used(1);
        _renewal.renew(address(_coin));
        require(_standing() == AMOUNT, "amount");
    }

    function test_renew__half_of_an_odd_amount__is_rounded_down() public {
        vm.prank(SAFE);
        _other.approve(address(_executor), ODD / 2 + 1);
        vm.expectRevert(abi.encodeWithSelector(ISafeRenewal.NotUsed.selector, address(_other), ODD / 2 + 1));
        _renewal.renew(address(_other));
        _executor.take(_other, 1);
        _renewal.renew(address(_other));
        require(_other.allowance(SAFE, address(_executor)) == ODD, "amount");
    }

    function test_renew__from_a_revoked_allowance__allows_again() public {
        _allowed(0);
        _renewal.renew(address(_coin));
        require(_standing() == AMOUNT, "amount");
    }

    function test_renew__token_without_an_answer__is_done_at_once() public {
        _coin.setMode(CoinOfModes.Mode.SILENT);
        _renewal.renew(address(_coin));
        require(_standing() == AMOUNT && _coin.approvals() == 2, "silent");
    }

    function test_renew__token_that_goes_by_nothing__is_set_to_nothing_first() public {
        _coin.setMode(CoinOfModes.Mode.FROM_NOTHING_ONLY);
        _renewal.renew(address(_coin));
        require(_standing() == AMOUNT, "amount");
    }

    function test_renew__leaves_the_safe_as_it_was() public {
        vm.deal(SAFE, 3 ether);
        (uint256 nonce, uint256 held) = (ISafe(SAFE).nonce(), _coin.balanceOf(SAFE));
        _renewal.renew(address(_coin));
        require(SAFE.balance == 3 ether && _coin.balanceOf(SAFE) == held && ISafe(SAFE).nonce() == nonce, "the Safe");
        require(ISafe(SAFE).getThreshold() == 1 && ISafe(SAFE).getOwners()[0] == SIGNER, "its owners");
    }
}

/// @title Whoever may call, an Executor that takes all it can, a Safe that revokes and enables, and time.
contract RenewalHandler is SafeStage {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address internal constant SAFE = address(0x5AFE);
    uint256 private constant PERIOD = 6 hours;
    uint256 private constant TERM = 30 days;

    string public broken;
    uint256 public renewals;
    ISafeRenewal private immutable RENEWAL;
    ExecutorStub private immutable EXECUTOR;
    CoinOfModes[2] private _coins;
    uint256[2] private _amounts = [uint256(8e18), 5_000_001];
    uint256[2] private _taken;
    uint256[2] private _given;
    uint256[2] private _last;
    uint256 private immutable STARTED_S;

    constructor() {
        vm.warp(1_750_000_000);
        STARTED_S = block.timestamp;
        _becomesSafe(SAFE, address(0x519));
        EXECUTOR = new ExecutorStub(SAFE);
        Line[] memory lines = new Line[](2);
        for (uint256 i; i < 2; ++i) {
            _coins[i] = new CoinOfModes();
            _coins[i].mint(SAFE, 1e30);
            _coins[i].setMode(i == 0 ? CoinOfModes.Mode.PLAIN : CoinOfModes.Mode.FROM_NOTHING_ONLY);
            lines[i] = Line(address(_coins[i]), _amounts[i]);
            _last[i] = block.timestamp;
        }
        RENEWAL = _module(SAFE, address(EXECUTOR), block.timestamp + TERM, PERIOD, lines);
        _enable(SAFE, RENEWAL);
        vm.deal(SAFE, 1 ether);
    }

    function wait(uint256 seconds_) external {
        vm.warp(block.timestamp + seconds_ % (PERIOD + PERIOD / 2));
    }

    /// @dev Called at random and once it is due: it goes through exactly when it may.
    function renew(address who, uint256 which) external {
        if (who == address(vm)) return;
        uint256 i = which % 2;
        uint256 standing = _standing(i);
        bool may = block.timestamp <= STARTED_S + TERM && block.timestamp >= _last[i] + PERIOD && !EXECUTOR.paused()
            && ISafe(SAFE).isModuleEnabled(address(RENEWAL)) && standing <= _amounts[i] / 2;
        vm.prank(who);
        (bool ok,) = address(RENEWAL).call(abi.encodeCall(ISafeRenewal.renew, (address(_coins[i]))));
        if (ok != may) broken = may ? "refused what may be renewed" : "renewed what may not be";
        if (!ok) return;
        renewals++;
        _last[i] = block.timestamp;
        _given[i] += _amounts[i];
        if (_standing(i) != _amounts[i]) broken = "another amount";
    }

    function take(uint256 units, uint256 which) external {
        uint256 i = which % 2;
        units = units % 3 == 0 ? _standing(i) : units % (_standing(i) + 1);
        EXECUTOR.take(_coins[i], units);
        _taken[i] += units;
    }

    function pause(bool paused) external {
        EXECUTOR.setPaused(paused);
    }

    /// @dev Enabled more often than not, or nothing would be seen.
    function toggle(uint256 how) external {
        bool on = ISafe(SAFE).isModuleEnabled(address(RENEWAL));
        if (on == (how % 4 != 0)) return;
        vm.prank(SAFE);
        if (on) ISafe(SAFE).disableModule(MODULES_HEAD, address(RENEWAL));
        else ISafe(SAFE).enableModule(address(RENEWAL));
    }

    function revoke(uint256 which) external {
        vm.prank(SAFE);
        // one of the two answers nothing
        (bool ok,) = address(_coins[which % 2]).call(abi.encodeCall(CoinOfModes.approve, (address(EXECUTOR), 0)));
        require(ok);
    }

    /// @dev Any other call to the module is refused, whatever its bytes.
    function callAnything(bytes calldata data) external {
        if (data.length >= 4 && bytes4(data) == ISafeRenewal.renew.selector) return;
        (bool ok,) = address(RENEWAL).call{value: 0}(data);
        bytes4 word = data.length < 4 ? bytes4(0) : bytes4(data);
        if (ok && word != ISafeRenewal.terms.selector && word != ISafeRenewal.readyAt.selector) broken = "a door";
    }

    function check() external view {
        require(bytes(broken).length == 0, broken);
        for (uint256 i; i < 2; ++i) {
            uint256 most = _amounts[i] * ((block.timestamp - STARTED_S) / PERIOD);
            require(_given[i] <= most, "renewed more often than once a period");
            require(_taken[i] <= _given[i], "more was taken than was renewed");
            require(_coins[i].balanceOf(SAFE) + _taken[i] == 1e30, "it went elsewhere");
            require(_standing(i) <= _amounts[i], "more allowed than the amount");
        }
        require(SAFE.balance == 1 ether && ISafe(SAFE).nonce() == 0, "the Safe sent something");
        require(ISafe(SAFE).getThreshold() == 1 && ISafe(SAFE).getOwners().length == 1, "its owners");
    }

    function _standing(uint256 i) private view returns (uint256) {
        return _coins[i].allowance(SAFE, address(EXECUTOR));
    }
}

/// @dev Not called by the name of the Executor's campaigns: these sequences are part of the ordinary run.
contract SafeRenewalLawTest {
    RenewalHandler private _handler;

    function setUp() public {
        _handler = new RenewalHandler();
    }

    function targetContracts() external view returns (address[] memory found) {
        found = new address[](1);
        found[0] = address(_handler);
    }

    function invariant_module__whatever_is_called__gives_an_amount_a_period_and_nothing_else() external view {
        _handler.check();
    }
}

/// @dev Answers everything with one byte.
contract NoCoin {
    fallback() external {
        assembly {
            mstore8(0, 1)
            return(0, 1)
        }
    }
}

/// @dev A Safe or an Executor that has allowances too.
contract CoinAndOwner {
    address private _owner = address(this);

    function setOwner(address owner_) external {
        _owner = owner_;
    }

    function owner() external view returns (address) {
        return _owner;
    }

    function allowance(address, address) external pure returns (uint256) {
        return 0;
    }
}
