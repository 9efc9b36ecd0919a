// Runs the built command line as a process of its own, and counts what it costs.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import type { Activity, Usage } from './usage.ts'

const cli = resolve(import.meta.dirname, '../../dist/cli.js')

export type RunCost = Usage & { seconds: number }
/** `interruptAfterMs`: after the line `interruptFrom` the run is interrupted, and must fail. */
export type RunOptions = { interruptFrom?: RegExp; interruptAfterMs?: number }
/** `interruptedAt`: in the time of the activities. */
export type MeasuredRun = { cost: RunCost; activities: Activity[]; interruptedAt: number | undefined }

const limitMs = 240_000

/** A folder for the files of one benchmark. */
export function commandFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-scale-'))
  const file = (name: string) => join(folder, name)

  async function run(args: string[], options: RunOptions = {}): Promise<MeasuredRun> {
    const usageFile = file('usage.json')
    const { code, log, seconds, interruptedAt } = await runToEnd(args, usageFile, options)
    writeFileSync(file('last.log'), log)
    const hasFailed = code !== 0
    const shouldFail = interruptedAt !== undefined
    if (hasFailed !== shouldFail)
      throw new Error(`mesh-canary ${args.join(' ')} ended with ${String(code)}:\n${log.slice(-4_000)}`)
    const { usage, activities } = JSON.parse(readFileSync(usageFile, 'utf8')) as {
      usage: Usage
      activities: Activity[]
    }
    return { cost: { ...usage, seconds }, activities, interruptedAt }
  }

  return {
    run,
    /** Bundles a script of this folder, as `npm run build` bundles the program: its types must not cost memory. */
    bundle: async (script: string): Promise<string> => {
      const outfile = file(script.replace(/\.ts$/, '.mjs'))
      await build({
        entryPoints: [join(import.meta.dirname, script)],
        outfile,
        bundle: true,
        minify: true,
        platform: 'node',
        format: 'esm',
        target: 'node24',
        logLevel: 'warning',
        banner: {
          js: "import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);",
        },
      })
      return outfile
    },
    config: (name: string, content: object): string => {
      writeFileSync(file(`${name}.json`), JSON.stringify(content))
      return file(`${name}.json`)
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

export type Command = ReturnType<typeof commandFolder>

type EndedRun = { code: number | null; log: string; seconds: number; interruptedAt: number | undefined }

async function runToEnd(
  args: string[],
  usageFile: string,
  { interruptFrom, interruptAfterMs = 0 }: RunOptions,
): Promise<EndedRun> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, ['--import', join(import.meta.dirname, 'write-usage.ts'), cli, ...args], {
    env: { ...process.env, SCALE_USAGE: usageFile },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  let interruption: NodeJS.Timeout | undefined
  let interruptedAt: number | undefined
  const interrupt = () => {
    interruptedAt = performance.now() - startedAt
    child.kill('SIGINT')
  }
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      log += text
      if (interruptFrom?.test(text)) interruption ??= setTimeout(interrupt, interruptAfterMs)
    })
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs)
  const code = await new Promise<number | null>((ended) => child.once('close', ended))
  clearTimeout(interruption)
  clearTimeout(limit)
  return { code, log, seconds: (performance.now() - startedAt) / 1_000, interruptedAt }
}
