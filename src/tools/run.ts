// A tool as a command, istioctl or kind: arguments as a list, never through a shell.
import { spawn } from 'node:child_process'

export type Outcome = { code: number; stdout: string; stderr: string }

/** Runs to the end; each line of either stream also goes to `onLine`, and `env` comes on top of this program's own. Rejects only when it cannot be started or is aborted. */
export function run(
  path: string,
  args: string[],
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
  env: Record<string, string> = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, env: { ...process.env, ...env } })
    const stdout = collect(child.stdout, onLine)
    const stderr = collect(child.stderr, onLine)
    child.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error))
    child.on('close', (code, killedBy) =>
      resolve({ code: code ?? (killedBy ? 128 : 1), stdout: stdout(), stderr: stderr() }),
    )
  })
}

function collect(stream: NodeJS.ReadableStream, onLine: (line: string) => void): () => string {
  let text = ''
  let open = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    text += chunk
    const lines = (open + chunk).split(/\r?\n|\r/)
    open = lines.pop() ?? ''
    for (const line of lines) if (line.trim()) onLine(line)
  })
  stream.on('end', () => open.trim() && onLine(open))
  return () => text
}

/** Aborted with the other signal, or after so long with an error that says so; `limit` names the setting. */
export function within(signal: AbortSignal, ms: number, what: string, limit: string): AbortSignal {
  const late = new AbortController()
  setTimeout(() => late.abort(new Error(`${what} has not ended within ${ms / 1000} s (\`${limit}\`)`)), ms).unref()
  return AbortSignal.any([signal, late.signal])
}
