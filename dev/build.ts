// `npm run build`: the bundles in dist/, the action's and the guard's.
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** Always from `build/`, wherever the bundles go: the bundler's names for modules follow their paths. */
export async function build(folder: string): Promise<void> {
  await exec('tsc', ['-p', 'tsconfig.build.json'])
  mkdirSync(folder, { recursive: true })
  await exec('ncc', ['build', 'build/index.js', '-o', folder, '-m'])
  await exec('ncc', ['build', 'build/guard/index.js', '-o', 'build/guard-bundle', '-m'])
  copyFileSync('build/guard-bundle/index.js', `${folder}/guard.mjs`)
}

if (import.meta.main) await build('dist')
