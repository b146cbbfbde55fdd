// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Doubles of three timelocks behind which markets are changed, with the events and views of the real ones. None of
// them checks a vote, and a delay may be anything: they must never rule over anything of value.

/// @title Compound's Timelock: an admin queues calls, which the timelock itself makes when their time has come.
contract TimelockDouble {
    event QueueTransaction(
        bytes32 indexed txHash, address indexed target, uint256 value, string signature, bytes data, uint256 eta
    );
    event CancelTransaction(
        bytes32 indexed txHash, address indexed target, uint256 value, string signature, bytes data, uint256 eta
    );
    event ExecuteTransaction(
        bytes32 indexed txHash, address indexed target, uint256 value, string signature, bytes data, uint256 eta
    );

    uint256 public constant GRACE_PERIOD = 14 days;
    address public immutable admin;
    uint256 public immutable delay;
    mapping(bytes32 => bool) public queuedTransactions;

    constructor(uint256 delay_) {
        admin = msg.sender;
        delay = delay_;
    }

    function queueTransaction(address target, uint256 value, string calldata signature, bytes calldata data, uint256 eta)
        external
        returns (bytes32 id)
    {
        require(msg.sender == admin, "Timelock::queueTransaction: Call must come from admin.");
        require(eta >= block.timestamp + delay, "Timelock::queueTransaction: Estimated execution block must satisfy delay.");
        id = keccak256(abi.encode(target, value, signature, data, eta));
        queuedTransactions[id] = true;
        emit QueueTransaction(id, target, value, signature, data, eta);
    }

    function cancelTransaction(address target, uint256 value, string calldata signature, bytes calldata data, uint256 eta)
        external
    {
        require(msg.sender == admin, "Timelock::cancelTransaction: Call must come from admin.");
        bytes32 id = keccak256(abi.encode(target, value, signature, data, eta));
        queuedTransactions[id] = false;
        emit CancelTransaction(id, target, value, signature, data, eta);
    }

    function executeTransaction(address target, uint256 value, string calldata signature, bytes calldata data, uint256 eta)
        external
    {
        require(msg.sender == admin, "Timelock::executeTransaction: Call must come from admin.");
        bytes32 id = keccak256(abi.encode(target, value, signature, data, eta));
        require(queuedTransactions[id], "Timelock::executeTransaction: Transaction hasn't been queued.");
        require(block.timestamp >= eta, "Timelock::executeTransaction: Transaction hasn't surpassed time lock.");
        require(block.timestamp <= eta + GRACE_PERIOD, "Timelock::executeTransaction: Transaction is stale.");
        queuedTransactions[id] = false;
        bytes memory sent = bytes(signature).length == 0 ? data : abi.encodePacked(bytes4(keccak256(bytes(signature))), data);
        (bool ok, ) = target.call{value: value}(sent);
        require(ok, "Timelock::executeTransaction: Transaction execution reverted.");
        emit ExecuteTransaction(id, target, value, signature, data, eta);
    }
}

/// @title Aave's PayloadsController and its executor in one: payloads of actions, run by anybody after their delay.
contract PayloadsDouble {
    struct Action {
        address target;
        bool withDelegateCall;
        uint8 accessLevel;
        uint256 value;
        string signature;
        bytes callData;
    }

    struct Payload {
        address creator;
        uint8 maximumAccessLevelRequired;
        uint8 state;
        uint40 createdAt;
        uint40 queuedAt;
        uint40 executedAt;
        uint40 cancelledAt;
        uint40 expirationTime;
        uint40 delay;
        uint40 gracePeriod;
        Action[] actions;
    }

    uint40 public getPayloadsCount;
    uint40 private immutable _delay;
    mapping(uint40 => Payload) private _payloads;

    constructor(uint40 delay_) {
        _delay = delay_;
    }

    function createPayload(Action[] calldata actions) external returns (uint40 id) {
        id = getPayloadsCount++;
        Payload storage made = _payloads[id];
        (made.creator, made.maximumAccessLevelRequired, made.state) = (msg.sender, 1, 1);
        (made.createdAt, made.expirationTime) = (uint40(block.timestamp), uint40(block.timestamp + 35 days));
        (made.delay, made.gracePeriod) = (_delay, 7 days);
        for (uint256 i = 0; i < actions.length; i++) made.actions.push(actions[i]);
    }

    /// @dev What a message from the chain of the vote does on the real one.
    function queuePayload(uint40 id) external {
        require(getPayloadState(id) == 1, "not created");
        (_payloads[id].state, _payloads[id].queuedAt) = (2, uint40(block.timestamp));
    }

    function cancelPayload(uint40 id) external {
        (_payloads[id].state, _payloads[id].cancelledAt) = (4, uint40(block.timestamp));
    }

    function executePayload(uint40 id) external payable {
        Payload storage made = _payloads[id];
        require(getPayloadState(id) == 2, "not queued");
        require(block.timestamp > made.queuedAt + made.delay, "timelock not finished");
        (made.state, made.executedAt) = (3, uint40(block.timestamp));
        for (uint256 i = 0; i < made.actions.length; i++) _run(made.actions[i]);
    }

    function getPayloadById(uint40 id) external view returns (Payload memory made) {
        made = _payloads[id];
        made.state = getPayloadState(id);
    }

    function getPayloadState(uint40 id) public view returns (uint8) {
        Payload storage made = _payloads[id];
        if (made.state == 1 && block.timestamp >= made.expirationTime) return 5;
        if (made.state == 2 && block.timestamp >= made.queuedAt + made.delay + made.gracePeriod) return 5;
        return made.state;
    }

    function _run(Action storage action) private {
        bytes memory sent = bytes(action.signature).length == 0
            ? action.callData
            : abi.encodePacked(bytes4(keccak256(bytes(action.signature))), action.callData);
        (bool ok, ) = action.withDelegateCall
            ? action.target.delegatecall(sent)
            : action.target.call{value: action.value}(sent);
        require(ok, "an action failed");
    }
}

/// @title Maker's DSPause: plans are plotted, and run by anybody as a delegatecall once their time has come.
contract PauseDouble {
    event LogNote(bytes4 indexed sig, address indexed guy, bytes32 indexed foo, bytes32 indexed bar, uint256 wad, bytes fax) anonymous;

    uint256 public immutable delay;
    mapping(bytes32 => bool) public plans;

    constructor(uint256 delay_) {
        delay = delay_;
    }

    function plot(address usr, bytes32 tag, bytes calldata fax, uint256 eta) external {
        require(eta >= block.timestamp + delay, "ds-pause-delay-not-respected");
        plans[keccak256(abi.encode(usr, tag, fax, eta))] = true;
        _note();
    }

    function drop(address usr, bytes32 tag, bytes calldata fax, uint256 eta) external {
        plans[keccak256(abi.encode(usr, tag, fax, eta))] = false;
        _note();
    }

    function exec(address usr, bytes32 tag, bytes calldata fax, uint256 eta) external {
        bytes32 id = keccak256(abi.encode(usr, tag, fax, eta));
        require(plans[id], "ds-pause-unplotted-plan");
        require(usr.codehash == tag, "ds-pause-wrong-codehash");
        require(block.timestamp >= eta, "ds-pause-premature-exec");
        plans[id] = false;
        (bool ok, ) = usr.delegatecall(fax);
        require(ok, "ds-pause-delegatecall-error");
        _note();
    }

    function _note() private {
        emit LogNote(msg.sig, msg.sender, bytes32(msg.data[4:36]), bytes32(msg.data[36:68]), 0, msg.data);
    }
}

/// @title A payload as governance writes them: its address is queued, and what it does stands in its code alone.
contract CutPayloadDouble {
    address private immutable _configurator;
    address private immutable _asset;
    uint256 private immutable _ltv;
    uint256 private immutable _threshold;
    uint256 private immutable _bonus;

    constructor(address configurator, address asset, uint256 ltv, uint256 threshold, uint256 bonus) {
        (_configurator, _asset, _ltv, _threshold, _bonus) = (configurator, asset, ltv, threshold, bonus);
    }

    function execute() external {
        (bool ok, ) = _configurator.call(
            abi.encodeWithSignature(
                "configureReserveAsCollateral(address,uint256,uint256,uint256)", _asset, _ltv, _threshold, _bonus
            )
        );
        require(ok, "configurator");
    }
}
