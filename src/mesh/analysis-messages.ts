// The messages that `istioctl analyze` and `istioctl x precheck` print as JSON. Pure.

export type Message = { code?: string; level?: string; message?: string; origin?: string; reference?: string }

/**
 * Finds the list of messages in istioctl's output; `null` is an empty list. Undefined when the output holds no list.
 */
export function messagesIn(stdout: string): Message[] | undefined {
  const start = stdout.search(/^\s*(\[|null)/m)
  if (start < 0) return undefined
  try {
    const value: unknown = JSON.parse(stdout.slice(start))
    return Array.isArray(value) ? (value as Message[]) : []
  } catch {
    return undefined
  }
}

/** The error for an istioctl that printed no messages; quotes the last lines of its error output. */
export function withoutResult(command: string, code: number | null, stderr: string): Error {
  const lastLines = stderr.trim().split('\n').slice(-3).join(' ')
  return new Error(`${command} (exit code ${code}) gave no result: ${lastLines || 'it printed nothing'}`)
}
