// What a sample costs, and how long `verify` takes, by the number of pods.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Command, RunCost } from './command.ts'
import { addressOf, serviceName, shares } from './layout.ts'
import type { SampleCost } from './sample.ts'
import { placesOf, serviceObject, type World } from './world.ts'

const exec = promisify(execFile)

export type PodsRow = { size: number; sample: SampleCost; verify: RunCost }

const namespace = 'scale-pods'

export async function measurePods(world: World, command: Command, sizes: number[]): Promise<PodsRow[]> {
  const service = serviceName(0)
  const config = command.config('pods', {
    namespace,
    services: { [service]: { port: 80, subsets: { stable: { version: 'stable' }, canary: { version: 'canary' } } } },
    canary: { service, stable: 'stable', canary: 'canary' },
  })
  const script = await command.bundle('sample.ts')
  await world.createNamespace(namespace)
  try {
    await world.create([serviceObject(namespace, 0)])
    const rows: PodsRow[] = []
    const existing = new Set<string>()
    for (const size of sizes) {
      const places = placesOf(shares(size)).filter((place) => !existing.has(addressOf(place, false)))
      await world.createPods(namespace, places, false)
      places.forEach((place) => existing.add(addressOf(place, false)))
      const { stdout } = await exec(process.execPath, [script, config])
      const { cost: verify } = await command.run(['verify', '--config', config])
      rows.push({ size, sample: JSON.parse(stdout) as SampleCost, verify })
      console.error(JSON.stringify(rows.at(-1)))
    }
    return rows
  } finally {
    await world.removeNamespace(namespace)
  }
}
