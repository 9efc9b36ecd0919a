// A program of the user's own as a check: its exit code decides, its last line tells why.
import { spawn, type ChildProcess } from 'node:child_process'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Answer, PromotionStatus } from './finding.ts'

type Command = CanaryConfig['checks']['commands'][string]

/** Of the output only its end is kept. */
const keptLength = 4_000

/** Passes when it ends with 0. One that takes too long, or is stopped, is killed with all that it started. */
export function runCheckCommand(
  { run: [program = '', ...args], timeout }: Command,
  outside: PromotionStatus,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve) => {
    // A group of its own, so that what it starts can be ended with it.
    const child = spawn(program, args, { env: environment(outside), detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    let [output, late] = ['', false]
    const keep = (chunk: Buffer) => void (output = (output + chunk.toString()).slice(-keptLength))
    const stop = () => kill(child)
    const timer = setTimeout(() => {
      late = true
      stop()
    }, timeout)
    const end = (answer: Answer) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      resolve(answer)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', (error) => end({ state: 'undecided', text: `${program} cannot be started: ${error.message}` }))
    child.once('close', (code, how) => {
      const said = output.trim().split('\n').at(-1)!.slice(0, 200)
      if (late)
        return end({
          state: 'fail',
          text: `it was ended after ${timeout / 1000} s (\`timeout\`)${said && `: ${said}`}`,
        })
      if (code === null) return end({ state: 'undecided', text: `it was ended by ${how ?? 'a signal'}` })
      end({ state: code === 0 ? 'pass' : 'fail', text: said || `exit code ${code}` })
    })
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
  })
}

/** Our own environment with the step's values; without our inputs, which may hold secrets. */
function environment({ namespace, service, stable, canary, weight, step }: PromotionStatus): NodeJS.ProcessEnv {
  const values = {
    NAMESPACE: namespace,
    SERVICE: service,
    STABLE: stable,
    CANARY: canary,
    WEIGHT: String(weight),
    STEP: String(step),
  }
  const environment: NodeJS.ProcessEnv = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(INPUT|MESH_CANARY)_/.test(name)),
  )
  for (const [name, value] of Object.entries(values)) environment[`MESH_CANARY_${name}`] = value
  return environment
}

function kill({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended by itself a moment before.
  }
}
