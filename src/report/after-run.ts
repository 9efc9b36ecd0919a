// What was done after a run about what it left, for the comment that was written before. Pure.
import { plainText } from './plain-text.ts'

/** `lines`: one sentence for each thing that was done. `isTrafficUnsafe`: it failed, with traffic or a fault left to put back. */
export type AfterRun = { lines: string[]; isTrafficUnsafe: boolean }

export const unsafeText = 'the recovery failed, and the traffic may not be safe; the log of the run says what is left'

/** `body`: of a comment, whose last line has the links. */
export function withAfterRun(body: string, { lines, isTrafficUnsafe }: AfterRun): string {
  const all = isTrafficUnsafe ? [unsafeText, ...lines] : lines
  if (all.length === 0) return body
  const lastLine = body.trimEnd().lastIndexOf('\n') + 1
  const text = `${isTrafficUnsafe ? '⛔ ' : ''}After the run: ${plainText(all.join('; '))}`
  return `${body.slice(0, lastLine)}${text}\n\n${body.slice(lastLine)}`
}
