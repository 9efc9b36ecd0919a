// Lines as a person reads them: headings and colours on a terminal, sections that fold on GitLab, plain text elsewhere.
import { styleText } from 'node:util'
import type { Host } from '../stages/running.ts'

export type Screen = Pick<Host, 'info' | 'warning' | 'group'> & { error: (text: string) => void; good: (text: string) => void }

type Format = Parameters<typeof styleText>[0]

/** Colours only where the stream is a terminal and NO_COLOR does not forbid them. */
export function screen(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Screen {
  let depth = 0
  const style = (format: Format, text: string) => styleText(format, text, { stream })
  const line = (text: string) => void stream.write(`${'  '.repeat(depth)}${text}\n`)
  const lines = (text: string, shown: (line: string) => string) => harmless(text).split('\n').forEach((each) => line(shown(each)))
  return {
    info: (text) => lines(text, (each) => each),
    warning: (text) => lines(text, (each) => `${style('yellow', 'warning:')} ${each}`),
    error: (text) => lines(text, (each) => `${style('red', 'error:')} ${each}`),
    good: (text) => lines(text, (each) => style('green', each)),
    group: async (name, work) => {
      if (env['GITLAB_CI']) stream.write(section('start', name, `[collapsed=${name === 'check'}]`))
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
function section(what: 'start' | 'end', name: string, options = ''): string {
  return `\u001b[0Ksection_${what}:${Math.floor(Date.now() / 1000)}:mesh_canary_${name.replace(/\W/g, '_')}${options}\r\u001b[0K`
}

/** Lines hold what pods, events and webhooks say: no sign in them moves the cursor, colours, or ends a section. */
export function harmless(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd')
}
