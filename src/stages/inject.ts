// The stage inject: the namespace asks for sidecars, and the workloads that lack one are restarted in their order.
import type { KubeObject, Pod } from '../cluster/objects.ts'
import { asksForSidecars, labelNamespace, lackingSidecar, restart, selectWorkloads } from '../mesh/inject.ts'
import { messageOf } from '../message.ts'
import { untilRolledOut } from '../verify/rollout.ts'
import { isCanary, type Done, type Host, type Running } from './running.ts'

export async function inject({ config, host, cluster, report }: Running): Promise<Done> {
  const { namespace, workloads, verify, dryRun } = config
  const all = await selectWorkloads(cluster, namespace, workloads!)
  const lacking = lackingSidecar(all, await cluster.list<Pod>('Pod', namespace))
  const names = lacking.map(({ kind, metadata }) => `${kind}/${metadata.name}`)
  if (dryRun) {
    const asks = asksForSidecars(await cluster.get<KubeObject>('Namespace', undefined, namespace))
    if (!asks) host.info(`namespace ${namespace}: would be labelled istio-injection=enabled`)
    host.info(names.length > 0 ? `would be restarted, for want of a sidecar: ${names.join(', ')}` : 'every workload already has its sidecar')
    return { changed: !asks || names.length > 0 }
  }

  const labelled = await labelNamespace(cluster, namespace)
  if (labelled) report.changes.push({ kind: 'Namespace', namespace, name: namespace, action: 'changed' })
  host.info(labelled ? `namespace ${namespace}: labelled istio-injection=enabled` : `namespace ${namespace}: already asks for sidecars`)
  for (const [i, workload] of lacking.entries()) {
    await restart(cluster, workload)
    report.restarted.push(names[i]!)
    host.info(`${names[i]!}: restarted, for it had no sidecar`)
    const rollout = untilRolledOut(cluster, workload, verify.timeout, host.signal)
    await (isCanary(config, workload.spec.template.metadata?.labels) ? rollout.catch(leftToPromotion(host)) : rollout)
  }
  if (lacking.length === 0) host.info('every workload already has its sidecar: nothing was restarted')
  return { changed: labelled || lacking.length > 0 }
}

function leftToPromotion({ signal, warning }: Host) {
  return (error: unknown) => {
    signal.throwIfAborted()
    warning(messageOf(error))
  }
}
