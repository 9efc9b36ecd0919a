// One canary on its way: each tick looks at the evidence, asks the state machine what follows, and carries it out.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import type { Live } from '../cluster/watch.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { hostOf } from '../policies/compile/index.ts'
import { isReady } from '../mesh/sidecar.ts'
import { causeOf } from '../verify/cause.ts'
import { adopt } from './adopt.ts'
import { diagnose, type Diagnosis } from './diagnosis.ts'
import { checks, type Outside } from './evidence/checks.ts'
import { gates } from './evidence/gates.ts'
import { observe, type Look } from './evidence/observe.ts'
import { hooks } from './evidence/webhooks.ts'
import { syntheticLoad, type Forward } from './gateway.ts'
import { groupsOf } from './groups.ts'
import { due, explain, next, putBack, start, type Action, type Observation, type State, type Verdict } from './machine.ts'
import { inWords, line, reasoning } from './telling.ts'
import { clear, mirrorTo, moveTraffic, routeMatch, type Split } from './traffic.ts'

/** `note` gets a line for each thing worth telling; `forward` opens a connection to a port of a pod. */
export type Surroundings = { signal: AbortSignal; note: (line: string) => void; forward: Forward }

/** `along`: the service whose failure put it back as well. */
export type Promotion = State & { plan: CanaryConfig; namespace: string; error?: string; along?: string; secondsToSafe?: number; diagnosis?: Diagnosis[]; adopted?: boolean }

/** A canary under way. Nothing of it rejects: what goes wrong ends it with its traffic put back. */
export type Moving = {
  plan: CanaryConfig
  split: Split
  state: () => State
  tick: () => Promise<void>
  /** Puts its traffic back for a reason from outside; `along`: because that service's canary failed. */
  stop: (verdict: Verdict, reason: string, along?: string) => Promise<void>
  /** False when its traffic was to be put back and could not be. */
  safe: () => boolean
  /** Waits until what was decided is seen to be so, and says what came of it. `hurry`: only what must be. */
  finish: (hurry: boolean) => Promise<Promotion>
}

export function splitOf({ namespace }: Config, { service, stable, canary, routes }: CanaryConfig): Split {
  return { namespace, service, stable, canary, ...(routes ? { routes } : {}) }
}

/** `weight`: the canary's now, in per cent. @throws Error when the counters cannot be read at all. */
export async function begin(cluster: Cluster, config: Config, plan: CanaryConfig, weight: number, pods: Live<Pod>[], around: Surroundings): Promise<Moving> {
  const { namespace } = config
  const split = splitOf(config, plan)
  // What a run that died left of a mirror or an A/B stage would go on for ever.
  await clear(cluster, split)
  const groups = await groupsOf(cluster, config, plan)
  const note = (line: string) => around.note(config.canary ? line : `${plan.service}: ${line}`)
  const observer = await observe(cluster, pods, { namespace, host: hostOf(plan.service, namespace), ...groups, plan }, note)
  let state = start(plan, weight, Date.now(), observer.baseline)
  let error: string | undefined
  let wentAlong: string | undefined
  let safe = true
  let last: Look | undefined

  const outside = (): Outside => ({ namespace, service: plan.service, stable: plan.stable.name, canary: plan.canary.name, weight: state.weight, step: state.steps.length, phase: phaseOf(state), intervalMs: plan.interval })
  const asked = checks(cluster, plan, outside)
  const hook = hooks(plan, outside, note)
  const gate = gates(hook.ask)
  const told: Promise<void>[] = []
  const tell = (...news: Parameters<typeof hook.tell>) => void told.push(hook.tell(...news))
  const synthetic = plan.load && (await syntheticLoad(cluster, config, plan, pods, around.forward))

  async function take({ state: after, actions }: { state: State; actions: Action[] }): Promise<void> {
    const before = state.phase
    state = after
    if (before === 'waiting' && state.phase !== 'waiting') asked.start()
    if (state.phase === 'ended') note(`${state.verdict ?? ''}: ${state.reason ?? ''}`)
    for (const action of actions) await carryOut(cluster, split, plan, action)
    for (const action of actions) note(inWords(plan, action))
    if (actions.length > 0 || state.phase === 'ended') tell('event', actions.map((action) => inWords(plan, action)).join('; ') || (state.reason ?? ''))
  }

  async function tick(): Promise<void> {
    if (state.phase === 'ended') return
    try {
      last = await observer.look()
      const observation: Observation = { ...last.evidence, findings: asked.latest(), gates: gate.answers(due(plan, state)) }
      note(line(state, observation))
      synthetic?.aim(state, observation)
      const step = next(plan, state, observation, Date.now())
      if (plan.explain && step.state.phase !== 'waiting') explain(plan, step.state).forEach((each) => note(reasoning(each)))
      await take({ ...step, state: await explained(step.state) })
    } catch (problem) {
      await stop('rolled-back', `the promotion could not go on: ${problem instanceof Error ? problem.message : String(problem)}`)
      error ??= state.reason
    }
  }

  /** What is wrong with a pod, or with one that is not ready, gets the cause that its events and its log tell. */
  async function explained(after: State): Promise<State> {
    if (after.phase !== 'ended' || after.verdict === 'promoted' || after.asPlanned || !last || last.health.ready) return after
    const broken = last.health.fault?.pod ?? observer.canaries().find((pod) => !isReady(pod))
    const cause = broken ? await causeOf(cluster, broken).catch(() => undefined) : 'no pod of it runs; see whether its Deployment is scaled to 0'
    return cause === undefined ? after : { ...after, reason: `${after.reason ?? ''}: ${cause}` }
  }

  async function stop(verdict: Verdict, reason: string, along?: string): Promise<void> {
    wentAlong = along
    try {
      await take(putBack(state, verdict, reason, Date.now()))
    } catch (problem) {
      safe = false
      error = `${reason}; and the traffic could not be put back: ${problem instanceof Error ? problem.message : String(problem)}`
      note(error)
    }
  }

  async function finish(hurry: boolean): Promise<Promotion> {
    asked.stop()
    synthetic?.stop()
    const ended = { ...state, plan, namespace, ...(error === undefined ? {} : { error }), ...(wentAlong === undefined ? {} : { along: wentAlong }) }
    if (hurry) return ended
    tell('post-rollout', state.reason ?? '')
    const failed = state.verdict === 'rolled-back' || (state.verdict === 'held' && !state.asPlanned)
    const came: Promotion = {
      ...ended,
      ...(state.weight === 0 && state.verdict !== 'skipped' ? await settled(observer.look, note) : {}),
      // After that: a container that ended under its requests is known by now to have ended.
      ...(failed ? { diagnosis: await diagnose(cluster, namespace, observer.canaries()) } : {}),
      ...(state.verdict === 'promoted' && plan.after === 'adopt' ? await adopted() : {}),
    }
    // The program ends after this, and with it what is still on its way.
    await Promise.all(told)
    return came
  }

  async function adopted(): Promise<Partial<Promotion>> {
    try {
      await adopt(cluster, split, groups, { note, signal: around.signal, timeoutMs: plan.patience, quiet: async () => (await settled(observer.look, note)).secondsToSafe !== undefined })
      return { adopted: true, weight: 0 }
    } catch (problem) {
      return { adopted: false, error: problem instanceof Error ? problem.message : String(problem) }
    }
  }

  return { plan, split, state: () => state, safe: () => safe, tick, stop, finish }
}

function phaseOf({ phase, verdict }: State): Outside['phase'] {
  if (phase === 'waiting') return 'Waiting'
  if (phase !== 'ended') return phase === 'confirming' ? 'WaitingPromotion' : 'Progressing'
  return verdict === 'promoted' || verdict === 'held' ? 'Succeeded' : 'Failed'
}

async function carryOut(cluster: Cluster, split: Split, plan: CanaryConfig, action: Action): Promise<void> {
  if (action.kind === 'weight') return moveTraffic(cluster, split, action.weight)
  if (action.kind === 'mirror') return mirrorTo(cluster, split, action.percent)
  return action.kind === 'ab' ? routeMatch(cluster, split, plan.ab!.match) : clear(cluster, split)
}

/** How long until the canary's sidecars counted no further request. Watched for 10 s at most. */
async function settled(look: () => Promise<Look>, note: (line: string) => void): Promise<{ secondsToSafe?: number }> {
  const from = Date.now()
  let quiet = 0
  while (Date.now() - from < 10_000) {
    await sleep(500)
    const seen = await look().catch(() => undefined)
    if (!seen?.evidence.complete) continue
    quiet = seen.evidence.canary.requests === 0 ? quiet + 1 : 0
    if (quiet < 2) continue
    const secondsToSafe = Math.max(0, (Date.now() - from - 1_000) / 1000)
    note(`the canary serves nothing any more, ${secondsToSafe.toFixed(1)} s after the weight was put back`)
    return { secondsToSafe }
  }
  note('10 s after its weight was set to 0 the canary was not seen to be quiet: its sidecars do not answer, or somebody calls it other than through the route that was moved')
  return {}
}
