// The part of the benchmark that talks to the cluster, in the mesh's network. Prints the costs as one line of JSON.
// SCALE='pods' measures only that part; SCALE_SIZES='10 100' only those sizes of it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { measureCanaries, type CanariesRow } from './canaries.ts'
import { commandFolder } from './command.ts'
import { measurePods, type PodsRow } from './pods.ts'
import { measureServices, type ServicesRow } from './services.ts'
import { createWorld } from './world.ts'

export type Costs = { pods: PodsRow[]; services: ServicesRow[]; canaries: CanariesRow[] }

const allSizes = { pods: [10, 100, 1_000, 5_000], services: [10, 100, 1_000], canaries: [1, 10, 50] }

/** No sizes of a part that is not asked for. */
function sizesOf(part: keyof Costs): number[] {
  const { SCALE: parts = 'pods services canaries', SCALE_SIZES: sizes } = process.env
  if (!parts.split(' ').includes(part)) return []
  return sizes ? sizes.split(' ').map(Number) : allSizes[part]
}

/** Starts the process behind the addresses of all pods. */
async function startSidecars() {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'sidecars.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

const command = commandFolder()
const sidecars = await startSidecars()
const world = await createWorld()
try {
  const costs: Costs = {
    pods: await measurePods(world, command, sizesOf('pods')),
    services: await measureServices(world, command, sizesOf('services')),
    canaries: await measureCanaries(world, command, sizesOf('canaries')),
  }
  console.log(JSON.stringify(costs))
} finally {
  await world.end()
  sidecars.kill('SIGTERM')
  await once(sidecars, 'exit')
  command.remove()
}
process.exit()
