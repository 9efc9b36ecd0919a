// What the stages check of mutual TLS before they write it: that nothing in the cluster undoes it, and that it breaks
// neither callers nor probes.
import type { Cluster } from '../cluster/client.ts'
import type { KubeObject, Pod, Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { allCanariesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import type { StageName } from '../config/schema/stages.ts'
import { ownerOf, type Owner } from '../policies/owned-objects.ts'
import { listNames } from '../runtime/errors.ts'
import { refusedCallers, undoneModes } from '../verify/mtls-conflicts.ts'
import { readMtlsFacts } from '../verify/mtls-facts.ts'
import { cutOffCallers, hasPlaintext, podsOutsideMesh, watchPlaintext } from '../verify/plaintext-callers.ts'
import { newlyStrict } from '../verify/plaintext-counts.ts'
import { istioMetricNames } from '../verify/proxy-counters.ts'
import { refusedProbes } from '../verify/refused-probes.ts'
import { warn, type StageContext } from './context.ts'

/** `objects`: what the run writes. One sentence for each fault and warning. */
export async function checkMtlsChange(
  cluster: Cluster,
  config: Config,
  objects: readonly KubeObject[],
  owner: Owner,
  stages: readonly StageName[],
): Promise<{ faults: string[]; warnings: string[] }> {
  const facts = await readMtlsFacts(cluster, objects, owner)
  if (!facts) return { faults: [], warnings: [] }
  const probes = refusedProbes(facts, (workload) => stages.includes('inject') && isNamed(config, workload))
  return {
    faults: [...undoneModes(facts), ...refusedCallers(facts), ...probes.faults],
    warnings: probes.warnings,
  }
}

/**
 * Looks for callers that the change would cut off.
 * @throws ConfigError if there are any, unless the config accepts that.
 */
export async function requireNoPlaintext(context: StageContext, objects: readonly KubeObject[]): Promise<void> {
  const { cluster, config, host } = context
  const { namespace, mtls } = config
  if (mtls?.plaintextCallers === 'cut-off') return
  const facts = await readMtlsFacts(cluster, objects, ownerOf(config))
  const servers = facts ? newlyStrict(facts) : []
  if (servers.length === 0) return
  const requests = allCanariesOf(config)[0]?.metrics.requests ?? istioMetricNames.requests
  const watch = await watchPlaintext(cluster, namespace, servers, requests, host.signal)
  if (watch.unread.length > 0) warn(context, [unreadWarning(watch.unread)])
  if (!hasPlaintext(watch)) return
  const fault = cutOffCallers(watch, await podsOutsideMesh(cluster, namespace), namespace)
  if (fault !== undefined) throw new ConfigError(fault)
}

function unreadWarning(pods: readonly Pod[]): string {
  const names = listNames(pods.map(({ metadata }) => metadata.name))
  return (
    `mtls: the counters of ${names} cannot be read, so this run cannot see whether callers send plaintext, which ` +
    'STRICT refuses; it needs the verb get on pods/proxy'
  )
}

function isNamed({ workloads = [] }: Config, { kind, metadata }: Workload): boolean {
  return workloads === 'all' || workloads.some((each) => each.kind === kind && each.name === metadata.name)
}
