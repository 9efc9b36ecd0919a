// The stage verify: checks that pods are ready, proxies are in sync, mutual TLS has its mode, traffic follows the policies,
// and telemetry arrives.
import { forward } from '../cluster/forward.ts'
import type { Pod } from '../cluster/objects.ts'
import { allCanariesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { revisionArgs } from '../mesh/labels.ts'
import { outdatedSidecars } from '../mesh/revisions.ts'
import { desired } from '../policies/desired.ts'
import { systemClock } from '../runtime/clock.ts'
import { withTimeout } from '../runtime/timeout.ts'
import type { PeerAuthentication } from '../verify/mtls-modes.ts'
import { probeMtls } from '../verify/mtls-probe.ts'
import { verifyProxies } from '../verify/proxies.ts'
import { proveTelemetry } from '../verify/telemetry/proof.ts'
import { checkTraffic } from '../verify/traffic-checks.ts'
import { verifyPods } from '../verify/verify-pods.ts'
import { canaryMatcher, statedServices, warn, type StageContext, type StageOutcome } from './context.ts'

export async function verify(context: StageContext): Promise<StageOutcome> {
  const { config } = context
  if (config.dryRun) return { changed: false }
  await checkPods(context)
  await warnOfOutdatedSidecars(context)
  await checkProxies(context)
  const asked = askedMtls(config)
  if (asked.length > 0) await checkMtls(context, asked)
  if (config.verify.trafficChecks) await checkPoliciesInTraffic(context)
  await checkTelemetry(context)
  return { changed: false }
}

/** @throws Error with one line for each fault, if there are any. */
function failOn(faults: string[]): void {
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

async function checkPods(context: StageContext): Promise<void> {
  const { config, host, cluster, stages, recorder } = context
  const { namespace } = config
  const isCanary = stages.includes('promote') ? await canaryMatcher(context) : () => false
  const isOurs = (pod: Pod) => !isCanary(pod.metadata.labels)
  const pods = await verifyPods(cluster, namespace, config.verify.timeout, isOurs, host.signal)
  recorder.record({ pods })
  for (const { name, ready, sidecar, cause } of pods)
    host.info(`${name}  ${ready}  sidecar: ${sidecar}${cause === undefined ? '' : `  ${cause}`}`)
  const broken = pods.filter(({ cause }) => cause !== undefined)
  failOn(broken.map(({ name, ready, cause }) => `pod ${namespace}/${name} is ${ready}: ${cause ?? ''}`))
}

/** Outdated sidecars still serve, so they are no fault. But their old control plane has to stay. */
async function warnOfOutdatedSidecars(context: StageContext): Promise<void> {
  warn(context, await outdatedSidecars(context.cluster, context.config.namespace))
}

async function checkProxies({ config, host, cluster, connection, istioctl, recorder }: StageContext): Promise<void> {
  const { namespace, limits } = config
  const proxyStatus = istioctl && {
    path: istioctl.path,
    args: [...revisionArgs(config.istio?.revision), ...connection.cliArgs],
    signal: withTimeout(host.signal, limits.istioctl, 'istioctl proxy-status', 'limits.istioctl'),
  }
  const proxies = await verifyProxies(cluster, namespace, proxyStatus)
  recorder.record({ proxies })
  const behind = proxies.filter(({ ok }) => !ok)
  host.info(
    behind.length === 0
      ? `${proxies.length} proxies are in sync with istiod`
      : `${behind.length} of ${proxies.length} proxies are not in sync with istiod`,
  )
  failOn(behind.map(({ pod, cause }) => `the proxy of ${namespace}/${pod} is not in sync: ${cause ?? ''}`))
}

/** What the section `mtls` and the manifests ask for. */
function askedMtls(config: Config): PeerAuthentication[] {
  if (config.mtls === undefined && config.policies === undefined) return []
  return desired(config).objects.filter(({ kind }) => kind === 'PeerAuthentication')
}

async function checkMtls(
  { config, host, cluster, recorder }: StageContext,
  asked: PeerAuthentication[],
): Promise<void> {
  const { namespace } = config
  const mtls = await probeMtls(cluster, namespace, asked, host.signal)
  recorder.record({ mtls })
  for (const { pod, port, expected, seen, note } of mtls)
    host.info(`${pod}:${port}  ${expected}: plaintext ${seen}${note === undefined ? '' : `  (${note})`}`)
  const wrong = mtls.filter(({ ok }) => ok === false)
  failOn(wrong.map(({ pod, port, note }) => `${namespace}/${pod}:${port}: ${note ?? ''}`))
}

const trafficWindowMs = 5_000

async function checkPoliciesInTraffic(context: StageContext): Promise<void> {
  const { config, host, cluster, recorder } = context
  const { namespace } = config
  const [canary] = allCanariesOf(config)
  const trafficChecks = await checkTraffic(
    cluster,
    { namespace, services: await statedServices(context), ...(canary ? { metrics: canary.metrics } : {}) },
    trafficWindowMs,
    host.signal,
  )
  recorder.record({ trafficChecks })
  for (const { service, what, ok, text } of trafficChecks) host.info(`${service}  ${what}: ${inWords(ok)}, ${text}`)
  const wrong = trafficChecks.filter(({ ok }) => ok === false)
  failOn(wrong.map(({ service, what, text }) => `${service}, ${what}: ${text}`))
}

/** Shows that a request's metric, trace and log line arrive, as far as the config asks for them. */
async function checkTelemetry({ config, host, cluster, connection, recorder }: StageContext): Promise<void> {
  const telemetry = await proveTelemetry({
    cluster,
    config,
    forward: (...where) => forward(connection, ...where),
    signal: host.signal,
    clock: systemClock,
  })
  if (telemetry.length === 0) return
  recorder.record({ telemetry })
  for (const { what, ok, text } of telemetry) host.info(`${what}: ${provedInWords(ok)}, ${text}`)
  failOn(telemetry.filter(({ ok }) => ok === false).map(({ what, text }) => `observability.${what}: ${text}`))
}

function provedInWords(ok: boolean | undefined): string {
  if (ok === undefined) return 'not known'
  return ok ? 'arrive' : 'do NOT arrive'
}

function inWords(ok: boolean | undefined): string {
  if (ok === undefined) return 'not known'
  return ok ? 'in force' : 'NOT in force'
}
