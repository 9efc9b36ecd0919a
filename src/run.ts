// The story of a run, top to bottom: istioctl → cluster → preflight → mesh → sidecars → policies → verify → promote.
import { promote } from './canary/promote.ts'
import { moveTraffic, type Split } from './canary/traffic.ts'
import { client, type Cluster } from './cluster/client.ts'
import { connection, secretsOf, type Connection } from './cluster/connect.ts'
import { matches } from './cluster/labels.ts'
import type { Pod } from './cluster/objects.ts'
import { stagesOf } from './config/check.ts'
import { ConfigError } from './config/error.ts'
import type { Config, StageName } from './config/schema.ts'
import { obtain, type Istioctl } from './istioctl/download.ts'
import { run as runIstioctl } from './istioctl/run.ts'
import { ensureMesh, wanted, type Wanted } from './mesh/install.ts'
import { labelNamespace, lackingSidecar, restart, selectWorkloads } from './mesh/inject.ts'
import { proxies } from './mesh/propagation.ts'
import { untilRolledOut } from './mesh/rollout.ts'
import { isReady } from './mesh/sidecar.ts'
import { applyPolicies, type Live } from './policies/apply.ts'
import { servicesOf } from './policies/compile/index.ts'
import { preflight } from './preflight.ts'
import { promotionReport, type Report } from './report/report.ts'
import { causeOf } from './verify/cause.ts'
import { verifyPods } from './verify/verify.ts'

/** What a run needs of whoever starts it: GitHub's runner, or a shell. */
export type Host = {
  signal: AbortSignal
  tempDir: string
  info: (line: string) => void
  warning: (line: string) => void
  /** Lines told inside belong together under the name. */
  group: <T>(name: string, work: () => Promise<T>) => Promise<T>
  mask: (secret: string) => void
  /** Told when istioctl is there, so that later steps find it. */
  istioctl: (found: Istioctl) => void
  /** Told what to undo should this process die; undefined when there is nothing left to undo. */
  intent: (split: Split | undefined) => void
  connected: (connection: Connection) => void
}

/** What the stages share. `live`: the mesh's objects as they were before anything was touched. */
type Running = { config: Config; host: Host; cluster: Cluster; connection: Connection; stages: StageName[]; asked?: Wanted; live: Live; report: Report }

/** Never rejects: what went wrong is in the report. */
export async function run(config: Config, host: Host): Promise<Report> {
  const began = Date.now()
  const report: Report = { startedAt: new Date(began).toISOString(), seconds: 0, outcome: 'success', namespace: config.namespace, stages: [], changes: [], restarted: [], pods: [] }
  try {
    await story(config, host, report)
  } catch (error) {
    report.error = host.signal.aborted ? 'the run was cancelled' : error instanceof Error ? error.message : String(error)
    if (!(error instanceof ConfigError) && error instanceof Error && process.env['RUNNER_DEBUG'] === '1') host.info(error.stack ?? '')
  }
  if (config.canary && report.verdict === undefined) Object.assign(report, { verdict: 'skipped', reason: report.error ?? 'the stage promote was not asked for' })
  return { ...report, outcome: report.error === undefined ? 'success' : 'failure', seconds: (Date.now() - began) / 1000 }
}

async function story(config: Config, host: Host, report: Report): Promise<void> {
  const stages = stagesOf(config)
  if (stages.length === 0) throw new ConfigError('inputs: there is nothing to do; give at least one of istio-version, workloads, mtls, services, canary, or a config file')
  const asked = config.istio && wanted(config.istio)
  const target = connection(config.kubeconfig, config.context, host.tempDir)
  secretsOf(target.config).forEach(host.mask)
  host.connected(target)
  const cluster = client(target)
  const running: Running = { config, host, cluster, connection: target, stages, live: { virtualServices: [], destinationRules: [] }, report, ...(asked ? { asked } : {}) }
  report.server = target.server

  await stage(running, 'check', async () => {
    running.live = await preflight(cluster, config, stages)
    if (config.istio) await getIstioctl(running)
    return { changed: false }
  })
  for (const name of stages) await stage(running, name, () => work[name](running))
}

/** Each stage answers whether it changed anything. */
type Done = { changed: boolean }
const work: Record<StageName, (running: Running) => Promise<Done>> = { plan: unbuilt, install, inject, policies, verify, promote: deliver, uninstall: unbuilt }

function unbuilt(): Promise<Done> {
  return Promise.reject(new ConfigError('stages: this one is not built yet'))
}

async function stage({ host, report }: Running, name: StageName | 'check', doIt: () => Promise<Done>): Promise<void> {
  const began = Date.now()
  const done = (outcome: 'done' | 'unchanged' | 'failed') => report.stages.push({ name, outcome, seconds: (Date.now() - began) / 1000 })
  try {
    host.signal.throwIfAborted()
    const { changed } = await host.group(name, doIt)
    done(changed ? 'done' : 'unchanged')
  } catch (error) {
    done('failed')
    throw error
  }
}

async function getIstioctl({ config, host, report }: Running): Promise<void> {
  const found = await obtain(config.istio!.version, config.istio!.mirror)
  host.info(`istioctl ${found.version}: ${found.cacheHit ? 'from the tool cache' : 'downloaded and verified'}, ${found.path}`)
  host.istioctl(found)
  report.istioctl = { path: found.path, version: found.version, cacheHit: found.cacheHit }
}

async function install({ config, host, cluster, connection, asked, report }: Running): Promise<Done> {
  const mesh = await ensureMesh(cluster, asked!, async (args) => {
    const timeout = `${Math.ceil(config.istio!.timeout / 1000)}s`
    const all = ['install', '-y', '--readiness-timeout', timeout, ...args, ...connection.cliArgs]
    const { code, stderr } = await runIstioctl(report.istioctl!.path, all, host.signal, (line) => /[a-z]/i.test(line) && host.info(line))
    if (code !== 0) throw new Error(`istioctl install failed: ${lastError(stderr)}${await controlPlaneCauses(cluster)}`)
  })
  report.mesh = mesh
  host.info(`Istio ${mesh.version}: ${mesh.action === 'unchanged' ? 'already as asked, nothing changed' : mesh.action}`)
  return { changed: mesh.action !== 'unchanged' }
}

function lastError(stderr: string): string {
  return stderr.split('\n').filter((line) => line.trim()).slice(-3).join(' ').trim()
}

/** istioctl says that it waited in vain; why is written on the pods. */
async function controlPlaneCauses(cluster: Cluster): Promise<string> {
  const pods = await cluster.list<Pod>('Pod', 'istio-system').catch(() => [])
  const waiting = pods.filter((pod) => !isReady(pod))
  const causes = await Promise.all(waiting.map(async (pod) => `${pod.metadata.name}: ${await causeOf(cluster, pod)}`))
  return causes.map((cause) => `\n${cause}`).join('')
}

async function inject({ config, host, cluster, report }: Running): Promise<Done> {
  const { namespace, workloads, verify } = config
  const labelled = await labelNamespace(cluster, namespace)
  if (labelled) report.changes.push({ kind: 'Namespace', namespace, name: namespace, action: 'changed' })
  host.info(labelled ? `namespace ${namespace}: labelled istio-injection=enabled` : `namespace ${namespace}: already asks for sidecars`)

  const all = await selectWorkloads(cluster, namespace, workloads!)
  const lacking = lackingSidecar(all, await cluster.list<Pod>('Pod', namespace))
  for (const workload of lacking) {
    await restart(cluster, workload)
    const name = `${workload.kind}/${workload.metadata.name}`
    report.restarted.push(name)
    host.info(`${name}: restarted, for it had no sidecar`)
    const rollout = untilRolledOut(cluster, workload, verify.timeout, host.signal)
    await (isCanary(config, workload.spec.template.metadata?.labels) ? rollout.catch(leftToPromotion(host)) : rollout)
  }
  if (lacking.length === 0) host.info('every workload already has its sidecar: nothing was restarted')
  return { changed: labelled || lacking.length > 0 }
}

/** The canary's own pods are the promotion's to judge: they may be broken, and that is a verdict, not an error. */
function leftToPromotion({ signal, warning }: Host) {
  return (error: unknown) => {
    signal.throwIfAborted()
    warning(error instanceof Error ? error.message : String(error))
  }
}

function isCanary(config: Config, labels: Record<string, string> | undefined): boolean {
  const subset = config.canary && servicesOf(config)[config.canary.service]?.subsets?.[config.canary.canary]
  return subset !== undefined && matches(subset, labels)
}

async function policies({ config, host, cluster, live, report }: Running): Promise<Done> {
  const changes = await applyPolicies(cluster, config, live, () => proxies(cluster, config.namespace, 5_000))
  report.changes.push(...changes)
  for (const { kind, name, action } of changes) host.info(`${kind} ${name}: ${action}`)
  if (changes.length === 0) host.info('all policies are already in force: nothing changed')
  return { changed: changes.length > 0 }
}

async function verify({ config, host, cluster, stages, report }: Running): Promise<Done> {
  const judged = (pod: Pod) => !stages.includes('promote') || !isCanary(config, pod.metadata.labels)
  report.pods = await verifyPods(cluster, config.namespace, config.verify.timeout, judged, host.signal)
  for (const { name, ready, sidecar, cause } of report.pods) host.info(`${name}  ${ready}  sidecar: ${sidecar}${cause === undefined ? '' : `  ${cause}`}`)
  const wrong = report.pods.filter(({ cause }) => cause !== undefined)
  if (wrong.length > 0) throw new Error(wrong.map(({ name, ready, cause }) => `pod ${config.namespace}/${name} is ${ready}: ${cause ?? ''}`).join('\n'))
  return { changed: false }
}

async function deliver({ config, host, cluster, report }: Running): Promise<Done> {
  const promotion = await promote(cluster, config, { signal: host.signal, note: host.info, intent: host.intent })
  const { stable, canary } = config.canary!
  report.promotion = promotionReport(promotion, stable, canary)
  Object.assign(report, { verdict: promotion.verdict, weight: promotion.weight, reason: promotion.reason })
  if (promotion.verdict !== 'promoted' && promotion.verdict !== 'skipped') report.error = `the canary ${canary} of ${config.canary!.service} was not promoted (${promotion.verdict ?? ''}): ${promotion.reason ?? ''}`
  return { changed: promotion.verdict !== 'skipped' }
}

/** What a run that died left undone: all traffic back to stable. */
export async function undo(split: Split, kubeconfig: string | undefined, context: string | undefined, tempDir: string): Promise<void> {
  const target = connection(kubeconfig, context, tempDir)
  await moveTraffic(client(target), split, 0)
}
