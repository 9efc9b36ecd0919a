// Parts of a picture in SVG. Pure.

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

function escape(line: string): string {
  return line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
