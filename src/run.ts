// A run, top to bottom: config → cluster → checks → mesh → sidecars → policies → verification → promotion → experiments.
import { createClient } from './cluster/client.ts'
import { connection, NoKubeconfig, secretsOf, type Connection } from './cluster/connect.ts'
import { stagesOf } from './config/stages.ts'
import { ConfigError } from './config/error.ts'
import { secretsInConfig } from './config/secrets.ts'
import type { Config } from './config/schema.ts'
import type { StageName } from './config/schema/stages.ts'
import { createRecorder } from './report/recorder.ts'
import { emptyReport, type Report, type StageResult } from './report/report.ts'
import { debugStack } from './runtime/defect.ts'
import { messageOf } from './runtime/errors.ts'
import { createRedactor } from './runtime/redaction.ts'
import { checkRun, meshFor } from './stages/check.ts'
import { checkIngress, provideCluster, withLogs, type ProvidedCluster } from './stages/cluster.ts'
import {
  warn,
  type FleetPeers,
  type Host,
  type RunContext,
  type Stage,
  type StageContext,
  type StageOutcome,
} from './stages/context.ts'
import { edge } from './stages/edge.ts'
import { experiment } from './stages/experiment.ts'
import { awaitTurn, holdBeforeTurn, stopInFleet } from './stages/fleet.ts'
import { inject } from './stages/inject.ts'
import { install } from './stages/install.ts'
import { recordingMoves } from './stages/moved-objects.ts'
import { observe } from './stages/observe.ts'
import { plan, policies, renderOnly } from './stages/policies.ts'
import { promoteCanaries } from './stages/promote.ts'
import { retire } from './stages/retire.ts'
import { rollback } from './stages/rollback.ts'
import { uninstall } from './stages/uninstall.ts'
import { verify } from './stages/verify.ts'
import { startTelemetry } from './run-telemetry/start.ts'

/** Never rejects: the report contains the error. `others`: of a fleet. */
export async function run(config: Config, host: Host, others?: FleetPeers): Promise<Report> {
  const began = Date.now()
  const context = { ...(await createContext(config, host, began)), ...(others ? { others } : {}) }
  const { recorder, redactor, stages, telemetry } = context
  try {
    await runStages(context)
  } catch (error) {
    recorder.record({ error: host.signal.aborted ? 'the run was cancelled' : messageOf(error) })
    const stack = error instanceof ConfigError ? '' : debugStack(error)
    if (stack !== '') context.host.info(stack)
  }
  const { error, verdict } = recorder.current()
  if (stages.includes('promote') && verdict === undefined)
    recorder.record({ verdict: 'skipped', reason: error ?? 'a dry run promotes nothing' })
  const ended = Date.now()
  recorder.record({ outcome: error === undefined ? 'success' : 'failure', seconds: (ended - began) / 1000 })
  const isCancelled = host.signal.aborted
  const { warnings = [], ...traced } = await telemetry.end(recorder.current(), { at: ended, isCancelled })
  warn(context, warnings)
  recorder.record(traced)
  return redactor.redact(recorder.current())
}

async function createContext(config: Config, host: Host, startedAt: number): Promise<RunContext> {
  const redactor = createRedactor(secretsInConfig(config))
  const stages = stagesOf(config)
  const isDryRun = config.dryRun || stages.every((name) => name === 'plan')
  return {
    config,
    stages,
    redactor,
    telemetry: await startTelemetry(process.env, {
      startedAt,
      namespace: config.namespace,
      ...(host.cluster === undefined ? {} : { cluster: host.cluster }),
      redact: redactor.redact,
    }),
    recorder: createRecorder(emptyReport(config.namespace, new Date(startedAt), isDryRun)),
    host: {
      ...host,
      info: (line) => host.info(redactor.redact(line)),
      warning: (line) => host.warning(redactor.redact(line)),
    },
  }
}

async function runStages(initial: RunContext): Promise<void> {
  const { config, host, stages } = initial
  if (stages.length === 0)
    throw new ConfigError(
      'inputs: there is nothing to do; ' +
        'give at least one of istio-version, workloads, mtls, services, canary, experiments, or a config file',
    )
  secretsInConfig(config).forEach(host.mask)
  const context = config.istio ? { ...initial, mesh: meshFor(config, config.istio) } : initial
  const provided = config.cluster ? await clusterStage(context) : undefined
  const target = targetOf(context, provided)
  if (!target) return void (await host.group('plan', () => renderOnly(context)))
  await (provided ? withLogs(context, provided, () => onCluster(context, target)) : onCluster(context, target))
}

/** The kind cluster of the config; undefined if it does not exist and this run does not create it. */
async function clusterStage(context: RunContext): Promise<ProvidedCluster | undefined> {
  let provided: ProvidedCluster | undefined
  await runStage(context, 'cluster', async () => {
    provided = await provideCluster(context)
    return { changed: provided?.created ?? context.stages.includes('cluster') }
  })
  return provided
}

/** The cluster to act on; undefined if the run only renders and there is no cluster to compare with. */
function targetOf({ config, host, stages }: RunContext, provided: ProvidedCluster | undefined): Connection | undefined {
  if (provided)
    return { ...connection(provided.kubeconfig, config.context, host.tempDir), temporaryFile: provided.kubeconfig }
  if (config.cluster) return undefined
  try {
    return connection(config.kubeconfig, config.context, host.tempDir)
  } catch (error) {
    if (error instanceof NoKubeconfig && stages.every((name) => name === 'plan')) return undefined
    throw error
  }
}

async function onCluster(context: RunContext, target: Connection): Promise<void> {
  const connected = connect(context, target)
  const checked = await checkStage(connected)
  const stopFrom = (reached: StageContext, hasBegun: boolean) => (problem: unknown) =>
    stopInFleet(reached, problem, hasBegun, runPromotions)
  const { hasWaited, isOutOfTime } = await awaitTurn(checked).catch(stopFrom(checked, false))
  if (isOutOfTime) return holdBeforeTurn(checked)
  // What the check has seen may be hours old.
  const ready = hasWaited ? await checkStage(connected).catch(stopFrom(checked, true)) : checked
  await runStagesOn(ready).catch(stopFrom(ready, true))
}

/** The context with a client that renews its credentials, and keeps those of the kubeconfig out of the log. */
function connect(context: RunContext, target: Connection): StageContext {
  const { config, host, recorder, redactor } = context
  const learnSecrets = (kubeconfig: Connection['config']) => {
    const secrets = secretsOf(kubeconfig)
    secrets.forEach(host.mask)
    redactor.learn(secrets)
  }
  const renew = () => {
    const renewed = target.renew()
    learnSecrets(renewed)
    return renewed
  }
  host.onConnected(target)
  learnSecrets(target.config)
  recorder.record({ server: target.server })
  const connection = { ...target, renew }
  return { ...context, cluster: createClient(connection, config.limits), connection }
}

async function checkStage(context: StageContext): Promise<StageContext> {
  let checked = context
  await runStage(context, 'check', async () => {
    checked = await checkRun(context)
    return { changed: false }
  })
  return checked
}

async function runStagesOn(context: StageContext): Promise<void> {
  const { stages } = context
  for (const name of stages) if (name !== 'cluster') await runStage(context, name, () => stageWork[name](context))
  if (stages.includes('policies')) await checkIngress(context)
}

function runPromotions(context: StageContext): Promise<void> {
  return runStage(context, 'promote', () => stageWork.promote(context))
}

const stageWork: Record<Exclude<StageName, 'cluster'>, Stage> = {
  plan,
  install,
  inject,
  policies,
  observe,
  verify,
  edge,
  retire,
  promote: recordingMoves(promoteCanaries),
  experiment,
  rollback: recordingMoves(rollback),
  uninstall,
}

async function runStage(
  { host, recorder, telemetry }: RunContext,
  name: StageName | 'check',
  work: () => Promise<StageOutcome>,
): Promise<void> {
  const began = Date.now()
  telemetry.stageStarted(name, began)
  const ended = (outcome: StageResult['outcome'], error: string | undefined) => {
    const at = Date.now()
    recorder.record({ stages: [{ name, outcome, seconds: (at - began) / 1000 }] })
    const failed = host.signal.aborted ? 'cancellation' : 'failure'
    telemetry.stageEnded({ at, outcome, result: error === undefined ? 'success' : failed, error })
  }
  try {
    host.signal.throwIfAborted()
    const { changed } = await host.group(name, work)
    ended(changed ? 'done' : 'unchanged', recorder.current().error)
  } catch (error) {
    ended('failed', messageOf(error))
    throw error
  }
}
