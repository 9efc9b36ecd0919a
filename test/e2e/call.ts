// Calls one function of src/canary inside the mesh's network: `node call.ts NAME '[…]'`, with the arguments after the cluster.
// What it answers is printed as JSON.
import { tmpdir } from 'node:os'
import { adopt } from '../../src/canary/controller/adopt.ts'
import * as traffic from '../../src/canary/traffic/router.ts'
import { client, type Cluster } from '../../src/cluster/client.ts'
import { connection } from '../../src/cluster/connect.ts'
import type { Split } from '../../src/policies/routes.ts'
import { systemClock } from '../../src/runtime/clock.ts'

type Verb = (cluster: Cluster, ...args: never[]) => Promise<unknown>

/** The canary counts as drained a little after its weight is 0. */
const adoption = {
  note: () => undefined,
  signal: new AbortController().signal,
  timeoutMs: 15_000,
  clock: systemClock,
  isDrained: () => systemClock.sleep(2_000).then(() => true),
}
const verbs: Record<string, Verb> = {
  readSplit: traffic.readWeight,
  moveTraffic: traffic.setWeight,
  mirrorTo: (cluster, split: Split, percent: number | null) => traffic.setMirror(cluster, split, percent ?? undefined),
  routeMatch: (cluster, split: Split, match: Parameters<typeof traffic.setHeaderRoute>[2] | null) =>
    traffic.setHeaderRoute(cluster, split, match ?? undefined),
  putAllBack: traffic.resetToStable,
  adopt: (cluster, split: Split, groups: Parameters<typeof adopt>[2]) => adopt(cluster, split, groups, adoption),
}

const [name = '', args = '[]'] = process.argv.slice(2)
const answer = await verbs[name]!(client(connection(undefined, undefined, tmpdir())), ...(JSON.parse(args) as never[]))
console.log(JSON.stringify(answer ?? null))
process.exit()
