// The stage edge: the API definition in Tyk that leads to the ingress gateway, and one request that shows whether users
// get through it.
import { tykHost } from '../config/edge.ts'
import { markOf, pathOf, type TykDefinition } from '../edge/tyk/definition.ts'
import { RefusedWrite } from '../edge/tyk/api.ts'
import { applyTyk, recordVerified, undoTyk } from '../edge/tyk/apply.ts'
import { planTyk, titleOfApi, type TykPlan } from '../edge/tyk/plan.ts'
import { probeTyk, type ProbeResult } from '../edge/tyk/probe.ts'
import { messageOf } from '../runtime/errors.ts'
import { warn, type StageContext, type StageOutcome } from './context.ts'

const kind = 'Tyk API'

/**
 * `probeLimitMs`, `undoLimitMs`: how long Tyk may take to reload.
 * @throws Error if Tyk refuses, or if users do not reach the application through it
 */
export async function edge(context: StageContext, probeLimitMs = 30_000, undoLimitMs = 5_000): Promise<StageOutcome> {
  const { config, cluster, host } = context
  const plan = await planTyk(cluster, config)
  report(context, plan)
  const { action } = plan
  if (config.dryRun) return { changed: action !== 'unchanged' }
  if (action !== 'unchanged') {
    await applyVerified(context, plan, action, { probeLimitMs, undoLimitMs })
    return { changed: true }
  }
  plan.others.forEach((other) => host.info(stays(other)))
  host.info('the API of Tyk is already as the config says: nothing changed')
  if (config.edge!.tyk.enabled) await verifyUnchanged(context, plan, probeLimitMs)
  return { changed: false }
}

/** What does not pass the probe does not stay, unless there is nothing better. */
async function applyVerified(
  context: StageContext,
  plan: TykPlan,
  action: keyof typeof doneAs,
  { probeLimitMs, undoLimitMs }: { probeLimitMs: number; undoLimitMs: number },
): Promise<void> {
  const recordChange = () => context.recorder.record({ changes: [{ ...nameOf(plan), action: doneAs[action] }] })
  try {
    await applyTyk(plan)
    if (plan.action !== 'delete') conclude(context, plan, await sendProbe(context, plan, probeLimitMs))
  } catch (problem) {
    if (problem instanceof RefusedWrite) throw problem
    const { text, isChanged } = await undoTyk(plan, undoLimitMs).catch((another: unknown) => ({
      text: `it could not be undone: ${messageOf(another)}`,
      isChanged: true,
    }))
    if (isChanged) recordChange()
    throw new Error([messageOf(problem), text].filter(Boolean).join('; '))
  }
  recordChange()
  const problem = action === 'delete' ? undefined : await recordVerified(plan)
  if (problem !== undefined) warn(context, [`edge.tyk: ${problem}`])
}

/** Of several gateways at one address, one may not have loaded what another one shows. */
async function verifyUnchanged(context: StageContext, plan: TykPlan, limitMs: number): Promise<void> {
  const first = await sendProbe(context, plan, 0)
  if (first.ok) return conclude(context, plan, first)
  await plan.api.reload()
  context.host.info(`${first.text}; so Tyk was told to reload`)
  conclude(context, plan, await sendProbe(context, plan, limitMs))
}

/** Shows what would change; changes nothing. */
export async function planEdge(context: StageContext): Promise<boolean> {
  return (await edge({ ...context, config: { ...context.config, dryRun: true } })).changed
}

/** Before anything is changed. */
export async function edgeClusterFaults({
  cluster,
  config,
}: Pick<StageContext, 'cluster' | 'config'>): Promise<string[]> {
  if (!config.edge) return []
  return planTyk(cluster, config).then(
    () => [],
    (problem: unknown) => [messageOf(problem)],
  )
}

/** Asks Tyk first. Returns the removal, which resolves to what it has removed, or would in a dry run. */
export async function edgeRemoval(context: StageContext): Promise<() => Promise<string[]>> {
  const { cluster, config } = context
  const { edge } = config
  if (!edge) return () => Promise.resolve([])
  const plan = await planTyk(cluster, { ...config, edge: { tyk: { ...edge.tyk, enabled: false } } })
  warn(context, plan.others.map(stays))
  return async () => {
    if (plan.action !== 'delete') return []
    if (!config.dryRun) await applyTyk(plan)
    return [`${kind} ${plan.definition.name}`]
  }
}

function stays(other: TykDefinition): string {
  return (
    `the ${kind} ${titleOfApi(other)} stays, because this config created it for another cluster, or for an earlier namespace of this ` +
    'name; delete it in Tyk if nothing uses it any more'
  )
}

const doneAs = { create: 'created', change: 'changed', delete: 'deleted' } as const

function nameOf({ definition: { name } }: TykPlan) {
  return { kind, namespace: '', name }
}

function report({ recorder, host }: StageContext, plan: TykPlan): void {
  const { action, diff } = plan
  if (action === 'unchanged') return
  // The stage plan has shown it already, if a dry run has both stages.
  const others = (recorder.current().plan ?? []).filter((row) => row.kind !== kind)
  recorder.record({ plan: [...others, { ...nameOf(plan), action, diff }] })
  host.info(`${kind} ${plan.definition.name}: ${action}`)
  diff.forEach((line) => host.info(`    ${line}`))
}

function sendProbe(
  { config, host }: StageContext,
  { route, definition }: TykPlan,
  limitMs: number,
): Promise<ProbeResult> {
  const { url, probe } = config.edge!.tyk
  const path = `${pathOf(route.listenPath)}${probe.path}`
  const asked = { url, path, host: tykHost(config), mark: markOf(definition), key: probe.key }
  return probeTyk(asked, { limitMs, signal: host.signal })
}

function conclude({ recorder, host }: StageContext, { route }: TykPlan, { ok, text }: ProbeResult): void {
  const { trafficChecks = [] } = recorder.current()
  recorder.record({ trafficChecks: [...trafficChecks, { service: route.name, what: 'edge', ok, text }] })
  host.info(text)
  if (!ok) throw new Error(`edge.tyk: ${text}`)
}
