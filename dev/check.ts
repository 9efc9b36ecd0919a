// `npm run check`: types, format, imports, lint, workflows, and that all generated files match their sources. No
// cluster.
import { execFile } from 'node:child_process'
import { globSync, readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { goTool, wheelTool } from '../test/mesh/index.ts'
import { build } from './build.ts'
import { checkDescriptions } from './descriptions.ts'
import { generated } from './generate.ts'

const exec = promisify(execFile)
const scratch = 'build/dist'
const root = resolve(import.meta.dirname, '..')

const checks: Record<string, () => Promise<unknown>> = {
  types: async () => {
    await exec('tsc', ['--noEmit', '-p', '.'])
    // The page's script runs in a browser, which has other names in scope.
    await exec('tsc', ['--noEmit', '-p', 'src/report/html/client'])
  },
  format: () => checkFormat(root),
  imports: () => checkImports(root),
  lint: () => exec('eslint', ['.']),
  workflows: async () => exec(await goTool('actionlint'), ['-no-color', ...globSync(workflows)]),
  'security of workflows': async () => exec(await wheelTool('zizmor', 'dev/zizmor.txt'), zizmor()),
  // eslint-disable-next-line @typescript-eslint/require-await -- one of several that are awaited alike
  'generated files': async () => {
    const stale = generated()
      .filter(({ file, text }) => readFileSync(file, 'utf8') !== text)
      .map(({ file }) => file)
    if (stale.length > 0)
      throw new Error(`${stale.join(', ')} do not match the schema: run \`node dev/generate.ts\` and commit`)
  },
  // eslint-disable-next-line @typescript-eslint/require-await -- one of several that are awaited alike
  descriptions: async () => checkDescriptions(),
  dist,
}

/** The workflows of this repository, and the examples for users. */
const workflows = ['.github/workflows/*.yml', 'examples/workflows/*.yml']

/** The strictest checks that need only the workflow files. Checks that need GitHub are off. */
function zizmor(): string[] {
  return [
    '--offline',
    '--pedantic',
    '--strict-collection',
    '--quiet',
    '--color=never',
    '--config=.github/zizmor.yml',
    'action.yml',
    '.github/dependabot.yml',
    ...globSync(workflows),
  ]
}

/** @throws Error that names each file in the folder that Biome would format differently */
export async function checkFormat(folder: string): Promise<void> {
  await exec('biome', ['format', '--colors=off', `--config-path=${root}`, '.'], { cwd: folder })
}

/** @throws Error that names each import below the folder's src that goes up, sideways or round in a circle */
export async function checkImports(folder: string): Promise<void> {
  const config = join(root, '.dependency-cruiser.mjs')
  await exec('depcruise', ['--no-progress', '--config', config, 'src'], { cwd: folder })
}

/** @throws Error if a file in dist differs from the build of src */
export async function dist(): Promise<void> {
  await build(scratch)
  const files = readdirSync(scratch)
  const same =
    files.join() === readdirSync('dist').join() &&
    files.every((file) => readFileSync(join(scratch, file)).equals(readFileSync(join('dist', file))))
  if (!same) throw new Error('dist is not what src makes: run `npm run build` and commit dist')
}

export type Result = { passed: number; failed: number }

/** Runs all checks concurrently and prints each result at once. */
export async function check(): Promise<Result> {
  const results = await Promise.all(
    Object.entries(checks).map(async ([name, work]) => {
      const began = Date.now()
      try {
        await work()
        console.log(`✓ ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`)
        return true
      } catch (error) {
        const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string }
        console.log(`✗ ${name}\n${`${stdout}${stderr}`.trim() || message}`)
        return false
      }
    }),
  )
  return { passed: results.filter(Boolean).length, failed: results.filter((passed) => !passed).length }
}

if (import.meta.main) process.exitCode = (await check()).failed === 0 ? 0 : 1
