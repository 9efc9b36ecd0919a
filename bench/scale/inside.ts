// The part of the benchmark that talks to the cluster, in the mesh's network. Prints the costs as one line of JSON.
// SCALE='pods' measures only that part, SCALE_SIZES='10 100' only those sizes.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { addressOf, serviceName, shares } from './layout.ts'
import type { SampleCost } from './sample.ts'
import type { Activity, Usage } from './usage.ts'
import { createWorld, placesOf, serviceObject, type World } from './world.ts'

const exec = promisify(execFile)
const here = import.meta.dirname
const cli = resolve(here, '../../dist/cli.js')

export type RunCost = Usage & { seconds: number }
export type PodsRow = { pods: number; sample: SampleCost; verify: RunCost }
export type Costs = { pods: PodsRow[] }

const sizes = (all: number[]) => (process.env['SCALE_SIZES'] ? process.env['SCALE_SIZES'].split(' ').map(Number) : all)
const podsNamespace = 'scale-pods'
const say = (line: string) => console.error(line)

const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-scale-'))
const sidecars = await startSidecars()
const world = await createWorld()
try {
  console.log(JSON.stringify({ pods: await measurePods(world) } satisfies Costs))
} finally {
  await world.removeNamespace(podsNamespace)
  await world.end()
  sidecars.kill('SIGTERM')
  rmSync(folder, { recursive: true })
}
process.exit()

/** The process behind the addresses of all pods. */
async function startSidecars() {
  const child = spawn(process.execPath, [join(here, 'sidecars.ts')], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}

async function measurePods(world: World): Promise<PodsRow[]> {
  const namespace = podsNamespace
  const service = serviceName(0)
  const config = configFile('pods', {
    namespace,
    services: { [service]: { port: 80, subsets: { stable: { version: 'stable' }, canary: { version: 'canary' } } } },
    canary: { service, stable: 'stable', canary: 'canary' },
  })
  await world.createNamespace(namespace)
  await world.create([serviceObject(namespace, 0)])
  const rows: PodsRow[] = []
  const existing = new Set<string>()
  for (const pods of sizes([10, 100, 1_000, 5_000])) {
    const from = performance.now()
    const places = placesOf(shares(pods)).filter((place) => !existing.has(addressOf(place, false)))
    await world.createPods(namespace, places, false)
    places.forEach((place) => existing.add(addressOf(place, false)))
    say(`${pods} pods after ${seconds(from)} s`)
    const { stdout } = await exec(process.execPath, [join(here, 'sample.ts'), config])
    const sample = JSON.parse(stdout) as SampleCost
    say(`  sample: ${JSON.stringify(sample)}`)
    const verify = await runCli(['verify', '--config', config])
    say(`  verify: ${JSON.stringify(verify.cost)}`)
    rows.push({ pods, sample, verify: verify.cost })
  }
  return rows
}

function seconds(from: number): string {
  return ((performance.now() - from) / 1_000).toFixed(1)
}

function configFile(name: string, config: object): string {
  const file = join(folder, `${name}.json`)
  writeFileSync(file, JSON.stringify(config))
  return file
}

/** Runs the built command line, and counts what it costs. @throws Error with its output if it fails. */
async function runCli(args: string[]): Promise<{ cost: RunCost; activities: Activity[]; stdout: string }> {
  const file = join(folder, 'usage.json')
  const from = performance.now()
  const { stdout } = await exec(process.execPath, ['--import', join(here, 'usage.ts'), cli, ...args], {
    env: { ...process.env, SCALE_USAGE: file },
    maxBuffer: 64 << 20,
  }).catch((error: unknown) => {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`mesh-canary ${args.join(' ')} failed:\n${`${stdout}${stderr}`.slice(-4_000)}`)
  })
  const took = (performance.now() - from) / 1_000
  const { usage, activities } = JSON.parse(readFileSync(file, 'utf8')) as { usage: Usage; activities: Activity[] }
  return { cost: { ...usage, seconds: took }, activities, stdout }
}
