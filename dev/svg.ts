// Parts of the charts in the documentation, as SVG.

/** The time in seconds, or a place in pixels. */
export type Point = [x: number, y: number]

export const colours = {
  weight: '#1f6feb',
  failures: '#d1242f',
  good: '#1a7f37',
  text: '#1f2328',
  faint: '#656d76',
  grid: '#d1d9e0',
}

export const middle = 'text-anchor="middle"'

/** The `d` of a path through these places. */
export function line(places: readonly Point[]): string {
  return places.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')
}

/** At most eight marks on the time axis, at round numbers of seconds. */
export function axisMarks(end: number): number[] {
  const apart = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((each) => end / each <= 8) ?? 1800
  return Array.from({ length: Math.floor(end / apart) + 1 }, (_, i) => i * apart)
}
