// What kind makes its nodes with: Docker, or what stands in for it. Looked for in kind's own order.
import { ConfigError } from '../config/error.ts'
import { run, within } from '../tools/run.ts'

/** None is there, or none answers. */
export class NoRuntime extends ConfigError {}

/** The first that answers, by the name of its program; `KIND_EXPERIMENTAL_PROVIDER` names one, as it does for kind. */
export async function containerRuntime(signal: AbortSignal): Promise<string> {
  const forced = process.env['KIND_EXPERIMENTAL_PROVIDER']
  const looked: string[] = []
  for (const program of forced ? [forced] : ['docker', 'nerdctl', 'podman']) {
    const problem = await whyNot(program, signal)
    if (problem === undefined) return program
    looked.push(`${program} ${problem}`)
  }
  throw new NoRuntime(
    `cluster: kind makes its nodes with a container runtime, and none answers here: ${looked.join('; ')}. Start Docker, or install it (GitHub's ubuntu runners have it), or leave \`cluster\` out and give the \`kubeconfig\` of a cluster that is there`,
  )
}

async function whyNot(program: string, signal: AbortSignal): Promise<string | undefined> {
  const isDocker = program === 'docker'
  const answer = await run(
    program,
    isDocker ? ['info', '--format', '{{.OSType}}'] : ['info'],
    within(signal, 30_000, `${program} info`, 'it is not to be changed'),
  ).catch((error: unknown) => {
    signal.throwIfAborted()
    return error as NodeJS.ErrnoException
  })
  if (answer instanceof Error)
    return answer.code === 'ENOENT' ? 'is not installed (not on the PATH)' : `does not answer (${answer.message})`
  if (answer.code === 0)
    return isDocker && answer.stdout.trim() === 'windows'
      ? 'runs Windows containers, and nodes are Linux: switch it to Linux containers'
      : undefined
  const said = answer.stderr.trim().split('\n').at(-1)!.trim()
  if (/permission denied/i.test(said))
    return `is there, but this user may not use it (${said}): add the user to the group \`docker\` and start the runner anew`
  return `is installed, but does not answer (${said || `it ended with ${answer.code}`})`
}
