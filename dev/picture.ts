// Text on standard input → a picture of a terminal as SVG on standard output: `npm start | node dev/picture.ts > docs/run.svg`.
import { text } from 'node:stream/consumers'
import { stripVTControlCharacters } from 'node:util'

const lines = stripVTControlCharacters(await text(process.stdin))
  .trimEnd()
  .split('\n')
  .filter((line) => !line.startsWith('>') && line.trim() !== '')
const [lineHeight, margin] = [18, 14]
const width = Math.max(...lines.map((line) => line.length)) * 7.9 + 2 * margin
const height = lines.length * lineHeight + 2 * margin

const escape = (line: string) => line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const rows = lines.map(
  (line, i) =>
    `<text x="${margin}" y="${margin + (i + 0.75) * lineHeight}" xml:space="preserve">${escape(line)}</text>`,
)

console.log(`<svg xmlns="http://www.w3.org/2000/svg" width="${Math.ceil(width)}" height="${height}" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" fill="#c9d1d9">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${rows.join('\n')}
</svg>`)
