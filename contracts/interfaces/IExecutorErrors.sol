// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Every refusal of the Executor, in one place.
/// @notice The daemon's guard mirrors the refusals of bot calls under the names in docs/TRUST.md. One more stands in
/// OpenZeppelin's lock: `ReentrancyGuardReentrantCall()`, a call made while another is in flight.
interface IExecutorErrors {
    // --- who may call -----------------------------------------------------------------------------------------------

    /// @notice Only the owner configures, unpauses and rescues.
    error NotOwner(address caller);
    /// @notice Not one of the owner's bots, or one whose term has ended.
    error NotBot(address caller);
    /// @notice Only owner and guardian pause.
    error NotGuardian(address caller);
    /// @notice The owner or the guardian stopped all bots.
    error IsPaused();

    // --- when ---------------------------------------------------------------------------------------------------------

    /// @notice The owner never configured this position, or removed it.
    error PositionUnknown(bytes32 position);
    /// @notice The token is not on the position's list for this side.
    error AssetUnknown(bytes32 position, address token);
    /// @notice A plan that was carried out already, or one made before another.
    error WrongSeq(uint256 expected, uint256 given);
    /// @notice The owner's policy has ended.
    error PolicyExpired(uint256 expiry);
    /// @notice The plan is too old.
    error DeadlinePassed(uint256 deadline);
    /// @notice Health is at the trigger or above it: nothing is owed, so nothing is spent.
    error NotTriggered(uint256 health, uint256 trigger);
    /// @notice The last action on this position is too recent.
    error CoolingDown(uint256 untilBlock);

    // --- what ---------------------------------------------------------------------------------------------------------

    /// @notice An amount of nothing, or more than any cap can hold.
    error BadAmount(uint256 amount);
    /// @notice The router is not on the owner's list, or the call names no way to swap.
    error RouterUnknown(address router);
    /// @notice This chain has no such flash source, or the pool named does not exist.
    error SourceUnavailable(uint8 source);
    /// @notice The protocol's oracle has no price for the token.
    error NoPrice(address token);
    /// @notice The lender asks more for the flash loan than the owner allows.
    error FlashFeeTooHigh(uint256 fee, uint256 feeMax);

    // --- callbacks ----------------------------------------------------------------------------------------------------

    /// @notice Called back by a contract from which nothing is expected now.
    error CallbackCaller(address caller);
    /// @notice The flash loan was started by somebody else.
    error CallbackInitiator(address initiator);
    /// @notice The arguments are not those that were sent out.
    error CallbackArguments();
    /// @notice The lender or pool returned without calling back.
    error CallbackMissing();

    // --- money --------------------------------------------------------------------------------------------------------

    /// @notice The owner's allowance is missing, too small or revoked.
    error GrantShort(address token, uint256 allowance, uint256 wanted);
    /// @notice Reserve and wallet together hold less than the plan would spend.
    error ReserveShort(address token, uint256 available, uint256 wanted);
    /// @notice A transfer moved another amount than it was told: the token takes a fee, or lies.
    error TransferShort(address token, uint256 expected, uint256 received);
    /// @notice More collateral would leave than the plan said.
    error SellLimit(uint256 sold, uint256 sellMax);
    /// @notice The swap paid less than the oracle's price less the owner's slippage.
    error SlippageExceeded(uint256 sold, uint256 bought);
    /// @notice The router call reverted.
    error SwapFailed(bytes reason);
    /// @notice The swap does not pay back what was borrowed.
    error SwapShort(uint256 bought, uint256 needed);
    /// @notice The position's cap of this epoch would be passed.
    error SpendCap(uint256 spent, uint256 cap);
    /// @notice This bot's share of the cap would be passed.
    error BotCap(uint256 spent, uint256 cap);
    /// @notice The Executor holds less of the token than before the call.
    error ResidueMissing(address token, uint256 before, uint256 left);

    // --- after --------------------------------------------------------------------------------------------------------

    /// @notice Health did not rise.
    error NotImproved(uint256 healthBefore, uint256 healthAfter);
    /// @notice Neither the target nor the least useful improvement was reached.
    error TargetMissed(uint256 healthAfter, uint256 needed);
    /// @notice More was done than the owner wants.
    error MaxHealthExceeded(uint256 healthAfter, uint256 max);

    // --- configuration --------------------------------------------------------------------------------------------------

    /// @notice A policy that breaks one of the rules; `rule` counts them in the order of `Policies.check`.
    error BadPolicy(uint8 rule);
    /// @notice A router that is no contract, or that holds or moves money of the owner's.
    error BadRouter(address router);
    /// @notice A bot that is zero, the owner or the guardian, or a share above the whole.
    error BadBot(address bot);
    /// @notice Three bots are the most.
    error TooManyBots();
    /// @notice A guardian who is a bot.
    error BadGuardian(address guardian);
    /// @notice The market does not know the token, or a sell cap was given to a debt.
    error BadAsset(address token);
    /// @notice A loosening change must be announced a day before. `readyAt` 0: it was not announced.
    error NotAnnounced(bytes32 change, uint256 readyAt);
}
