// Finds the container runtime for kind's nodes: Docker, nerdctl or Podman, in the order in which kind looks for them.
import { ConfigError } from '../config/error.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { runProgram } from '../tools/run.ts'

/** Thrown if no container runtime answers. */
export class NoRuntime extends ConfigError {}

/** The program of the first runtime that answers. `KIND_EXPERIMENTAL_PROVIDER` selects one, as it does for kind. */
export async function containerRuntime(signal: AbortSignal): Promise<string> {
  const forced = process.env['KIND_EXPERIMENTAL_PROVIDER']
  const problems: string[] = []
  for (const program of forced ? [forced] : ['docker', 'nerdctl', 'podman']) {
    const problem = await problemOf(program, signal)
    if (problem === undefined) return program
    problems.push(`${program} ${problem}`)
  }
  throw new NoRuntime(
    `cluster: kind needs a container runtime, and none answers here: ${problems.join('; ')}. ` +
      `Start Docker, or install it (GitHub's ubuntu runners have it), ` +
      'or leave out `cluster` and give the `kubeconfig` of an existing cluster',
  )
}

/** Why the runtime cannot be used; undefined if it can. */
async function problemOf(program: string, signal: AbortSignal): Promise<string | undefined> {
  const isDocker = program === 'docker'
  const answer = await runProgram(
    program,
    isDocker ? ['info', '--format', '{{.OSType}}'] : ['info'],
    withTimeout(signal, 30_000, `${program} info`),
  ).catch((error: unknown) => {
    signal.throwIfAborted()
    return error as NodeJS.ErrnoException
  })
  if (answer instanceof Error)
    return answer.code === 'ENOENT' ? 'is not installed (not on the PATH)' : `does not answer (${answer.message})`
  if (answer.code === 0)
    return isDocker && answer.stdout.trim() === 'windows'
      ? 'runs Windows containers, and the nodes are Linux containers: switch it to Linux containers'
      : undefined
  const lastLine = answer.stderr.trim().split('\n').at(-1)!.trim()
  if (/permission denied/i.test(lastLine))
    return (
      `is installed, but this user may not use it (${lastLine}): ` +
      'add the user to the group `docker` and restart the runner'
    )
  return `is installed, but does not answer (${lastLine || `exit code ${answer.code}`})`
}
