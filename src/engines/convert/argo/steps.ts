// The steps of a Rollout as mirror, A/B stage, steps and interval.
import { parseDuration } from '../../../config/values/durations.ts'
import type { Field } from '../ledger.ts'
import { textMatch } from '../request-match.ts'
import { durationText, wholeNumberOf } from '../values.ts'

type Section = Record<string, unknown>
type Pause = { field: Field; ms: number }
/** What lasts from one step of the Rollout to the next: its pauses follow it. */
type Stage = {
  kind: 'start' | 'mirror' | 'ab' | 'weight'
  field: Field
  weight: number
  pauses: Pause[]
  section: Section
}

/**
 * `hasSubsets`: an A/B stage needs them. `allWeight`: the weight that is all traffic. The keys `mirror`, `ab`, `steps`, `interval` and
 * `until` of a canary.
 */
export function stepsFromRollout(steps: Field, hasSubsets: boolean, allWeight: number): Section {
  const reader = new StepReader(steps, hasSubsets, allWeight)
  for (const step of steps.items()) reader.read(step)
  return reader.result()
}

class StepReader {
  private readonly steps: Field
  private readonly hasSubsets: boolean
  private readonly allWeight: number
  private readonly stages: Stage[]
  private readonly ended = new Set<Stage>()
  private until: number | undefined

  constructor(steps: Field, hasSubsets: boolean, allWeight: number) {
    this.steps = steps
    this.hasSubsets = hasSubsets
    this.allWeight = allWeight
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
    const weight = (wholeNumberOf(field, 0, this.allWeight)! * 100) / this.allWeight
    if (!Number.isInteger(weight)) field.fail(`whole per cent of maxTrafficWeight ${this.allWeight}`)
    if (weight <= this.last.weight)
      return void field.leave(weight === 0 ? 'every promotion begins at 0' : 'weights only rise here')
    this.stages.push({ kind: 'weight', field, weight, pauses: [], section: {} })
  }

  private pause(field: Field): void {
    const duration = field.get('duration')
    if (!duration.given) return this.approval(field)
    if (/^0(ms|s|m|h)?$/.test(String(duration.value)))
      return void field.leave('it lasts no time, so Argo Rollouts goes on at once')
    const ms = msOf(duration)
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
    if (begun === undefined || begun !== field.get('name').value) field.leave('no stage began that it could end')
    else {
      field.leave('`ab` and `mirror` end by themselves, before the next stage')
      this.ended.add(stage!)
    }
  }

  result(): Section {
    const weights = this.stages.filter(({ kind }) => kind === 'weight')
    const intervalMs = commonTime(weights)
    const interval = intervalMs ?? defaultIntervalMs
    if (intervalMs === undefined)
      this.steps.assume('no weight has a pause with a duration, so `interval` is the default, 30s')
    for (const stage of weights) takeWeight(stage, interval)
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
    this.tellOfEnd(stage)
    const ms = timeOf(stage)
    for (const { field } of stage.pauses) field.take()
    return { mirror: { ...stage.section, ...(ms === 0 || ms === interval ? {} : { interval: durationText(ms) }) } }
  }

  private tellOfEnd(stage: Stage): void {
    if (!this.ended.has(stage))
      stage.field.assume(
        `\`${stage.kind}\` ends before the next stage; Argo Rollouts keeps the route until the rollout ends`,
      )
  }

  private ab(interval: number): Section {
    const stage = this.stage('ab')
    if (!stage) return {}
    this.tellOfEnd(stage)
    const intervals = Math.min(1000, Math.max(1, Math.round(timeOf(stage) / interval)))
    for (const { field } of stage.pauses)
      if (timeOf(stage) === intervals * interval) field.take()
      else field.differ(`the A/B stage lasts a number of intervals: ${intervals} of ${durationText(interval)}`)
    return { ab: { ...stage.section, intervals } }
  }
}

const defaultIntervalMs = 30_000

function takeWeight(stage: Stage, interval: number): void {
  const { field, pauses } = stage
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

/** A number counts seconds, as does a text without a unit. */
function msOf(duration: Field): number {
  const ms = /^\d+$/.test(String(duration.value)) ? Number(duration.value) * 1000 : parseDuration(duration.value)
  if (ms === undefined || ms <= 0) duration.fail('a duration such as 30s, or a number of seconds')
  return ms
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
