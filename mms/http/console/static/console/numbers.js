// Numbers as people read them.

export function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 1 : 0);
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${(value * 1e3).toFixed(value < 0.01 ? 1 : 0)} ms`;
  if (value < 120) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  return `${Math.round(value / 60)} min`;
}

export function bytes(value) {
  if (!value) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  let number = value;
  while (number >= 1024 && step < units.length - 1) {
    number /= 1024;
    step += 1;
  }
  return `${number.toFixed(number < 10 && step ? 1 : 0)} ${units[step]}`;
}

export const clock = (epoch) => new Date(epoch * 1000).toLocaleTimeString();

// A quantile of a histogram, in the middle of what is not known better; null where it has nothing.
export function quantile(bounds, buckets, part) {
  const total = buckets.reduce((sum, number) => sum + number, 0);
  if (!total) return null;
  let below = 0;
  for (let index = 0; index < buckets.length; index += 1) {
    if (below + buckets[index] >= part * total) {
      const least = index ? bounds[index - 1] : 0;
      const most = index < bounds.length ? bounds[index] : least;
      return least + (most - least) * ((part * total - below) / buckets[index]);
    }
    below += buckets[index];
  }
  return bounds[bounds.length - 1];
}
