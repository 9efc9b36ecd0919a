// Waits until a Prometheus that the run has just started has the counters of the sidecars. A promotion takes what it finds
// first as the state before it, so counters that arrive later would count old requests as new ones.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import { isReady } from '../../cluster/pods.ts'
import { installed, prometheusServer } from '../../config/observability.ts'
import type { Config } from '../../config/schema.ts'
import { hasRunningSidecar } from '../../mesh/sidecar.ts'
import { listNames } from '../../runtime/errors.ts'
import { poll } from '../../runtime/retry.ts'
import { prometheusClient, type PromSample } from './prometheus-client.ts'
import { proxyJob } from './scrape.ts'

/** @throws Error that names the pods of the application which were not scraped within `verify.timeout` */
export async function waitForFirstScrape(cluster: Cluster, config: Config, signal: AbortSignal): Promise<void> {
  const { namespace, observability, verify } = config
  const query = prometheusClient(cluster, prometheusServer(observability!)!)
  const scraped = `up{job="${proxyJob}",namespace="${namespace}"} == 1`
  const findMissing = async () => {
    const pods = (await cluster.list<Pod>('Pod', namespace)).filter((pod) => hasRunningSidecar(pod) && isReady(pod))
    if (pods.length === 0) return []
    // Its Service has no endpoint in the first moment.
    const found = await query(scraped).catch((): PromSample[] => [])
    const names = new Set(found.map(({ labels }) => labels['pod']))
    return pods.map(({ metadata }) => metadata.name).filter((name) => !names.has(name))
  }
  const options = { limitMs: verify.timeout, intervalMs: 1_000, signal }
  const missing = await poll(findMissing, ({ length }) => length === 0, options)
  if (missing.length === 0) return
  const { name, port } = installed.prometheus
  const targets = `/api/v1/namespaces/${observability!.namespace}/services/${name}:${port}/proxy/api/v1/targets`
  throw new Error(
    `the installed Prometheus did not scrape the sidecars of ${listNames(missing)} within ${verify.timeout / 1000} s; ` +
      `\`kubectl get --raw ${targets}\` shows why`,
  )
}
