// SPDX-License-Identifier: MIT
pragma solidity ^0.8.11;

// Three small libraries that the published core-contracts package lacks.

library ERC2771Context {
    /// @dev Without a trusted forwarder the sender is the sender.
    function _msgSender() internal view returns (address) {
        return msg.sender;
    }

    function _msgData() internal pure returns (bytes calldata) {
        return msg.data;
    }
}

library ForkDetector {
    function isDevFork() internal pure returns (bool) {
        return false;
    }
}

library RevertUtil {
    error Errors(bytes[] errors);

    function revertIfError(bytes memory reason) internal pure {
        if (reason.length != 0) revertWithReason(reason);
    }

    function revertWithReason(bytes memory reason) internal pure {
        assembly {
            revert(add(reason, 0x20), mload(reason))
        }
    }

    function revertManyIfError(bytes[] memory reasons) internal pure {
        for (uint256 i = 0; i < reasons.length; i++) if (reasons[i].length != 0) revert Errors(reasons);
    }
}
