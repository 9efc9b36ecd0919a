// The story of a run, top to bottom: config → cluster (made, or there) → preflight → mesh → sidecars → policies → verify → promote.
import type { RecoveryIntent } from './canary/promote.ts'
import { recoverPromotion } from './canary/recovery.ts'
import { client } from './cluster/client.ts'
import { connection, NoKubeconfig, secretsOf, type Connection } from './cluster/connect.ts'
import { stagesOf } from './config/check.ts'
import { ConfigError } from './config/error.ts'
import type { Config, StageName } from './config/schema.ts'
import { desiredMesh, type DesiredMesh } from './mesh/install.ts'
import { messageOf } from './runtime/errors.ts'
import { preflight } from './stages/preflight.ts'
import type { Report } from './report/report.ts'
import { createRedactor, secretsInConfig } from './runtime/redaction.ts'
import { gatewayValues } from './kind/layout.ts'
import { checkIngress, provideCluster, withLogs, type ProvidedCluster } from './stages/cluster.ts'
import { inject } from './stages/inject.ts'
import { checkSupport, getIstioctl, install, pinVersion, reportCost } from './stages/install.ts'
import { plan, policies, renderOnly } from './stages/policies.ts'
import { promoteCanaries, rollback } from './stages/promote.ts'
import type { StageOutcome, Host, StageContext, Stage } from './stages/context.ts'
import { retire } from './stages/retire.ts'
import { uninstall } from './stages/uninstall.ts'
import { verify } from './stages/verify.ts'

/** Never rejects: what went wrong is in the report. */
export async function run(config: Config, host: Host): Promise<Report> {
  const began = Date.now()
  const report: Report = {
    startedAt: new Date(began).toISOString(),
    seconds: 0,
    outcome: 'success',
    namespace: config.namespace,
    stages: [],
    changes: [],
    restarted: [],
    pods: [],
    warnings: [],
    promotions: [],
    dryRun: isDry(config),
  }
  const secrets = secretsInConfig(config)
  let hiding = createRedactor(secrets)
  const hide = <T>(value: T) => hiding(value)
  const learn = (more: string[]) => {
    secrets.push(...more)
    hiding = createRedactor(secrets)
  }
  const quiet: Host = { ...host, info: (line) => host.info(hide(line)), warning: (line) => host.warning(hide(line)) }
  try {
    await story(config, quiet, report, secrets, learn, hide)
  } catch (error) {
    report.error = host.signal.aborted ? 'the run was cancelled' : messageOf(error)
    if (!(error instanceof ConfigError) && error instanceof Error && process.env['RUNNER_DEBUG'] === '1')
      quiet.info(error.stack ?? '')
  }
  const untold = stagesOf(config).includes('promote') && report.verdict === undefined
  if (untold) Object.assign(report, { verdict: 'skipped', reason: report.error ?? 'a dry run promotes nothing' })
  return hide({
    ...report,
    outcome: report.error === undefined ? 'success' : 'failure',
    seconds: (Date.now() - began) / 1000,
  })
}

/** `learn` is told the secrets of the kubeconfig; `hide` takes out all that are known. */
async function story(
  config: Config,
  host: Host,
  report: Report,
  secrets: readonly string[],
  learn: (more: string[]) => void,
  hide: <T>(value: T) => T,
): Promise<void> {
  const stages = stagesOf(config)
  if (stages.length === 0)
    throw new ConfigError(
      'inputs: there is nothing to do; give at least one of istio-version, workloads, mtls, services, canary, or a config file',
    )
  const asked = config.istio && desiredMesh(config.istio, gatewayValues(config.cluster))
  secrets.forEach(host.mask)
  let provided: ProvidedCluster | undefined
  if (config.cluster)
    await stage({ host, report }, 'cluster', async () => ({
      changed:
        (provided = await provideCluster(config, stages, asked?.version, host, report))?.created ??
        stages.includes('cluster'),
    }))
  const target =
    config.cluster && !provided
      ? undefined
      : reach(provided ? provided.kubeconfig : config.kubeconfig, config.context, stages, host.tempDir)
  if (!target) return void (await host.group('plan', () => renderOnly(config, host, report)))
  const work = () =>
    onCluster(
      config,
      host,
      report,
      provided ? { ...target, temporaryFile: provided.kubeconfig } : target,
      asked,
      learn,
      hide,
    )
  await (provided ? withLogs(provided, config, host, report, work) : work())
}

async function onCluster(
  config: Config,
  host: Host,
  report: Report,
  target: Connection,
  asked: DesiredMesh | undefined,
  learn: (more: string[]) => void,
  hide: <T>(value: T) => T,
): Promise<void> {
  const stages = stagesOf(config)
  host.connected(target)
  const ofCluster = secretsOf(target.config)
  ofCluster.forEach(host.mask)
  learn(ofCluster)
  const cluster = client(target, config.limits)
  const running: StageContext = {
    config,
    host,
    redact: hide,
    cluster,
    connection: target,
    stages,
    report,
    ...(asked ? { asked } : {}),
  }
  report.server = target.server

  await stage(running, 'check', async () => {
    await preflight(cluster, config, stages)
    if (stages.includes('install') || stages.includes('inject')) await reportCost(running)
    if (config.istio) {
      await pinVersion(running, (istio) => desiredMesh(istio, gatewayValues(config.cluster)))
      if (stages.includes('install')) await checkSupport(running)
      await getIstioctl(running)
    }
    return { changed: false }
  })
  for (const name of stages) if (name !== 'cluster') await stage(running, name, () => work[name](running))
  if (stages.includes('policies')) await checkIngress(config, host, report)
}

/** Nothing was to be written. */
function isDry(config: Config): boolean {
  return config.dryRun || stagesOf(config).every((name) => name === 'plan')
}

/** Undefined when nothing but a rendering is asked for, and there is no cluster to hold it against. */
function reach(
  kubeconfig: string | undefined,
  context: string | undefined,
  stages: StageName[],
  tempDir: string,
): Connection | undefined {
  try {
    return connection(kubeconfig, context, tempDir)
  } catch (error) {
    if (error instanceof NoKubeconfig && stages.every((name) => name === 'plan')) return undefined
    throw error
  }
}

const work: Record<Exclude<StageName, 'cluster'>, Stage> = {
  plan,
  install,
  inject,
  policies,
  verify,
  retire,
  promote: promoteCanaries,
  rollback,
  uninstall,
}

async function stage(
  { host, report }: Pick<StageContext, 'host' | 'report'>,
  name: StageName | 'check',
  doIt: () => Promise<StageOutcome>,
): Promise<void> {
  const began = Date.now()
  const done = (outcome: 'done' | 'unchanged' | 'failed') =>
    report.stages.push({ name, outcome, seconds: (Date.now() - began) / 1000 })
  try {
    host.signal.throwIfAborted()
    const { changed } = await host.group(name, doIt)
    done(changed ? 'done' : 'unchanged')
  } catch (error) {
    done('failed')
    throw error
  }
}

/** What a run that died left undone: the traffic back to stable, or held, where it is still that run's. Answers a sentence for each. */
export async function finishFor(
  intents: RecoveryIntent[],
  held: boolean,
  { kubeconfig, context, tempDir, info }: Pick<Config, 'kubeconfig' | 'context'> & Pick<Host, 'tempDir' | 'info'>,
): Promise<string[]> {
  const cluster = client(connection(kubeconfig, context, tempDir))
  // One that fails keeps no other from being put back.
  const results = await Promise.allSettled(intents.map((intent) => recoverPromotion(cluster, intent, held, info)))
  const failed = results.find((each) => each.status === 'rejected')
  if (failed) throw failed.reason
  return results.flatMap((each) => (each.status === 'fulfilled' ? (each.value ?? []) : []))
}
