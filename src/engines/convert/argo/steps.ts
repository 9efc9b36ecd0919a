// The steps of a Rollout as mirror, A/B stage, steps and interval.
import { parseDuration } from '../../../config/values/durations.ts'
import type { Field } from '../ledger.ts'
import { textMatch } from '../request-match.ts'
import { durationText, percentOf, wholeNumberOf } from '../values.ts'

type Section = Record<string, unknown>
type Pause = { field: Field; ms: number }
/** What lasts from one step of the Rollout to the next: its pauses follow it. */
type Stage = {
  kind: 'start' | 'mirror' | 'ab' | 'weight'
  field: Field
  weight: number
  pauses: Pause[]
  section: Section
  /** The Rollout removes its route before the next stage. */
  isEnded?: true
}

/**
 * The keys `mirror`, `ab`, `steps`, `interval` and `until` of a canary. `canary`: the strategy. `hasSubsets`: an A/B stage
 * needs them.
 */
export function stepsFromRollout(canary: Field, hasSubsets: boolean): Section {
  const steps = canary.get('steps')
  const most = wholeNumberOf(canary.get('trafficRouting', 'maxTrafficWeight'), 1, 1_000_000) ?? 100
  const reader = new StepReader(steps, most, hasSubsets)
  for (const step of steps.items()) reader.read(step)
  return reader.result()
}

class StepReader {
  private readonly steps: Field
  private readonly mostWeight: number
  private readonly hasSubsets: boolean
  private readonly stages: Stage[]
  private until: number | undefined

  /** `mostWeight`: the weight that stands for all traffic. */
  constructor(steps: Field, mostWeight: number, hasSubsets: boolean) {
    this.steps = steps
    this.mostWeight = mostWeight
    this.hasSubsets = hasSubsets
    this.stages = [{ kind: 'start', field: steps, weight: 0, pauses: [], section: {} }]
  }

  read(step: Field): void {
    for (const key of step.keys()) {
      const field = step.get(key)
      if (key === 'setWeight') this.weight(field)
      else if (key === 'pause') this.pause(field)
      else if (key === 'setHeaderRoute') this.headerRoute(field)
      else if (key === 'setMirrorRoute') this.mirrorRoute(field)
    }
  }

  private get last(): Stage {
    return this.stages.at(-1)!
  }

  private get hasWeight(): boolean {
    return this.last.kind === 'weight'
  }

  private stage(kind: 'mirror' | 'ab'): Stage | undefined {
    return this.stages.find((each) => each.kind === kind)
  }

  private weight(field: Field): void {
    const weight = percentOf(wholeNumberOf(field, 0, this.mostWeight)! / this.mostWeight)
    if (!Number.isInteger(weight))
      field.fail(`a weight that is a whole number of per cent, where \`maxTrafficWeight\` is ${this.mostWeight}`)
    if (weight <= this.last.weight)
      return void field.leave(weight === 0 ? 'every promotion begins at 0' : 'weights only rise here')
    this.stages.push({ kind: 'weight', field, weight, pauses: [], section: {} })
  }

  private pause(field: Field): void {
    const duration = field.get('duration')
    if (!duration.given) return this.approval(field)
    const ms = msOf(duration)
    if (ms === 0)
      return void field.leave('a pause of less than a second ends at once; without a duration it would wait')
    if (this.last.kind === 'start') return void field.leave('the canary has no traffic then; the steps begin at once')
    this.last.pauses.push({ field, ms })
  }

  private approval(field: Field): void {
    const { weight } = this.last
    if (!this.hasWeight) return void field.leave('before the first weight: put the job behind an environment that asks')
    if (weight === 100) return void field.leave('at 100 the last step is watched, and nothing is left to approve')
    if (this.until !== undefined)
      return void field.leave(`the job that goes on after ${this.until} can have \`until: ${weight}\` itself`)
    this.until = weight
    field.take()
  }

  private headerRoute(field: Field): void {
    const [match, ab] = [field.get('match'), this.stage('ab')]
    if (match.items().length === 0) return this.end(field, ab)
    if (!this.hasSubsets)
      return void field.leave('`ab` needs subsets; give stable and canary as subsets of one Service')
    if (ab || this.hasWeight) return void field.leave('the one A/B stage comes before the first weight')
    const matches = match.items().map((item) => headerMatch(item))
    if (matches.includes(undefined)) return void match.leave('one of the values cannot be written in `ab`')
    match.take()
    this.stages.push({
      kind: 'ab',
      field,
      weight: 0,
      pauses: [],
      section: { match: matches.length === 1 ? matches[0] : matches },
    })
  }

  private mirrorRoute(field: Field): void {
    const [match, stage, percentage] = [field.get('match'), this.stage('mirror'), field.get('percentage')]
    if (match.items().length === 0 && !percentage.given) return this.end(field, stage)
    if (stage || this.last.kind !== 'start') return void field.leave('the one stage with copies comes first')
    if (!match.items().some(isEverything))
      return void field.leave('`mirror` copies a share of all requests, not of those that match')
    const percent = wholeNumberOf(percentage, 0, 100)
    if (percent === 0) return void field.leave('it copies nothing')
    match.take()
    percentage.take()
    const section = percent === undefined ? {} : { percent: `${percent}%` }
    this.stages.push({ kind: 'mirror', field, weight: 0, pauses: [], section })
  }

  /** A route without a match is removed. Ours end before what comes next. */
  private end(field: Field, stage: Stage | undefined): void {
    const begun = stage?.field.get('name').value
    if (stage === undefined || begun !== field.get('name').value)
      return void field.leave('no stage began that it could end')
    if (stage === this.last) stage.isEnded = true
    field.leave('`ab` and `mirror` end by themselves, before the next stage')
  }

  /** Without a step that removes it, the controller keeps a route until the rollout is over. */
  private noteEnds(): void {
    for (const { kind, field, isEnded } of this.stages.slice(0, -1))
      if ((kind === 'ab' || kind === 'mirror') && !isEnded)
        field
          .get('match')
          .differ(`Argo Rollouts keeps the route while the weights rise; here \`${kind}\` ends before the next stage`)
  }

  result(): Section {
    const weights = this.stages.filter(({ kind }) => kind === 'weight')
    const intervalMs = commonTime(weights)
    const interval = intervalMs ?? defaultIntervalMs
    if (intervalMs === undefined)
      this.steps.assume('no weight has a pause with a duration, so `interval` is the default, 30s')
    this.noteEnds()
    for (const stage of weights) takeWeight(stage, interval, this.mostWeight)
    const steps = weights.map(({ weight }) => weight)
    if (steps.length === 0) this.steps.assume('it has no weights, so the canary gets all traffic in one step')
    return {
      ...this.mirror(interval),
      ...this.ab(interval),
      steps: steps.at(-1) === 100 ? steps : [...steps, 100],
      ...(this.until === undefined ? {} : { until: this.until }),
      ...(intervalMs === undefined ? {} : { interval: durationText(intervalMs) }),
    }
  }

  private mirror(interval: number): Section {
    const stage = this.stage('mirror')
    if (!stage) return {}
    const ms = timeOf(stage)
    for (const { field } of stage.pauses) field.take()
    return { mirror: { ...stage.section, ...(ms === 0 || ms === interval ? {} : { interval: durationText(ms) }) } }
  }

  private ab(interval: number): Section {
    const stage = this.stage('ab')
    if (!stage) return {}
    const intervals = Math.min(1000, Math.max(1, Math.round(timeOf(stage) / interval)))
    for (const { field } of stage.pauses)
      if (timeOf(stage) === intervals * interval) field.take()
      else field.differ(`the A/B stage lasts a number of intervals: ${intervals} of ${durationText(interval)}`)
    return { ab: { ...stage.section, intervals } }
  }
}

const defaultIntervalMs = 30_000

function takeWeight(stage: Stage, interval: number, mostWeight: number): void {
  const { field, pauses, weight } = stage
  if (mostWeight !== 100) field.differ(`of \`maxTrafficWeight\`, ${mostWeight}; here it is in per cent: ${weight}`)
  if (pauses.length === 0)
    field.differ(`it has no pause with a duration; here every step lasts \`interval\`, ${durationText(interval)}`)
  else field.take()
  for (const pause of pauses)
    if (pauses.length === 1 && pause.ms === interval) pause.field.take()
    else pause.field.differ(`every step lasts \`interval\`, ${durationText(interval)}`)
}

function timeOf({ pauses }: Stage): number {
  return pauses.reduce((sum, { ms }) => sum + ms, 0)
}

/** The time that most weights last; of several, the longest. */
function commonTime(weights: readonly Stage[]): number | undefined {
  const times = weights.map(timeOf).filter((ms) => ms > 0)
  const countOf = (ms: number) => times.filter((each) => each === ms).length
  return times.toSorted((a, b) => countOf(b) - countOf(a) || b - a)[0]
}

/** A number counts seconds, as does a text without a unit. Argo Rollouts drops a part of a second. */
function msOf(duration: Field): number {
  const ms = /^\d+$/.test(String(duration.value)) ? Number(duration.value) * 1000 : parseDuration(duration.value)
  if (ms === undefined || ms < 0) duration.fail('a duration such as 30s, or a number of seconds')
  return Math.floor(ms / 1000) * 1000
}

function headerMatch(item: Field): Section | undefined {
  const name = item.get('headerName').text() ?? ''
  const value = textMatch(item.get('headerValue').value)
  return value && /^[A-Za-z0-9_.-]+$/.test(name) ? { headers: { [name]: value } } : undefined
}

/** A match that every request meets. */
function isEverything(match: Field): boolean {
  const path = match.get('path')
  return match.keys().length === 1 && (path.get('prefix').value === '/' || path.get('regex').value === '/.*')
}
