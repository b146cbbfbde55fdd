// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Spent} from "../interfaces/IExecutor.sol";

/// @title What was spent in the running epoch.
/// @dev Epochs lie on a grid from 1970, so that nothing a bot does can move where one begins.
library Spending {
    /// @notice Book both amounts and return the new totals. The caller compares them with the caps.
    function book(Spent storage spent, uint256 epoch, uint256 sold, uint256 funded)
        internal
        returns (uint256 soldTotal, uint256 fundedTotal)
    {
        Spent memory s = spent;
        (soldTotal, fundedTotal) = (sold, funded);
        if (s.epoch == epoch) {
            soldTotal += s.sold;
            fundedTotal += s.funded;
        }
        // the totals are at most a cap of 112 bits when the call succeeds, and the call reverts when they are not
        spent.sold = uint112(soldTotal);
        spent.funded = uint112(fundedTotal);
        spent.epoch = uint32(epoch);
    }
}
