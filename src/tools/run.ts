// Runs a program such as istioctl or kind, with arguments as a list and never through a shell. Every program starts
// here, except the user's own checks (decision 10).
import { spawn } from 'node:child_process'

export type ProgramResult = { code: number; stdout: string; stderr: string }

/**
 * Passes each line of both streams to `onLine`; `env` adds to this program's own environment. Resolves with any exit
 * code. Rejects if the program cannot start, or with the signal's reason if the signal ends it.
 */
export function runProgram(
  path: string,
  args: string[],
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
  env: Record<string, string> = {},
): Promise<ProgramResult> {
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
  let unfinished = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    text += chunk
    const lines = (unfinished + chunk).split(/\r?\n|\r/)
    unfinished = lines.pop() ?? ''
    for (const line of lines) if (line.trim()) onLine(line)
  })
  stream.on('end', () => unfinished.trim() && onLine(unfinished))
  return () => text
}
