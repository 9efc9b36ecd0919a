// Checks that requests arrive according to the weights of a route. Pure.
import type { MetricNames } from '../envoy/counters.ts'
import { matches, withoutIstiodLabels } from '../cluster/labels.ts'
import type { HttpRoute, VirtualService } from '../cluster/objects.ts'
import type { ServicePolicy } from '../config/schema.ts'
import type { Weights } from '../policies/compile/names.ts'
import { interval, plausible } from '../statistics/binomial.ts'
import { percent } from '../statistics/percent.ts'
import { servedRequests, type CountedService, type PodCounts } from './proxy-counters.ts'

const confidence = 0.99
/** The confidence for a failure. At 99%, one run in a hundred would fail by chance. */
const failureConfidence = 0.9999

/** `weights`: the weights in force in `route`. */
export type SplitCheck = {
  target: CountedService
  route: VirtualService
  weights: Weights
  subsets: NonNullable<ServicePolicy['subsets']>
}

/** `ok` is undefined if the counts prove nothing. */
export type SplitResult = { ok?: boolean; text: string }

/** Counts the requests by the labels of the pods that served them, because labels define a subset. */
export function checkSplit(
  { target, route, weights, subsets }: SplitCheck,
  counts: PodCounts[],
  metrics: MetricNames,
  watchMs: number,
): SplitResult {
  const served = Object.keys(weights).map((name) => {
    const labels = subsets[name]
    const own = labels ? counts.filter(({ pod }) => matches(withoutIstiodLabels(labels), pod.metadata.labels)) : []
    return { name, count: servedRequests(own, target, metrics) }
  })
  const requests = served.reduce((total, { count }) => total + count, 0)
  const totalWeight = Object.values(weights).reduce((total, each) => total + each, 0)
  if (requests === 0 || totalWeight === 0)
    return { text: `no request reached ${target.service} in ${watchMs / 1000} s, so its split is unknown` }
  const parts = served.map(({ name, count }) => partOf(name, count, requests, (weights[name] ?? 0) / totalWeight))
  const text = parts.map((part) => part.text).join(', ')
  return verdictOf(parts, text, route, weights)
}

/** `isLikely`: the count is within the interval of the share. `isPossible`: the deviation may still be chance. */
type Part = { isLikely: boolean; isPossible: boolean; text: string }

function partOf(name: string, count: number, requests: number, share: number): Part {
  const [low, high] = interval(count, requests, confidence)
  const range = `99% interval ${percent(low, 1)} to ${percent(high, 1)}`
  return {
    isLikely: plausible(count, requests, share, confidence),
    isPossible: plausible(count, requests, share, failureConfidence),
    text: `${name} ${count} of ${requests} (${percent(count / requests, 1)}, ${range}; weight ${percent(share, 1)})`,
  }
}

function verdictOf(parts: Part[], text: string, route: VirtualService, weights: Weights): SplitResult {
  if (parts.every(({ isLikely }) => isLikely)) return { ok: true, text }
  if (hasOtherRoutes(route, weights))
    return {
      text:
        `${text}; other routes or mirrors of VirtualService ${route.metadata.name} send requests to the same pods, ` +
        'so the counts do not show the weights alone',
    }
  if (parts.every(({ isPossible }) => isPossible))
    return { text: `${text}; outside the interval, as happens by chance once in a hundred times: run it again` }
  return {
    ok: false,
    text: `${text}; far outside the interval: a caller is outside the mesh, or a proxy has not received the weights`,
  }
}

/** True if requests reach the same pods without following the weights. */
function hasOtherRoutes({ spec: { http = [] } }: VirtualService, weights: Weights): boolean {
  const followsWeights = ({ route = [], ...settings }: HttpRoute) =>
    !('mirror' in settings || 'mirrors' in settings) &&
    route.length === Object.keys(weights).length &&
    route.every(({ destination: { subset = '' }, weight }) => (weight ?? 100) === weights[subset])
  return !http.every(followsWeights)
}
