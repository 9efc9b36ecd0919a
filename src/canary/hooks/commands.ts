// Runs a program of the user as a check: its exit code decides, and its last line of output is the reason.
import { spawn, type ChildProcess } from 'node:child_process'
import type { CanaryConfig } from '../../config/schema.ts'
import type { CheckAnswer } from '../state/finding.ts'
import type { ClusterOfFleet, PromotionStatus } from './promotion-status.ts'

type Command = CanaryConfig['checks']['commands'][string]
type Exit = { code: number | null; killedBy: NodeJS.Signals | null }

/** Keeps this many characters from the end of the output. */
const keptOutput = 4_000

/** Passes if the program exits with 0. On a timeout or an abort, kills it and every process that it started. */
export function runCheckCommand(
  { run: [program = '', ...args], timeout }: Command,
  status: PromotionStatus,
  signal: AbortSignal,
): Promise<CheckAnswer> {
  const deadline = AbortSignal.timeout(timeout)
  const stopping = AbortSignal.any([signal, deadline])
  return new Promise((resolve) => {
    // A process group of its own, so that its children can be killed with it.
    const child = spawn(program, args, { env: environment(status), detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const appendOutput = (chunk: Buffer) => void (output = (output + chunk.toString()).slice(-keptOutput))
    const stop = () => killGroup(child)
    const finish = (answer: CheckAnswer) => {
      stopping.removeEventListener('abort', stop)
      resolve(answer)
    }
    child.stdout.on('data', appendOutput)
    child.stderr.on('data', appendOutput)
    child.once('error', ({ message }) => finish({ state: 'undecided', text: `cannot start ${program}: ${message}` }))
    child.once('close', (code, killedBy) =>
      finish(deadline.aborted ? timedOut(timeout, output) : answerOf({ code, killedBy }, output)),
    )
    stopping.addEventListener('abort', stop)
    if (stopping.aborted) stop()
  })
}

function timedOut(timeoutMs: number, output: string): CheckAnswer {
  const line = lastLine(output)
  return { state: 'fail', text: `killed after ${timeoutMs / 1000} s (\`timeout\`)${line && `: ${line}`}` }
}

/** If something else killed the program, its exit says nothing about the canary. */
function answerOf({ code, killedBy }: Exit, output: string): CheckAnswer {
  if (code === null) return { state: 'undecided', text: `killed by ${killedBy ?? 'a signal'}` }
  return { state: code === 0 ? 'pass' : 'fail', text: lastLine(output) || `exit code ${code}` }
}

function lastLine(output: string): string {
  return output.trim().split('\n').at(-1)!.slice(0, 200)
}

/** Our own environment and the promotion's values, without our inputs: those may hold secrets. */
function environment({
  namespace,
  service,
  stable,
  canary,
  weight,
  step,
  cluster,
}: PromotionStatus): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(INPUT|MESH_CANARY)_/.test(name))
  return {
    ...Object.fromEntries(inherited),
    MESH_CANARY_NAMESPACE: namespace,
    MESH_CANARY_SERVICE: service,
    MESH_CANARY_STABLE: stable,
    MESH_CANARY_CANARY: canary,
    MESH_CANARY_WEIGHT: String(weight),
    MESH_CANARY_STEP: String(step),
    ...(cluster ? clusterVariables(cluster) : {}),
  }
}

/** Without them, kubectl in a check would ask the same cluster for each cluster of a fleet. */
function clusterVariables({ name, kubeconfig, context }: ClusterOfFleet): NodeJS.ProcessEnv {
  return {
    MESH_CANARY_CLUSTER: name,
    ...(context === undefined ? {} : { MESH_CANARY_CONTEXT: context }),
    ...(kubeconfig === undefined ? {} : { KUBECONFIG: kubeconfig }),
  }
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // The program has just ended by itself.
  }
}
