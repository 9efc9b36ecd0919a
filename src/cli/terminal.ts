// Prints lines for people: headings and colours on a terminal, sections that fold on GitLab, plain text elsewhere.
import { styleText } from 'node:util'
import { bidiControls } from '../runtime/bidi.ts'
import { withoutRunnerCommands } from '../runtime/runner-commands.ts'
import type { Host } from '../stages/context.ts'

export type Terminal = Pick<Host, 'info' | 'warning' | 'group'> & {
  error: (text: string) => void
  success: (text: string) => void
}

/** `live`: shows these lines below all others until the next call, if `isLive`: only a terminal does. */
export type LiveTerminal = Terminal & { live: (lines: string[]) => void; isLive: boolean }

type Format = Parameters<typeof styleText>[0]

/**
 * Errors go to `errors`, all other lines to `stream`.
 * A stream gets colours only if it is a terminal and NO_COLOR is not set; FORCE_COLOR overrides both.
 * `styleText` decides that, in the same way as Node.js itself.
 */
export function terminal(
  stream: NodeJS.WriteStream,
  env: NodeJS.ProcessEnv,
  errors: NodeJS.WriteStream = process.stderr,
): LiveTerminal {
  let depth = 0
  const block = liveBlock(stream, env)
  const style = (format: Format, text: string, target = stream) => styleText(format, text, { stream: target })
  const line = (text: string) => block.above(stream, text === '' ? '\n' : `${'  '.repeat(depth)}${text}\n`)
  // A workflow may call the command line.
  const safe = env['GITHUB_ACTIONS'] ? withoutRunnerCommands : (text: string) => text
  const eachLine = (text: string, print: (line: string) => void) =>
    safe(withoutControlCharacters(text)).split('\n').forEach(print)
  return {
    info: (text) => eachLine(text, line),
    warning: (text) => eachLine(text, (one) => line(`${style('yellow', 'warning:')} ${one}`)),
    error: (text) => eachLine(text, (one) => block.above(errors, `${style('red', 'error:', errors)} ${one}\n`)),
    live: block.show,
    isLive: block.isLive,
    success: (text) => eachLine(text, (one) => line(style('green', one))),
    group: async (name, work) => {
      if (env['GITLAB_CI']) stream.write(sectionMark('start', name))
      line(style('bold', name))
      depth++
      try {
        return await work()
      } finally {
        depth--
        if (env['GITLAB_CI']) stream.write(`${sectionMark('end', name)}\n`)
      }
    },
  }
}

/** Lines that stay at the bottom of a terminal, below what is written meanwhile. Elsewhere there are none. */
function liveBlock(stream: NodeJS.WriteStream, { CI: ci, TERM: kind }: NodeJS.ProcessEnv) {
  const isLive = stream.isTTY && !ci && kind !== 'dumb'
  let block: string[] = []
  let drawn: string[] = []
  const redraw = (write: () => void) => {
    const { columns, rows } = sizeOf(stream)
    // Up to its first line, and nothing is left from there on. What was drawn on a wider terminal has wrapped since.
    const height = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)), 0)
    if (height > 0) stream.write(`\u001b[${Math.min(height, rows - 1)}A\u001b[0J`)
    write()
    // A line that wraps would take two, and the cursor cannot go up to a line that has left the screen.
    drawn = firstLines(block, rows - 1).map((line) => cutAt(columns - 1, line))
    if (drawn.length > 0) stream.write(drawn.map((line) => `${line}\n`).join(''))
  }
  return {
    isLive,
    above: (target: NodeJS.WriteStream, text: string) => redraw(() => void target.write(text)),
    show: (lines: string[]) => {
      if (isLive) redraw(() => (block = lines.map((line) => withoutControlCharacters(line).replace(/[\n\t]/g, ' '))))
    },
  }
}

function sizeOf({ columns, rows }: NodeJS.WriteStream): { columns: number; rows: number } {
  return { columns: columns || 80, rows: Math.max(2, rows || 24) }
}

/** Characters that may take two columns. Terminals disagree about many, so these are whole blocks of Unicode: all that may. */
const mayBeWide = /[\u1100-\u1fff\u2300-\u23ff\u25fd\u25fe\u2600-\u27bf\u2b00-\u2bff\u2e80-\u{10ffff}]/u

/** The columns that a text takes at most. */
function widthOf(text: string): number {
  return Array.from(text).reduce((sum, char) => sum + (mayBeWide.test(char) ? 2 : 1), 0)
}

function cutAt(columns: number, line: string): string {
  const chars = Array.from(line)
  let width = 0
  const end = chars.findIndex((char) => (width += widthOf(char)) > columns)
  return end < 0 ? line : chars.slice(0, end).join('')
}

function firstLines(lines: string[], most: number): string[] {
  if (lines.length <= most) return lines
  return [...lines.slice(0, most - 1), `… and ${lines.length - most + 1} more lines`]
}

/** GitLab folds the lines between a start and an end mark. The rest of the line with the start mark is the heading. */
function sectionMark(what: 'start' | 'end', name: string): string {
  return `\u001b[0Ksection_${what}:${Math.floor(Date.now() / 1000)}:mesh_canary_${name.replace(/\W/g, '_')}\r\u001b[0K`
}

/** Lines quote pods, events and webhooks, which must not move the cursor, set colours, turn text around or end a section. */
export function withoutControlCharacters(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(misleading, '\ufffd')
}

const misleading = new RegExp(String.raw`[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029${bidiControls}]`, 'g')
