// Reads log lines from VictoriaLogs, as far as the proof needs them.
import { isMap } from '../../runtime/is-map.ts'

/** A line as the provider of the stage `observe` has it written: attribute by attribute. */
export type LogLine = Readonly<Record<string, unknown>>

/** Undefined for text that is not a JSON object; a sidecar also logs lines of its own. */
export function lineIn(text: string): LogLine | undefined {
  try {
    const line = JSON.parse(text) as unknown
    return isMap(line) ? line : undefined
  } catch {
    return undefined
  }
}

/** The path of a query in LogsQL that returns so many lines at most. */
export function logsqlPath(logsql: string, limit: number): string {
  return `/select/logsql/query?limit=${limit}&query=${encodeURIComponent(logsql)}`
}

/**
 * VictoriaLogs answers one object for each line, and gives it its time.
 * @throws Error with a sentence if the answer is not from VictoriaLogs
 */
export function storedLines(answer: string): LogLine[] {
  const lines = answer.split('\n').filter((line) => line.trim() !== '')
  return lines.map((text) => {
    const line = lineIn(text)
    if (line?.['_time'] === undefined) throw new Error('the answer does not come from VictoriaLogs; check the address')
    return line
  })
}

/** A cheap question that only VictoriaLogs answers. */
export const victoriaLogsCheck = logsqlPath('_time:1m', 1)
