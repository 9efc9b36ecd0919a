/** What went wrong, in words. */
export function messageOf(problem: unknown): string {
  return problem instanceof Error ? problem.message : String(problem)
}

/** Names for a sentence: eight of them, and how many more there are. */
export function listNames(names: readonly string[]): string {
  return names.length <= 8 ? names.join(', ') : `${names.slice(0, 8).join(', ')} and ${names.length - 8} more`
}

/** Why `fetch` failed: it hides the cause behind "fetch failed". */
export function fetchFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'timed out'
  const { code, message } = (error.cause ?? error) as NodeJS.ErrnoException
  return typeof code === 'string' ? code : message
}
