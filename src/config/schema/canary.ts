// The sections `canary` and `canaries`: how traffic moves to a new version.
import * as z from 'zod'
import { duration, durationOrZero, durationPattern, parseDuration } from '../values/durations.ts'
import { imageReference, imageToRelease } from '../values/images.ts'
import { dnsName, dnsNameForm, objectName } from '../values/kubernetes.ts'
import { strings, weightSteps } from '../values/lists.ts'
import { inRange, parseWholeNumber, wholeNumber } from '../values/numbers.ts'
import { parsedValue } from '../values/parsed-value.ts'
import { publicValue } from '../values/public-value.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean, oneOf } from '../values/strings.ts'
import { checks } from './checks.ts'
import { engine } from './engine.ts'
import { guard } from './guard.ts'
import { load, loadPurpose } from './load.ts'
import { metricNames } from './metric-names.ts'
import { hasExactlyOne, nameOf, shareOfRequests } from './parts.ts'
import { prometheus } from './prometheus.ts'
import { requestMatches } from './request-match.ts'
import { webhook } from './webhooks.ts'

export const canaryDefaults = { steps: [5, 25, 50, 100], interval: '30s' }

/** A version of a service: a subset of it, or a Service of its own. */
export type Version = { by: 'subset' | 'service'; name: string }

const subsetName = parsedValue(
  `the name of a subset: ${dnsNameForm}; list a subset for a label with other characters: ` +
    '`services: { <service>: { subsets: { v1-10: { version: "1.10" } } } }`',
  { type: 'string', pattern: dnsName.source, ...publicValue },
  (raw) => (typeof raw === 'string' && dnsName.test(raw) ? raw : undefined),
)

function versionWithDefault(subset: string) {
  const section = z
    .strictObject({
      subset: subsetName
        .optional()
        .describe(`Subset of the service. \`${subset}\` alone is short for \`{ subset: ${subset} }\`.`),
      service: objectName.optional().describe('A Service of its own, instead of a subset.'),
    })
    .refine(hasExactlyOne, { error: 'expected exactly one of subset, service' })
  return withShortForm(section, subsetName, (subset) => ({ subset }))
    .transform(
      ({ subset, service }): Version =>
        subset !== undefined ? { by: 'subset', name: subset } : { by: 'service', name: service! },
    )
    .prefault(subset)
}

/** Which traffic moves, and in which steps. */
const traffic = {
  service: objectName.describe('Service whose traffic moves.'),
  engine: engine
    .prefault('builtin')
    .describe(
      'Who moves the traffic: this program (`builtin`), or the controller of Argo Rollouts or Flagger, by an object that ' +
        'exists already, or that `generate` writes. The run then follows the rollout to its end, judges the canary by its own `checks` meanwhile, and ' +
        'aborts the rollout of a canary that fails. Steps and pauses stay in the object. `argo-rollouts`, `flagger`, or a map.',
    ),
  stable: versionWithDefault('v1').describe(
    'Subset that serves now, or `{ service: … }`. ' +
      'A subset that is not listed under the service selects the pods with this value of the label `version`.',
  ),
  canary: versionWithDefault('v2').describe('Subset to promote, or `{ service: … }`.'),
  routes: strings
    .optional()
    .describe(
      'Names of the HTTP routes whose weights move. Default: every route that splits between the two. A named route of ' +
        '`policies` that goes to the whole service gets both versions as destinations.',
    ),
  steps: weightSteps
    .prefault(canaryDefaults.steps)
    .describe(
      'Weights of the canary in per cent, rising; or `{ by: 10, to: 50 }` for 10, 20, 30, 40, 50, and then 100. A list ' +
        'that ends below 100 ends the promotion there, `held`.',
    ),
  until: wholeNumber(1, 99)
    .optional()
    .describe('Weight to stop at for now. A later run without `until` continues from there.'),
  mirror: z
    .strictObject({
      percent: shareOfRequests('Share of the requests to copy.'),
      interval: duration.optional().describe("How long to watch the copies. Default: the steps' interval."),
    })
    .optional()
    .describe('Before the first weight, the canary gets copies of requests. Its responses are dropped.'),
  ab: z
    .strictObject({
      match: requestMatches,
      intervals: wholeNumber(1, 1000).prefault(1).describe('Number of intervals to watch.'),
    })
    .optional()
    .describe('Before the first weight, the canary gets the matching requests only.'),
}

const replicas = parsedValue<'same' | 'proportional' | number>(
  '`same`, `proportional`, or a whole number from 1 to 1000',
  { type: ['string', 'integer'], ...publicValue },
  (raw) => (raw === 'same' || raw === 'proportional' ? raw : inRange(parseWholeNumber(raw), 1, 1000)),
)

/** What the run releases, if it makes the canary's Deployment itself. */
const release = {
  image: imageToRelease
    .optional()
    .describe(
      'Image to release. The run finds the Deployment behind the Service, creates `SERVICE-canary` from it with this ' +
        'image, promotes it, gives the image to the Deployment, and deletes the canary. `stable` and `canary` are then ' +
        'only names. Init containers that run the same image get it too. For a pod with several containers see ' +
        '`images`. `current` releases nothing: write it into the ' +
        'file if a workflow passes the image as an input.',
    ),
  images: z
    .record(nameOf('a container'), imageReference)
    .optional()
    .describe('Like `image`, by the name of the container: `{ app: registry.example/backend:2.1.0 }`.'),
  manifests: strings
    .optional()
    .describe(
      'Like `image`, with the whole new Deployment: file patterns of manifests, such as the output of `helm template` ' +
        'or `kustomize build`. Of the other objects in them, only the ConfigMaps and Secrets of its pods count.',
    ),
  replicas: replicas
    .optional()
    .describe(
      'Replicas of the canary that the run creates: `same` as the Deployment has now; `proportional` to the weight, ' +
        'where each step waits until the pods for it are ready; or a number. Default: `same`.',
    ),
}

/** How long a step takes. */
const pace = {
  interval: duration
    .prefault(canaryDefaults.interval)
    .describe(
      'How long a step lasts. It includes at most two polls of the time until the requests follow the new weight.',
    ),
  advance: oneOf('interval', 'early')
    .prefault('interval')
    .describe('With `early`, a step ends as soon as the evidence of every check suffices, even before its interval.'),
  minInterval: duration.prefault('5s').describe('Minimum time to watch a step with `advance: early`.'),
  pollInterval: duration.prefault('1s').describe('Time between two samples of the metrics.'),
}

/** How long the latency of a canary is not judged: so many requests, or so many milliseconds. */
export type WarmUpLimit = { by: 'requests'; count: number } | { by: 'time'; ms: number }

const warmup = parsedValue(
  'a number of requests such as 200, or a duration with its unit such as 30s',
  {
    ...publicValue,
    anyOf: [
      { type: 'integer', minimum: 0, maximum: 1_000_000 },
      { type: 'string', pattern: durationPattern },
    ],
  },
  (raw): WarmUpLimit | undefined => {
    const count = inRange(parseWholeNumber(raw), 0, 1_000_000)
    if (count !== undefined) return { by: 'requests', count }
    const ms = parseDuration(raw)
    return ms === undefined ? undefined : { by: 'time', ms }
  },
)

/** What the decision is based on. */
const evidence = {
  checks: checks.prefault({}).describe('Limits that the canary has to meet.'),
  warmup: warmup
    .prefault(200)
    .describe(
      'Number of requests, or time, until the canary is warm. Until then, and at most until the last of several steps starts, ' +
        'its latency is observed but not judged; its failures are judged. 0 judges the latency from the first request on.',
    ),
  prometheus: prometheus
    .optional()
    .describe('Where Prometheus is, for `queries` and, if `counters` is set, for the request counters.'),
  webhooks: z
    .record(nameOf('a webhook'), webhook)
    .prefault({})
    .describe('Services that take part in the decision, by name.'),
  load: load.optional().describe(loadPurpose),
  clients: strings
    .optional()
    .describe('Other namespaces whose pods call the service. The metrics of their sidecars count as well.'),
  maxPods: wholeNumber(1, 10_000)
    .prefault(50)
    .describe('Maximum number of sidecars to read per kind of pod. If there are more pods, a sample of them is read.'),
}

/** What happens if the promotion does not go as planned. */
const reactions = {
  onFail: oneOf('rollback', 'hold', 'delete', 'keep')
    .prefault('rollback')
    .describe(
      'What happens if a check fails: `rollback` returns the traffic to stable, `hold` leaves the weight as it is. ' +
        'A canary that the run created is deleted after a rollback (`delete` says the same), or with `keep` scaled to 0.',
    ),
  onInconclusive: oneOf('rollback', 'hold', 'promote')
    .prefault('rollback')
    .describe('What happens if a step has too little evidence to pass.'),
  onCancel: oneOf('rollback', 'hold')
    .prefault('rollback')
    .describe(
      'What happens to the weight if the run is cancelled. With `hold`, a later run continues from that weight.',
    ),
  onDrift: oneOf('fail', 'take-over')
    .prefault('fail')
    .describe(
      'What happens if somebody else changes the weights or the routes during the promotion. `fail` rolls the canary ' +
        'back; `take-over` writes the weights again, at most three times.',
    ),
  guard: guard
    .prefault({})
    .describe(
      'Job in the namespace that returns all traffic to stable if the run is silent for this long. With `off`, the ' +
        'weights stay as they are if the runner dies during the promotion.',
    ),
  leaseWaitTimeout: durationOrZero
    .prefault('0s')
    .describe(
      'How long to wait while another run promotes the same service. ' +
        'Then this run fails, naming the run that holds the Lease.',
    ),
  progressDeadline: duration
    .prefault('3m')
    .describe(
      'Time limit for the canary and the guard to become ready, for a step to get evidence after its interval, ' +
        'and for repeating a write that the API server rejects.',
    ),
  confirmTimeout: duration.prefault('1h').describe('Time limit for the confirming webhooks to approve.'),
}

export const canary = z.strictObject({
  ...traffic,
  ...release,
  ...pace,
  ...evidence,
  ...reactions,
  after: oneOf('keep', 'adopt', 'gitops')
    .optional()
    .describe(
      'After the last step: `keep` leaves the weights as they are. ' +
        "`adopt` gives stable's Deployment the canary's pod template and the traffic, and scales the canary to 0, or " +
        'deletes it if the run created it. `gitops` is for a Deployment that Argo CD or Flux owns: the run writes nothing of ' +
        'it, gives the outputs `image` and `patch` to commit, waits until the controller has rolled that out, moves the ' +
        'traffic back and deletes the canary. Default: `adopt` with `image`, `images` or `manifests`, else `keep`.',
    ),
  commitTimeout: durationOrZero
    .prefault('10m')
    .describe(
      'With `after: gitops`, how long the canary waits with all the traffic until stable has the release from Git. Then ' +
        'the run ends with the verdict `held`, and fails. With `0s` it does not wait, and does not fail: a later run, after ' +
        'the commit, completes the release.',
    ),
  explain: boolean
    .prefault(false)
    .describe('Logs with each sample what every check counts, how strong its evidence is, and its result.'),
  wave: wholeNumber(1, 100)
    .prefault(1)
    .describe('With several canaries, those of one wave move together. The next wave starts when they are promoted.'),
  metrics: metricNames,
})
