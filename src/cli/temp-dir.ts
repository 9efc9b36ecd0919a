// The temporary folder that GitHub's runner has ready and a shell has not, under the name that the runner gives it.
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tempDir } from '../runtime/environment.ts'

/** One for this process alone, gone when it ends, however it ends. */
export function createTempDir(env: NodeJS.ProcessEnv = process.env): void {
  const folder = mkdtempSync(join(tempDir(), 'mesh-canary-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  env['RUNNER_TEMP'] = folder
}
