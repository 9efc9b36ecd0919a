// The temporary folder. GitHub's runner provides one; on the command line, we create it under the runner's variable.
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tempDir } from '../runtime/environment.ts'

/** Creates a folder for this process alone. It is removed when the process exits, for whatever reason. */
export function createTempDir(env: NodeJS.ProcessEnv = process.env): void {
  const folder = mkdtempSync(join(tempDir(), 'mesh-canary-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  env['RUNNER_TEMP'] = folder
}
