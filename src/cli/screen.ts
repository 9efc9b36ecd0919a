// Lines as a person reads them: headings and colours on a terminal, sections that fold on GitLab, plain text elsewhere.
import { styleText } from 'node:util'
import type { Host } from '../stages/context.ts'

export type Screen = Pick<Host, 'info' | 'warning' | 'group'> & {
  error: (text: string) => void
  good: (text: string) => void
}

type Format = Parameters<typeof styleText>[0]

/** Errors go to standard error, all else to `stream`; colours only where that is a terminal and NO_COLOR does not forbid them. */
export function screen(
  stream: NodeJS.WriteStream,
  env: NodeJS.ProcessEnv,
  errors: NodeJS.WriteStream = process.stderr,
): Screen {
  let depth = 0
  const style = (format: Format, text: string, of = stream) => styleText(format, text, { stream: of })
  const line = (text: string) => void stream.write(text === '' ? '\n' : `${'  '.repeat(depth)}${text}\n`)
  const each = (text: string, tell: (line: string) => void) => harmless(text).split('\n').forEach(tell)
  return {
    info: (text) => each(text, line),
    warning: (text) => each(text, (one) => line(`${style('yellow', 'warning:')} ${one}`)),
    error: (text) => each(text, (one) => errors.write(`${style('red', 'error:', errors)} ${one}\n`)),
    good: (text) => each(text, (one) => line(style('green', one))),
    group: async (name, work) => {
      if (env['GITLAB_CI']) stream.write(section('start', name))
      line(style('bold', name))
      depth++
      try {
        return await work()
      } finally {
        depth--
        if (env['GITLAB_CI']) stream.write(`${section('end', name)}\n`)
      }
    },
  }
}

/** What GitLab folds, from one mark to the other; the rest of the line that begins it is its heading. */
function section(what: 'start' | 'end', name: string): string {
  return `\u001b[0Ksection_${what}:${Math.floor(Date.now() / 1000)}:mesh_canary_${name.replace(/\W/g, '_')}\r\u001b[0K`
}

/** Lines hold what pods, events and webhooks say: no sign in them moves the cursor, colours, or ends a section. */
export function harmless(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd')
}
