// Saves what explains the failure of a test: the logs of the action, events, pods with their logs and the configuration of
// each Envoy.
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { enter, meshEnv, status } from '../mesh/index.ts'
import { logsOfThisTest } from './runner.ts'

const exec = promisify(execFile)
const root = resolve(import.meta.dirname, '../../out/e2e')

/** Writes into out/e2e/FILE/TEST. It never fails itself, because the failure of the test matters more. */
export async function saveFailureLogs(file: string, test: string): Promise<void> {
  const folder = join(root, basename(file, '.test.ts'), test.replaceAll(/[^\w.-]+/g, '-').slice(0, 100))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  logsOfThisTest.forEach((log, index) => writeFileSync(join(folder, `action-${index + 1}.log`), log))
  if (await status().catch(() => undefined)) await saveClusterState(folder)
}

async function saveClusterState(folder: string): Promise<void> {
  const save = async (name: string, ...argv: string[]) => writeFileSync(join(folder, name), await output(argv))
  await save('events.txt', 'kubectl', 'get', 'events', '-A', '--sort-by=.lastTimestamp')
  await save('pods.txt', 'kubectl', 'get', 'pods', '-A', '-o', 'wide')
  await save('pods.yaml', 'kubectl', 'get', 'pods', '-A', '-o', 'yaml')
  for (const [namespace, pod] of await podsWith('--field-selector=metadata.namespace!=kube-system')) {
    const logs = ['kubectl', 'logs', '-n', namespace, pod, '--all-containers', '--prefix', '--timestamps', '--tail=200']
    await save(`log-${pod}.txt`, ...logs)
    await save(`log-${pod}-previous.txt`, ...logs, '--previous')
  }
  for (const [namespace, pod] of await podsWith('--selector=security.istio.io/tlsMode')) {
    const request = ['pilot-agent', 'request', 'GET', 'config_dump']
    await save(`envoy-${pod}.json`, 'kubectl', 'exec', '-n', namespace, pod, '-c', 'istio-proxy', '--', ...request)
  }
}

/** The namespace and name of each. */
async function podsWith(selection: string): Promise<[string, string][]> {
  const names = 'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}'
  const text = await output(['kubectl', 'get', 'pods', '-A', selection, '-o', names])
  return text.split(' ').flatMap((each): [string, string][] => {
    const [namespace, pod] = each.split('/')
    return namespace !== undefined && pod !== undefined ? [[namespace, pod]] : []
  })
}

/** The output of a program in the mesh, or why there is none. */
async function output(argv: string[]): Promise<string> {
  const [program = '', ...args] = enter(argv)
  return exec(program, args, { env: { ...process.env, ...meshEnv() }, maxBuffer: 256 << 20, timeout: 30_000 }).then(
    ({ stdout }) => stdout,
    (error: unknown) => String(error),
  )
}
