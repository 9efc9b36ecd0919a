// The loop around the state machine: reads evidence, carries actions out, and ends on a safe weight whatever happens.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../cluster/client.ts'
import type { Config } from '../config/schema.ts'
import { hostOf, servicesOf } from '../policies/compile/index.ts'
import { causeOf } from '../verify/cause.ts'
import { observer, type Look, type Watched } from './evidence/sidecars.ts'
import { next, nothing, putBack, start, type Action, type Served, type State } from './machine.ts'
import { moveTraffic, readSplit, type Split } from './traffic.ts'

/** `note` gets a line for each thing worth telling; `intent` is told what to put back should this process die. */
export type Surroundings = { signal: AbortSignal; note: (line: string) => void; intent: (split: Split | undefined) => void }

export type Promotion = State & { namespace: string; service: string; error?: string; secondsToSafe?: number }

function splitOf({ namespace, canary }: Config): Split {
  return { namespace, service: canary!.service, stable: canary!.stable, canary: canary!.canary }
}

function watchedOf(config: Config): Watched {
  const { service, stable, canary, metrics, checks } = config.canary!
  const subsets = servicesOf(config)[service]!.subsets!
  const host = hostOf(service, config.namespace)
  return { namespace: config.namespace, service, host, stable: subsets[stable]!, canary: subsets[canary]!, metrics, slowAboveMs: checks.p99 }
}

export async function promote(cluster: Cluster, config: Config, around: Surroundings): Promise<Promotion> {
  const plan = config.canary!
  const split = splitOf(config)
  const named = { namespace: config.namespace, service: plan.service }
  const weights = await readSplit(cluster, split)
  const weight = weights[plan.canary] ?? 0
  const begun = start(plan, weight, Date.now())
  if (weight >= Math.max(...plan.steps))
    return { ...begun, ...named, phase: 'ended', verdict: 'skipped', reason: `the canary ${plan.canary} already has the weight ${weight}` }

  around.intent(split)
  const ended = await loop(cluster, config, begun, around)
  around.intent(undefined)
  return { ...ended, ...named }
}

type Ended = State & { error?: string; secondsToSafe?: number }

async function loop(cluster: Cluster, config: Config, begun: State, around: Surroundings): Promise<Ended> {
  const plan = config.canary!
  const split = splitOf(config)
  let state = begun
  let look: (() => Promise<Look>) | undefined
  try {
    look = await observer(cluster, watchedOf(config))
    while (state.phase !== 'ended') {
      await sleep(plan.tick, undefined, { signal: around.signal })
      const seen = await look().catch((error: unknown) => unseen(error, around))
      tell(state, seen, around)
      const step = next(plan, state, seen.observation, Date.now())
      state = await explained(cluster, step.state, seen)
      if (state.phase === 'ended') around.note(`${state.verdict ?? ''}: ${state.reason ?? ''}`)
      await act(cluster, split, step.actions, around)
    }
  } catch (error) {
    const cancelled = around.signal.aborted
    const reason = cancelled ? 'the run was cancelled' : `the promotion could not go on: ${error instanceof Error ? error.message : String(error)}`
    const back = putBack(state, 'rolled-back', reason, Date.now())
    await act(cluster, split, back.actions, around)
    state = back.state
    // A cancelled run has seconds left: the weight is back, and that is enough.
    return cancelled ? state : { ...state, error: reason, ...(await settled(look, state, around)) }
  }
  return { ...state, ...(await settled(look, state, around)) }
}

/** Evidence that cannot be read is no evidence; how long that may last is the state machine's to say. */
function unseen(error: unknown, { note }: Surroundings): Look {
  note(`no evidence this time: ${error instanceof Error ? error.message : String(error)}`)
  return { observation: { canary: nothing, stable: nothing, users: nothing, ready: false, complete: false }, health: { ready: false } }
}

/** A fault of a pod gets the cause that its events and its log tell. */
async function explained(cluster: Cluster, state: State, { health }: Look): Promise<State> {
  if (state.phase !== 'ended' || !health.fault) return state
  const cause = await causeOf(cluster, health.fault.pod).catch(() => undefined)
  return cause === undefined ? state : { ...state, reason: `${state.reason ?? health.fault.text}: ${cause}` }
}

async function act(cluster: Cluster, split: Split, actions: Action[], { note }: Surroundings): Promise<void> {
  for (const { weight } of actions) {
    await moveTraffic(cluster, split, weight)
    note(`weight: ${split.stable} ${100 - weight}, ${split.canary} ${weight}`)
  }
}

function tell({ phase, weight }: State, { observation: { ready, canary, stable, users } }: Look, { note }: Surroundings): void {
  if (phase === 'waiting' && !ready) return note('waiting for the canary to become ready')
  const part = (name: string, { requests, failures }: Served) => `${name} ${requests} requests, ${failures} failed`
  note(`at weight ${weight}: ${part('canary', canary)} · ${part('stable', stable)} · ${part('users', users)}`)
}

/** After a put-back: how long until the canary's sidecars counted no further request. Watched for 10 s at most. */
async function settled(look: (() => Promise<Look>) | undefined, { verdict, weight }: State, { note }: Surroundings): Promise<{ secondsToSafe?: number }> {
  if (!look || weight !== 0 || verdict === 'skipped') return {}
  const from = Date.now()
  let quiet = 0
  while (Date.now() - from < 10_000) {
    await sleep(500)
    const seen = await look().catch(() => undefined)
    if (!seen?.observation.complete) continue
    quiet = seen.observation.canary.requests === 0 ? quiet + 1 : 0
    if (quiet === 2) {
      const secondsToSafe = Math.max(0, (Date.now() - from - 1_000) / 1000)
      note(`the canary serves nothing any more, ${secondsToSafe.toFixed(1)} s after the weight was put back`)
      return { secondsToSafe }
    }
  }
  note('10 s after its weight was set to 0 the canary was not seen to be quiet: its sidecars do not answer, or somebody calls it other than through the VirtualService')
  return {}
}
