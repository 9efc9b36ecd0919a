// The folders that GitHub's runner has ready and a shell has not, under the names that the runner gives them.
import { mkdtempSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { tempDir } from '../host.ts'

/** One for this process alone, gone when it ends, however it ends; and one where downloads are kept from run to run. */
export function ownFolders(env: NodeJS.ProcessEnv = process.env): void {
  const temp = mkdtempSync(join(tempDir(), 'mesh-canary-'))
  process.on('exit', () => rmSync(temp, { recursive: true, force: true }))
  env['RUNNER_TEMP'] = temp
  env['RUNNER_TOOL_CACHE'] ??= join(cacheFolder(env), 'mesh-canary', 'tools')
}

function cacheFolder(env: NodeJS.ProcessEnv): string {
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  if (process.platform === 'win32') return env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local')
  return env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
}
