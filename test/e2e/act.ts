// Runs a workflow with act, as GitHub would, in the mesh's network. It ignores the act configuration of the current
// user.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { goTool } from '../mesh/index.ts'
import type { TestCluster } from './world.ts'

export type Trigger = {
  /** The folder of the repository. `workflow` is a path in it. */
  repository: string
  workflow: string
  on?: 'workflow_dispatch' | 'pull_request' | 'schedule'
  /** The event payload that GitHub would send. */
  event?: object
  /** Runs only this job. */
  job?: string
  secrets?: Record<string, string>
  vars?: Record<string, string>
  /** The environment that a self-hosted runner would have. */
  env?: Record<string, string>
}

export async function act(
  { runner }: TestCluster,
  { repository, workflow, on = 'workflow_dispatch', event = {}, job, secrets = {}, vars = {}, env = {} }: Trigger,
): Promise<{ code: number; log: string }> {
  const home = mkdtempSync(join(tmpdir(), 'mesh-canary-act-'))
  const file = (name: string, text: string) => {
    writeFileSync(join(home, name), text, { mode: 0o600 })
    return join(home, name)
  }
  const lines = (values: Record<string, string>) =>
    Object.entries(values)
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      .join('\n')
  const argv = [
    await goTool('act'),
    on,
    '--directory',
    repository,
    '--workflows',
    workflow,
    '--platform',
    'ubuntu-latest=-self-hosted',
    ...(job === undefined ? [] : ['--job', job]),
    '--eventpath',
    file('event', JSON.stringify(event)),
    '--secret-file',
    file('secrets', lines(secrets)),
    '--var-file',
    file('vars', lines(vars)),
    '--env-file',
    file('env', lines(env)),
  ]
  const [program = '', ...args] = runner.enter!(argv)
  const userFolders = {
    HOME: home,
    XDG_CACHE_HOME: join(home, 'cache'),
    XDG_CONFIG_HOME: join(home, 'config'),
    KUBECONFIG: '',
  }
  const child = spawn(program, args, { env: { ...process.env, ...runner.env, ...userFolders, ...env } })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (log += chunk.toString()))
  const code = await new Promise<number>((done, fail) =>
    child.once('error', fail).once('close', (status) => done(status ?? 1)),
  )
  rmSync(home, { recursive: true, force: true })
  return { code, log }
}
