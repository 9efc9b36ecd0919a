// The stage verify: pods N/N, proxies in sync, and the mutual TLS mode on the wire.
import type { Pod } from '../cluster/objects.ts'
import { canariesOf, servicesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { outdatedSidecars } from '../mesh/revisions.ts'
import { readManifests } from '../policies/manifests.ts'
import { checkTraffic } from '../verify/traffic-checks.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { verifyProxies } from '../verify/proxies.ts'
import { verifyPods } from '../verify/verify-pods.ts'
import { probeMtls } from '../verify/mtls-probe.ts'
import { isCanary, type StageOutcome, type StageContext } from './context.ts'

export async function verify(running: StageContext): Promise<StageOutcome> {
  if (running.config.dryRun) return { changed: false }
  await pods(running)
  await revisions(running)
  await proxiesInSync(running)
  if (asksForMtls(running.config)) await onTheWire(running)
  if (running.config.verify.trafficChecks) await inTraffic(running)
  return { changed: false }
}

async function pods({ config, host, cluster, stages, report }: StageContext): Promise<void> {
  const judged = (pod: Pod) => !stages.includes('promote') || !isCanary(config, pod.metadata.labels)
  report.pods = await verifyPods(cluster, config.namespace, config.verify.timeout, judged, host.signal)
  for (const { name, ready, sidecar, cause } of report.pods)
    host.info(`${name}  ${ready}  sidecar: ${sidecar}${cause === undefined ? '' : `  ${cause}`}`)
  const wrong = report.pods.filter(({ cause }) => cause !== undefined)
  if (wrong.length > 0)
    throw new Error(
      wrong.map(({ name, ready, cause }) => `pod ${config.namespace}/${name} is ${ready}: ${cause ?? ''}`).join('\n'),
    )
}

/** They serve as well as the others, so it is no fault; but a control plane stays for them. */
async function revisions({ config, host, cluster, report }: StageContext): Promise<void> {
  const told = await outdatedSidecars(cluster, config.namespace)
  if (told === undefined) return
  host.warning(told)
  report.warnings.push(told)
}

async function proxiesInSync({ config, host, cluster, connection, report }: StageContext): Promise<void> {
  const asker = report.istioctl && {
    path: report.istioctl.path,
    args: connection.cliArgs,
    signal: withTimeout(host.signal, config.limits.istioctl, 'istioctl proxy-status', 'limits.istioctl'),
  }
  report.proxies = await verifyProxies(cluster, config.namespace, asker)
  const wrong = report.proxies.filter(({ ok }) => !ok)
  host.info(
    wrong.length === 0
      ? `${report.proxies.length} proxies are in sync with istiod`
      : `${wrong.length} of ${report.proxies.length} proxies are not in sync with istiod`,
  )
  if (wrong.length > 0)
    throw new Error(
      wrong
        .map(({ pod, cause }) => `the proxy of ${config.namespace}/${pod} is not in sync: ${cause ?? ''}`)
        .join('\n'),
    )
}

/** By its own section, or by a manifest. */
function asksForMtls({ mtls, policies = [], namespace }: Config): boolean {
  return (
    mtls !== undefined || readManifests(policies, namespace).some(({ object }) => object.kind === 'PeerAuthentication')
  )
}

async function onTheWire({ config, host, cluster, report }: StageContext): Promise<void> {
  report.mtls = await probeMtls(cluster, config.namespace, host.signal)
  for (const { pod, port, expected, seen, note } of report.mtls)
    host.info(`${pod}:${port}  ${expected}: plaintext ${seen}${note === undefined ? '' : `  (${note})`}`)
  const wrong = report.mtls.filter(({ ok }) => ok === false)
  if (wrong.length > 0)
    throw new Error(wrong.map(({ pod, port, note }) => `${config.namespace}/${pod}:${port}: ${note ?? ''}`).join('\n'))
}

/** How long the traffic that is there is watched, in milliseconds. */
const watchMs = 5_000

async function inTraffic({ config, host, cluster, report }: StageContext): Promise<void> {
  const { namespace } = config
  const [canary] = canariesOf(config)
  report.trafficChecks = await checkTraffic(
    cluster,
    { namespace, services: servicesOf(config), ...(canary ? { metrics: canary.metrics } : {}) },
    watchMs,
    host.signal,
  )
  for (const { service, what, ok, text } of report.trafficChecks)
    host.info(`${service}  ${what}: ${ok === undefined ? 'not known' : ok ? 'in force' : 'NOT in force'}, ${text}`)
  const wrong = report.trafficChecks.filter(({ ok }) => ok === false)
  if (wrong.length > 0)
    throw new Error(wrong.map(({ service, what, text }) => `${service}, ${what}: ${text}`).join('\n'))
}
