// The stage experiment: injects the faults of the config, one after the other, and reports how the mesh handled them.
import { readApplications, gitopsWarnings } from '../canary/traffic/gitops.ts'
import { forward } from '../cluster/forward.ts'
import type { DestinationRule, VirtualService } from '../cluster/objects.ts'
import { canariesOf } from '../config/names.ts'
import type { Config, ExperimentConfig } from '../config/schema.ts'
import { runExperiment, type EndedExperiment } from '../experiments/experiment.ts'
import type { Exposure } from '../experiments/load.ts'
import { affectedServices } from '../experiments/faults/affected-services.ts'
import { rulesOf } from '../experiments/faults/connection-pool.ts'
import { targetOf } from '../experiments/faults/fault-plan.ts'
import { routesToService } from '../experiments/faults/http-fault.ts'
import { readMeshFacts, type MeshFacts } from '../experiments/route-policies.ts'
import { experimentReport, type ExperimentReport } from '../report/experiment-report.ts'
import { exposedHost, gatewayLabel } from '../policies/compile/names.ts'
import { systemClock } from '../runtime/clock.ts'
import { warn, type StageContext, type StageOutcome } from './context.ts'

/** A run that has failed injects nothing: a fault on top would hide the cause. */
export async function experiment(context: StageContext): Promise<StageOutcome> {
  const { config, host, recorder } = context
  const experiments = Object.entries(config.experiments ?? {})
  if (config.dryRun) {
    experiments.forEach(([name]) => host.info(`${name}: a dry run injects nothing`))
    return { changed: false }
  }
  if (recorder.current().error !== undefined) {
    host.info('the experiments did not run, because the run has failed before')
    return { changed: false }
  }
  await warnOfGitops(context)
  const names = await withoutHeld(context, experiments)
  const runNext = (name: string) => {
    host.signal.throwIfAborted()
    return runOne(context, name)
  }
  const skipped = await runUntilOneIsLeft(names, runNext)
  if (skipped.length > 0)
    host.info(
      `did not run because a fault may still act, and another one would act on top of it: ${skipped.join(', ')}`,
    )
  return { changed: recorder.current().experiments?.some(({ recovery }) => recovery !== 'unneeded') ?? false }
}

/**
 * The names of the experiments that concern no service whose promotion the next run continues. The others would fail. A
 * controller's rollout has no Lease that would keep an experiment out.
 */
async function withoutHeld(context: StageContext, experiments: [string, ExperimentConfig][]): Promise<string[]> {
  const { cluster, config, recorder } = context
  const promoted = canariesOf(config).map(({ service }) => service)
  const { promotions } = recorder.current()
  const held = promoted.filter((each) =>
    promotions.some(({ verdict, service }) => verdict === 'held' && service === each),
  )
  const names: string[] = []
  for (const [name, settings] of experiments) {
    const isExclusive = held.length > 0 && settings.during === undefined
    const affected = isExclusive ? await affectedServices(cluster, config.namespace, settings) : undefined
    const service = held.find((each) => each === affected?.target || affected?.others.includes(each))
    if (service === undefined) names.push(name)
    else
      warn(context, [
        `the experiment ${name} did not run, because the promotion of ${service} is not over; it runs after the run that ends it`,
      ])
  }
  return names
}

/** Runs them in turn, until one cannot remove its fault. Returns those that did not run. */
export async function runUntilOneIsLeft(
  names: string[],
  run: (name: string) => Promise<Pick<EndedExperiment, 'state'>>,
): Promise<string[]> {
  for (const [i, name] of names.entries()) {
    const { recovery } = (await run(name)).state
    if (recovery.kind === 'unconfirmed' && !recovery.isRemoved) return names.slice(i + 1)
  }
  return []
}

async function runOne(context: StageContext, name: string): Promise<EndedExperiment> {
  const { config, host, cluster, connection, recorder } = context
  const settings = config.experiments![name]!
  const ended = await runExperiment(
    cluster,
    config.namespace,
    name,
    settings,
    {
      run: host.runName,
      readGuardProgram: host.readGuardProgram,
      signal: host.signal,
      clock: systemClock,
      note: host.info,
      intent: (fault) => host.onFaultIntent(name, fault),
      forward: (...where) => forward(connection, ...where),
    },
    exposureFor(config, settings),
  )
  const report = experimentReport(ended, await factsOf(context, ended))
  ;[...report.findings, ...report.advice].forEach((line) => host.info(`${name}: ${line}`))
  const { experiments = [], error } = recorder.current()
  recorder.record({ experiments: [...experiments, report] })
  const problems = [error, ...errorsOf(report)].filter((line) => line !== undefined)
  if (problems.length > 0) recorder.record({ error: problems.join('\n') })
  return ended
}

/** Of the gateway that the experiment's own requests go through; undefined without `load`. */
function exposureFor(config: Config, { service, load }: ExperimentConfig): Exposure | undefined {
  const gateway = gatewayLabel(config, service)
  return load && gateway !== undefined ? { gateway, host: load.host ?? exposedHost(config, service) } : undefined
}

function errorsOf({ name, verdict, reason, problem }: ExperimentReport): string[] {
  return [
    ...(verdict === 'resilient' ? [] : [`the experiment ${name} is ${verdict}: ${reason}`]),
    ...(problem === undefined || reason.includes(problem) ? [] : [`the experiment ${name}: ${problem}`]),
  ]
}

/** Without the facts there is less advice, and the verdict is the same. */
async function factsOf({ config, host, cluster }: StageContext, { experiment }: EndedExperiment): Promise<MeshFacts> {
  return readMeshFacts(cluster, config.namespace, experiment.service).catch((problem: unknown) => {
    host.info(`the policies of ${experiment.service} could not be read for advice: ${String(problem)}`)
    return { policies: [], pods: 0, ejects: true }
  })
}

/** A GitOps controller that applies the same routes or rules would remove the fault in the middle of the experiment. */
async function warnOfGitops(context: StageContext): Promise<void> {
  const { config, cluster } = context
  const experiments = Object.values(config.experiments ?? {})
  const routed = experiments.filter(({ inject }) => inject.delay ?? inject.abort).map(targetOf)
  const overloaded = experiments.filter(({ inject }) => inject.overload).map(targetOf)
  const { namespace } = config
  const [routes, rules] = await Promise.all([
    routed.length > 0 ? cluster.list<VirtualService>('VirtualService', namespace) : [],
    overloaded.length > 0 ? cluster.list<DestinationRule>('DestinationRule', namespace) : [],
  ])
  const changed = [
    ...routed.flatMap((service) => routesToService(routes, namespace, service)),
    ...overloaded.flatMap((service) => rulesOf(rules, namespace, service)),
  ]
  if (changed.length === 0) return
  const applications = await readApplications(cluster)
  warn(context, [...new Set(changed.flatMap((object) => gitopsWarnings(object, applications)))])
}
