// Numbers as people read them. Health is rounded down: never healthier than it is.

export function health(value) {
  if (value === null || value === undefined) return "no debt";
  if (value > 100) return "> 100";
  const digits = value < 1.1 ? 4 : 2;
  const scale = 10 ** digits;
  return (Math.floor(value * scale + 1e-9) / scale).toFixed(digits);
}

export function percent(share) {
  const value = 100 * share;
  const text = Math.abs(value) >= 99.5 ? value.toFixed(0) : value.toFixed(1);
  return `${value > 0 ? "+" : ""}${text} %`.replace("-", "\u2212");
}

const dollars = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

export const price = (usd) => `$${dollars.format(usd)}`;
export const usd = (value) => `$${compact.format(value)}`;
export const tokens = (value) => compact.format(value);

// In a cell of a grid; the cross says "liquidated" to whoever does not see colours.
export function short(value) {
  if (value === null || value === undefined) return "\u221e";
  const text = (Math.floor(value * 100 + 1e-9) / 100).toFixed(2);
  return value < 1 ? `\u2715${text}` : text;
}

export function age(seconds) {
  const s = Math.max(0, seconds);
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} days`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB", { hour12: false });

// Which line of its policy a health lies below; "dead" below 1.
export function cell(value, policy) {
  if (value === null || value === undefined) return "none";
  if (value < 1) return "dead";
  if (!policy) return "safe";
  if (value < policy.emergency) return "emergency";
  if (value < policy.trigger) return "trigger";
  return value < policy.warn ? "warn" : "safe";
}
