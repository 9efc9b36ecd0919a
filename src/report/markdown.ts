// Markdown as GitHub renders it: sections, tables, code that cannot break out. Pure.
import { plural } from '../runtime/plural.ts'

export function section(title: string, body: string): string {
  return `### ${title}\n\n${body}`
}

/** A longer section is folded. */
const openLinesLimit = 20

/** A section that is closed at first if it is long. */
export function foldedSection(title: string, body: string): string {
  if (body.split('\n').length <= openLinesLimit) return section(title, body)
  return folded(`<b>${title}</b>`, body)
}

/** A part that is closed at first. `title`: as markup. */
export function folded(title: string, body: string): string {
  return `<details>\n<summary>${title}</summary>\n\n${body}\n\n</details>`
}

export function bullets(lines: readonly string[], text = escape): string {
  return lines.map((line) => `- ${text(line)}`).join('\n')
}

/** Where parts should be. `why`: what has no room, and where they are. */
export function leftOutNote(count: number, why: string): string {
  return `> ${plural(count, 'part')} ${count === 1 ? 'is' : 'are'} left out, because ${why}`
}

const rowLimit = 500

export function table(heads: string[], rows: string[][], cell = escape): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  const head = line(heads.map((each) => escape(each)))
  const left = rows.length > rowLimit ? `\n\n… and ${rows.length - rowLimit} more` : ''
  const shown = rows.slice(0, rowLimit).map((row) => line(row.map(cell)))
  return `${[head, line(heads.map(() => '---')), ...shown].join('\n')}${left}`
}

/** Markdown ends a line, and with it a table's row, at a carriage return too. */
const lineEnds = /[\r\n]+/g

/** Names and log lines come from the cluster: they must not become markup. */
export function escape(text: string): string {
  return text.replace(/[\\`*_{}[\]<>|#~]/g, (sign) => `\\${sign}`).replace(lineEnds, ' ')
}

/** A block of code. Its fence is longer than any that log lines and diffs hold, so that none of them can end it. */
export function codeBlock(language: string, lines: readonly string[], limitBytes = blockLimitBytes): string {
  const shown = firstOf(lines, limitBytes).map((line) => line.replaceAll('`````', "'''''"))
  return [`\`\`\`\`\`${language}`, ...shown, '`````'].join('\n')
}

/** The most bytes of one block, so that a long one leaves room for others. */
const blockLimitBytes = 150_000

function firstOf(lines: readonly string[], limitBytes: number): readonly string[] {
  let size = 0
  const end = lines.findIndex((line) => (size += Buffer.byteLength(line) + 1) > limitBytes)
  return end === -1 ? lines : [...lines.slice(0, end), `… and ${lines.length - end} more lines`]
}

/**
 * The parts that fit into so many bytes, with an empty line between them. Those that do not fit are left out, and `note`
 * says so for their number.
 */
export function joinWithin(limitBytes: number, parts: string[], note: (leftOut: number) => string): string {
  const separator = 2
  // Room for the note, whatever the number is.
  let free = limitBytes - Buffer.byteLength(note(parts.length)) - 2 * separator
  const kept = parts.filter((part) => {
    const size = Buffer.byteLength(part) + separator
    if (size > free) return false
    free -= size
    return true
  })
  const leftOut = parts.length - kept.length
  return `${[...kept, ...(leftOut > 0 ? [note(leftOut)] : [])].join('\n\n')}\n`
}
