// Runs before each e2e file: gives it one of the meshes, and keeps what explains a failure in out/e2e/TEST/.
import { afterAll, afterEach, beforeEach } from 'vitest'

// Must be set before test/mesh/settings.ts is loaded.
process.env['MESH_NODE'] ??= `test-${process.env['VITEST_POOL_ID']}`
const { keepEvidence } = await import('./failure.ts')
const { recentRuns } = await import('./runner.ts')

beforeEach(() => void recentRuns.splice(0))
afterEach(({ task }) => (task.result?.state === 'fail' ? keepEvidence(task.file.name, task.name) : undefined))
// A failed `beforeAll` fails the file, and none of its tests runs.
afterAll(({}, file) => (file.result?.state === 'fail' ? keepEvidence(file.name, 'before all') : undefined))
