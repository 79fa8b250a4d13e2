// Turns values into the SVG paths of a sparkline.

/** A path for the line and one for the area under it, `slots` values wide, newest at the right. */
export function paths(values: readonly (number | null)[], slots: number, max: number, height: number) {
  const shown = values.slice(-slots);
  const first = slots - shown.length;
  let line = "";
  let area = "";
  let run: string[] = [];
  let start = 0;
  const close = (end: number) => {
    if (run.length > 1) {
      line += `M${run.join("L")}`;
      area += `M${start},${height}L${run.join("L")}L${end},${height}Z`;
    }
    run = [];
  };
  shown.forEach((value, index) => {
    const x = first + index;
    if (value === null || !Number.isFinite(value)) {
      close(x - 1);
      return;
    }
    if (run.length === 0) start = x;
    const level = Math.min(1, Math.max(0, max > 0 ? value / max : 0));
    run.push(`${x},${(height - 1 - level * (height - 2)).toFixed(1)}`);
  });
  close(slots - 1);
  return { line, area };
}

/** The next round number at or above the largest value: the top of the chart. */
export function ceiling(values: readonly (number | null)[], least: number): number {
  const top = Math.max(least, ...values.map((value) => value ?? 0));
  const step = 10 ** Math.floor(Math.log10(top));
  for (const factor of [1, 1.5, 2, 3, 5, 7.5, 10]) if (factor * step >= top) return factor * step;
  return top;
}
