// Parts of the pictures of the documentation, as SVG.

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
export const atEnd = 'text-anchor="end"'

/** The first lines of a picture on a white ground; the last one is `</svg>`. */
export function opening({ width, height }: { width: number; height: number }, title: string): string[] {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`,
    `  font-family="-apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="13" role="img">`,
    `<title>${escape(title)}</title>`,
    '<rect width="100%" height="100%" rx="8" fill="#ffffff"/>',
  ]
}

export function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escape(content)}</text>`
}

/** The `d` of a path through these places. */
export function line(places: readonly Point[]): string {
  return places.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')
}

/** At most eight marks on the time axis, at round numbers of seconds. */
export function axisMarks(end: number): number[] {
  const apart = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((each) => end / each <= 8) ?? 1800
  return Array.from({ length: Math.floor(end / apart) + 1 }, (_, i) => i * apart)
}

function escape(line: string): string {
  return line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
