// Calls one function of src/canary inside the mesh's network: `node call.ts NAME '[…]'`. The JSON list has the
// arguments after the cluster. Prints the result as JSON.
import { tmpdir } from 'node:os'
import { adopt } from '../../src/canary/controller/adopt.ts'
import * as traffic from '../../src/canary/traffic/router.ts'
import { templateHash, workloadsOf } from '../../src/canary/workload/fingerprint.ts'
import type { VersionSelectors } from '../../src/canary/workload/selectors.ts'
import { createClient, type Cluster } from '../../src/cluster/client.ts'
import { connection } from '../../src/cluster/connect.ts'
import type { Workload } from '../../src/cluster/objects.ts'
import type { Split } from '../../src/policies/routes.ts'
import { systemClock } from '../../src/runtime/clock.ts'

type CalledFunction = (cluster: Cluster, ...args: never[]) => Promise<unknown>

/** Treats the canary as drained two seconds after its weight is 0. */
const adoptOptions = {
  note: () => undefined,
  warn: () => undefined,
  signal: new AbortController().signal,
  timeoutMs: 15_000,
  clock: systemClock,
  isDrained: () => systemClock.sleep(2_000).then(() => true),
  confirmLease: () => Promise.resolve(),
}
const callable: Record<string, CalledFunction> = {
  readWeight: traffic.readWeight,
  setWeight: traffic.setWeight,
  setMirror: (cluster, split: Split, percent: number | null) => traffic.setMirror(cluster, split, percent ?? undefined),
  setHeaderRoute: (cluster, split: Split, match: Parameters<typeof traffic.setHeaderRoute>[2] | null) =>
    traffic.setHeaderRoute(cluster, split, match ?? undefined),
  resetToStable: traffic.resetToStable,
  adopt: async (cluster, split: Split, groups: VersionSelectors) => {
    const workloads = await cluster.list<Workload>('Deployment', split.namespace)
    const template = templateHash(workloadsOf(workloads, groups.canary), [])
    return adopt(cluster, split, groups, { ...adoptOptions, template })
  },
}

const [name = '', args = '[]'] = process.argv.slice(2)
const result = await callable[name]!(
  createClient(connection(undefined, undefined, tmpdir())),
  ...(JSON.parse(args) as never[]),
)
console.log(JSON.stringify(result ?? null))
process.exit()
