// Runs before each e2e file: gives it one of the meshes, and saves what explains a failure in out/e2e/FILE/TEST/.
import { execFileSync } from 'node:child_process'
import { afterAll, afterEach, beforeEach } from 'vitest'

// Must be set before test/mesh/settings.ts is loaded.
process.env['MESH_NODE'] ??= `test-${process.env['VITEST_POOL_ID']}`
const { saveFailureLogs } = await import('./failure-logs.ts')
const { enter, meshEnv, status } = await import('../mesh/index.ts')
const { logsOfThisTest } = await import('./runner.ts')

beforeEach(() => void logsOfThisTest.splice(0))
afterEach(({ task }) => (task.result?.state === 'fail' ? saveFailureLogs(task.file.name, task.name) : undefined))
afterAll(async ({}, file) => {
  // A failed `beforeAll` fails the file, and none of its tests runs.
  if (file.result?.state === 'fail') await saveFailureLogs(file.name, 'before all')
  if (await status()) endTraffic()
})

/** The users of the sample app would go on to send requests while other files run. */
function endTraffic(): void {
  const [program = '', ...args] = enter(['kubectl', 'delete', 'namespace', 'sample-app', '--ignore-not-found'])
  execFileSync(program, [...args, '--wait=false'], { env: { ...process.env, ...meshEnv() }, stdio: 'ignore' })
}
