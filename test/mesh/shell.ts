// Runs other programs, and collects their output or passes it on line by line.
import { spawn, type SpawnOptions } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface Command extends SpawnOptions {
  /** Written to the program's standard input. */
  readonly input?: string
  /** Called with each line of output at once. */
  readonly onLine?: (line: string) => void
}

/** A command line for a program that ends when this process ends, even if this process is killed. */
function bound(argv: readonly string[], signal: string): [program: string, ...args: string[]] {
  return ['setpriv', '--pdeathsig', signal, ...argv]
}

/** Also ends the program's descendants, and hides its processes and mounts from the rest of the machine. */
export function contained(argv: readonly string[]): [program: string, ...args: string[]] {
  return bound(['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', ...argv], 'KILL')
}

/** Runs a program and returns its standard output. @throws Error with its last lines of output if it fails. */
export async function sh(argv: readonly string[], { input, onLine, ...options }: Command = {}): Promise<string> {
  const [program, ...args] = bound(argv, 'TERM')
  const child = spawn(program, args, { ...options, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] })
  const stdout: string[] = []
  const all: string[] = []
  const collect = (line: string): void => void (all.push(line), onLine?.(line))
  createInterface(child.stdout!).on('line', (line) => void (stdout.push(line), collect(line)))
  createInterface(child.stderr!).on('line', collect)
  child.stdin?.end(input)
  const code = await new Promise<number | string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status, signal) => resolve(status ?? signal ?? 'unknown'))
  })
  if (code !== 0) throw new Error(`${argv.slice(0, 6).join(' ')} ended with ${code}:\n${all.slice(-20).join('\n')}`)
  return stdout.join('\n')
}
