// CPU seconds of one formatUserSummary over an account with three reserves (the peer's best case).
const { formatReserves, formatUserSummary } = require("@aave/math-utils");
const RAY = "1000000000000000000000000000";
const now = 1700000100;
const reserve = (n, price, decimals) => ({
  id: String(n), underlyingAsset: `0x${String(n).padStart(40, "0")}`, symbol: `T${n}`, name: `T${n}`, decimals,
  originalId: n, baseLTVasCollateral: "8000", reserveLiquidationThreshold: "8300", reserveLiquidationBonus: "10500",
  reserveFactor: "1000", usageAsCollateralEnabled: true, borrowingEnabled: true, isActive: true, isFrozen: false,
  liquidityIndex: RAY, variableBorrowIndex: RAY, liquidityRate: "20000000000000000000000000",
  variableBorrowRate: "40000000000000000000000000", lastUpdateTimestamp: 1700000000, availableLiquidity: "1000000000000000000000000",
  totalScaledVariableDebt: "500000000000000000000000", totalPrincipalStableDebt: "0", averageStableRate: "0",
  stableDebtLastUpdateTimestamp: 0, stableBorrowRate: "0", priceInMarketReferenceCurrency: price,
  totalStableDebt: "0", borrowCap: "0", supplyCap: "0", debtCeiling: "0", debtCeilingDecimals: 2,
  isolationModeTotalDebt: "0", unbacked: "0", eModes: [], isIsolated: false, virtualUnderlyingBalance: "0",
});
const shared = { currentTimestamp: now, marketReferenceCurrencyDecimals: 8, marketReferencePriceInUsd: "100000000" };
const formattedReserves = formatReserves({
  ...shared, reserves: [reserve(1, "200000000000", 18), reserve(2, "6000000000000", 8), reserve(3, "100000000", 6)],
});
const userReserves = [["5000000000000000000", "0"], ["10000000", "0"], ["0", "9000000000"]].map(([a, d], i) => ({
  id: String(i), underlyingAsset: formattedReserves[i].underlyingAsset, scaledATokenBalance: a,
  usageAsCollateralEnabledOnUser: true, stableBorrowRate: "0", scaledVariableDebt: d, principalStableDebt: "0",
  stableBorrowLastUpdateTimestamp: 0, reserve: formattedReserves[i],
}));
const call = () => formatUserSummary({ ...shared, userReserves, formattedReserves, userEmodeCategoryId: 0 });
const first = call();
if (!(Number(first.healthFactor) > 1)) throw new Error(`health ${first.healthFactor}`);
for (let i = 0; i < 300; i++) call();
const samples = [];
for (let run = 0; run < 9; run++) {
  const began = process.cpuUsage();
  for (let i = 0; i < 100; i++) call();
  const spent = process.cpuUsage(began);
  samples.push((spent.user + spent.system) / 1e6 / 100);
}
samples.sort((x, y) => x - y);
console.log(JSON.stringify({ cpu_s_account: samples[4], health: first.healthFactor }));
