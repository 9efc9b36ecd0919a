// How traffic moves: Flagger's weights and iterations as mirror, A/B stage and steps, and back.
import type { CanaryConfig } from '../../../config/schema.ts'
import type { Field } from '../ledger.ts'
import { matchesOf } from '../request-match.ts'
import { durationText, wholeNumberOf } from '../values.ts'

type Section = Record<string, unknown>

/** Flagger looks every ten seconds at most. */
export const shortestIntervalMs = 10_000

/** `intervalMs`: of the analysis. The keys `mirror`, `ab` and `steps` of a canary. */
export function stepsFromFlagger(analysis: Field, intervalMs: number): Section {
  const iterations = wholeNumberOf(analysis.get('iterations'), 0, 1000) ?? 0
  if (iterations === 0) {
    leaveMatch(analysis.get('match'))
    return { ...mirror(analysis), ...weights(analysis) }
  }
  leaveWeights(analysis)
  const match = analysis.get('match')
  if (match.items().length > 0) {
    leaveMirror(analysis)
    return abTest(analysis.get('iterations'), match, iterations)
  }
  return blueGreen(analysis, iterations, intervalMs)
}

function abTest(iterations: Field, field: Field, intervals: number): Section {
  const match = matchesOf(field.items())
  if (match.length === 0) return { steps: [100] }
  iterations.take()
  field.assume(
    'an A/B stage needs a label of their own, such as `version`, on the pods of the Deployment, to tell them from the canary',
  )
  return { ab: { match: match.length === 1 ? match[0] : match, intervals }, steps: [100] }
}

function blueGreen(analysis: Field, count: number, intervalMs: number): Section {
  const iterations = analysis.get('iterations')
  const copies = mirror(analysis)
  if ('mirror' in copies) {
    iterations.take()
    const interval = durationText(count * intervalMs)
    return { mirror: { ...(copies.mirror as Section), ...(count === 1 ? {} : { interval }) }, steps: [100] }
  }
  if (count === 1) iterations.take()
  else
    iterations.leave(
      'Flagger tests the canary before it has users; here it is watched for one `interval` with all traffic. ' +
        'Test it before by a `pre-rollout` webhook, or by `mirror`',
    )
  return { steps: [100] }
}

function mirror(analysis: Field): Section {
  const [on, weight] = [analysis.get('mirror'), analysis.get('mirrorWeight')]
  if (on.value !== true) {
    on.leave('off, as without the key')
    weight.leave('without `mirror`, it has no effect')
    return {}
  }
  on.take()
  const percent = wholeNumberOf(weight, 0, 100) ?? 0
  weight.take()
  // 0 is the same as nothing: then Istio copies every request.
  return { mirror: percent === 0 ? {} : { percent: `${percent}%` } }
}

function weights(analysis: Field): Section {
  const [step, most, listed] = [analysis.get('stepWeight'), analysis.get('maxWeight'), analysis.get('stepWeights')]
  const by = wholeNumberOf(step, 0, 100) ?? 0
  if (by === 0) step.leave('0, as without the key')
  if (listed.items().length > 0) {
    most.leave('`stepWeights` is there, so Flagger ignores it')
    const weights = listedSteps(listed)
    return by > 0 ? mixedSteps(step, listed, by, weights) : { steps: upTo100(weights) }
  }
  if (by > 0) return evenSteps(step, most, by)
  most.leave('without `stepWeight`, it has no effect')
  analysis.assume('it has neither weights nor `iterations`, so the canary gets the default `steps`')
  return {}
}

/** Flagger adds the step until it has reached the largest weight. */
function evenSteps(step: Field, most: Field, by: number): Section {
  step.take()
  const to = wholeNumberOf(most, 0, 100) || 100
  const count = Math.ceil(to / by)
  const reached = Math.min(count * by, 100)
  if (reached === to) most.take()
  else most.differ(`Flagger adds \`stepWeight\` until it has reached it, so the last weight is ${reached}`)
  if (to === reached) return { steps: to === 100 ? { by } : { by, to } }
  const multiples = Array.from({ length: count }, (_, i) => Math.min((i + 1) * by, 100))
  return { steps: [...new Set([...multiples, 100])] }
}

/** With both, Flagger adds `stepWeight`, and promotes at the last of `stepWeights`. */
function mixedSteps(step: Field, listed: Field, by: number, weights: readonly number[]): Section {
  const count = Math.ceil(weights.at(-1)! / by)
  const steps = Array.from({ length: count }, (_, i) => Math.min((i + 1) * by, 100))
  step.take()
  listed.differ('`stepWeight` is there, so Flagger takes only the last weight from it, to promote there')
  return { steps: upTo100(steps) }
}

function upTo100(weights: readonly number[]): number[] {
  return weights.at(-1) === 100 ? [...weights] : [...weights, 100]
}

function listedSteps(listed: Field): number[] {
  const given = listed.items().map((item) => wholeNumberOf(item, 1, 100)!)
  given.forEach((weight, i) => {
    if (weight <= (given[i - 1] ?? 0)) listed.get(i).fail('a weight larger than the one before')
  })
  listed.take()
  return given
}

function leaveWeights(analysis: Field): void {
  for (const key of ['stepWeight', 'maxWeight', 'stepWeights'])
    analysis.get(key).leave('with `iterations`, Flagger ignores it')
}

function leaveMirror(analysis: Field): void {
  for (const key of ['mirror', 'mirrorWeight'])
    analysis.get(key).leave('with `match` and `iterations`, Flagger ignores it')
}

function leaveMatch(match: Field): void {
  match.leave(
    'without `iterations`, Flagger shifts the matching requests only, by weight. Here `ab` gives the canary all of ' +
      'them, before the steps: add it if that is what you want',
  )
}

/** Flagger's form of the weights below 100; undefined for a canary that gets all traffic at once. */
export function weightsForFlagger({ steps }: Pick<CanaryConfig, 'steps'>): Section | undefined {
  const below = steps.filter((weight) => weight < 100)
  const [first] = below
  if (first === undefined) return undefined
  const isEven = below.every((weight, i) => weight === first * (i + 1))
  if (isEven) return { stepWeight: first, maxWeight: below.at(-1)! }
  return { stepWeights: below }
}
