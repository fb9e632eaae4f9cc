// Figures as people read them.

export const count = (n) => Math.round(n).toLocaleString("en-US");

/** Seconds as "240 ms", "3.2 s", "4 min 05 s". */
export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "";
  if (value < 0.9995) return `${Math.max(0, Math.round(value * 1000))} ms`;
  if (value < 59.95) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** Tokens as "940", "12.4k", "3.1M". */
export function tokens(n) {
  if (n < 1000) return String(n);
  if (n < 999_950) return `${(n / 1000).toFixed(n < 99_950 ? 1 : 0)}k`;
  return `${(n / 1e6).toFixed(1)}M`;
}

/** USD; small sums keep their digits. A sum that leaves calls out is a minimum. */
export function dollars(value, partial = false) {
  if (value === null || value === undefined) return "";
  const text = value === 0 ? "$0" : value < 0.01 ? `$${value.toPrecision(2)}` : value < 0.9995 ? `$${value.toFixed(3)}` : `$${value.toFixed(2)}`;
  return partial ? `≥ ${text}` : text;
}

/** Characters as "812 characters", "1.4 MB". */
export function size(characters) {
  if (characters < 10_000) return `${count(characters)} characters`;
  if (characters < 1_000_000) return `${Math.round(characters / 1000)} KB`;
  return `${(characters / 1e6).toFixed(1)} MB`;
}

export const plural = (n, word, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;
