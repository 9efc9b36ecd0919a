// The one schema: it validates the config file and the inputs, is published as JSON Schema,
// and its descriptions are the tables of the README. It knows no cluster.
import { z } from 'zod'
import { dnsName, duration, listOf, objectName, percentage, steps, text, texts, whole, word, workloads } from './values.ts'

export const stageNames = ['install', 'inject', 'policies', 'verify', 'promote'] as const
export type StageName = (typeof stageNames)[number]

const named = (what: string) =>
  z.string().regex(dnsName, { error: `${what} is a Kubernetes name: lower-case letters, digits and dashes` })

const version = z
  .unknown()
  .meta({ type: 'string', pattern: '^\\d+\\.\\d+\\.\\d+$' })
  .transform((raw, context): string => {
    if (typeof raw === 'string' && /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(raw)) return raw
    context.issues.push({ code: 'custom', message: 'expected an exact Istio version such as 1.31.0 (quote it in YAML)', input: raw })
    return z.NEVER
  })

const url = z
  .unknown()
  .meta({ type: 'string', format: 'uri' })
  .transform((raw, context): string => {
    if (typeof raw === 'string' && /^https?:\/\//.test(raw) && URL.canParse(raw)) return raw.replace(/\/+$/, '')
    context.issues.push({ code: 'custom', message: 'expected an http or https address', input: raw })
    return z.NEVER
  })

/** `--set` values: `key=value` lines, or a map of the same. */
const setValues = z
  .unknown()
  .meta({ type: ['array', 'object', 'string'] })
  .transform((raw, context): string[] => {
    const pairs =
      typeof raw === 'string' ? raw.split('\n').map((line) => line.trim()).filter(Boolean)
      : Array.isArray(raw) ? raw.map(String)
      : typeof raw === 'object' && raw !== null ? Object.entries(raw).map(([key, value]) => `${key}=${String(value)}`)
      : ['']
    const odd = pairs.find((pair) => !/^[^=\s]+=/.test(pair))
    if (odd === undefined) return pairs
    context.issues.push({ code: 'custom', message: 'expected key=value, one a line', input: odd })
    return z.NEVER
  })

const istio = z.strictObject({
  version: version.prefault('1.31.0').describe('Istio version to use, exact.'),
  profile: text.prefault('default').describe("istioctl's installation profile: `default`, `demo`, `minimal`, …"),
  set: setValues.prefault([]).describe('Values passed to `istioctl install --set`: `key=value`, one a line.'),
  overlays: texts.optional().describe('IstioOperator files passed to `istioctl install -f`, in order.'),
  mirror: url
    .prefault('https://github.com/istio/istio/releases/download')
    .describe('Where istioctl is downloaded from, in the layout of the official releases.'),
  timeout: duration.prefault('5m').describe('How long the control plane may take to become ready.'),
})

const retryOn = listOf('Envoy retry conditions such as gateway-error, reset', (item) =>
  typeof item === 'string' && /^[a-z0-9-]+$/.test(item) ? item : undefined,
)

const service = z.strictObject({
  port: whole(1, 65535).optional().describe('The port of the Service that the policies are for.'),
  retries: z
    .strictObject({
      attempts: whole(0, 100).describe('Retries after the first try; 0 turns retries off.'),
      perTryTimeout: duration.optional().describe('Time limit of one try.'),
      retryOn: retryOn
        .prefault(['gateway-error', 'connect-failure', 'refused-stream', 'unavailable', 'cancelled'])
        .describe("What is retried. Istio's own default leaves a 503 answer out; ours names it (`gateway-error`)."),
    })
    .optional()
    .describe('Retries by the calling sidecar.'),
  timeout: duration.optional().describe('Time limit of the whole request, retries included.'),
  circuitBreaker: z
    .strictObject({
      maxConnections: whole(1, 1_000_000).optional().describe('TCP connections at most.'),
      maxPendingRequests: whole(1, 1_000_000).optional().describe('Requests waiting for a connection at most.'),
      maxRequestsPerConnection: whole(0, 1_000_000).optional().describe('Requests on one connection at most; 0 means no limit.'),
      consecutive5xxErrors: whole(1, 1_000_000).optional().describe('5xx answers in a row that eject a pod.'),
      interval: duration.optional().describe('Time between two looks at who is to be ejected.'),
      ejectFor: duration.optional().describe('How long a pod stays ejected the first time.'),
      maxEjectionPercent: whole(0, 100).optional().describe('Share of the pods that may be ejected at once.'),
    })
    .optional()
    .describe('Connection limits and ejection of failing pods.'),
  subsets: z
    .record(named('a subset'), z.record(z.string(), z.string({ error: 'expected a label value as text' })))
    .optional()
    .describe('Named groups of pods, each by its labels: `v1: { version: v1 }`.'),
  traffic: z.record(named('a subset'), whole(0, 100)).optional().describe('Weight of each subset in per cent; together 100.'),
})

const canary = z.strictObject({
  service: objectName.describe('The Service whose traffic is moved.'),
  stable: objectName.prefault('v1').describe('Subset that serves now. A subset not listed under the service means the label `version` of that value.'),
  canary: objectName.prefault('v2').describe('Subset to promote.'),
  steps: steps.prefault([5, 25, 50, 100]).describe('Weights of the canary in per cent, rising.'),
  interval: duration.prefault('30s').describe('How long each step is watched, from the first request that the canary serves in it.'),
  tick: duration.prefault('2s').describe('Time between two looks at the evidence.'),
  checks: z
    .strictObject({
      successRate: percentage.prefault('99%').describe("Share of the canary's answers that must not be 5xx."),
      p99: duration.optional().describe('99 of 100 requests must be answered within this time.'),
      falseAlarm: percentage.prefault('1%').describe('Chance at most of putting back a canary that meets its limits, over the whole promotion.'),
      minRequests: whole(0, 1_000_000).prefault(10).describe('Requests that the canary must have served in a step before the step can pass.'),
    })
    .prefault({})
    .describe('What the canary is held to.'),
  onFail: word('rollback', 'hold').prefault('rollback').describe('What happens to the weight when a check fails.'),
  onInconclusive: word('rollback', 'hold', 'promote').prefault('rollback').describe('What happens when a step saw too little evidence to pass.'),
  patience: duration.prefault('2m').describe('How long the canary may take to become ready, and a step may wait for evidence beyond its interval.'),
  metrics: z
    .strictObject({
      requests: text.prefault('istio_requests_total').describe("Counter of requests at the sidecars."),
      duration: text.prefault('istio_request_duration_milliseconds').describe('Histogram of request durations at the sidecars.'),
    })
    .prefault({})
    .describe('Names under which the sidecars publish their metrics.'),
})

export const schema = z.strictObject({
  namespace: objectName.prefault('default').describe('Namespace of the application.'),
  kubeconfig: text.optional().describe('Path of a kubeconfig, or its content. Without it: `KUBECONFIG`, `~/.kube/config`, or the service account of the pod.'),
  context: text.optional().describe('Context of the kubeconfig to use.'),
  stages: listOf(`stages out of ${stageNames.join(', ')}`, (item) => stageNames.find((name) => name === item))
    .optional()
    .describe('Stages to run. Without it, those that the other inputs ask for.'),
  istio: istio.optional().describe('The control plane to install.'),
  workloads: workloads.optional().describe('Workloads that get a sidecar, restarted in this order and only if they lack it; `all` for every one in the namespace.'),
  mtls: word('strict', 'permissive', 'disable').optional().describe('Mutual TLS mode of the namespace.'),
  services: z.record(named('a service'), service).optional().describe('Traffic policies by service.'),
  verify: z
    .strictObject({ timeout: duration.prefault('3m').describe('How long pods may take to be ready with their sidecar.') })
    .prefault({})
    .describe('What must be true at the end.'),
  canary: canary.optional().describe('The promotion.'),
  report: text.optional().describe('Where the JSON report is written. Without it: a file in the temporary folder of the runner.'),
})

export type Config = Readonly<z.infer<typeof schema>>
export type ServicePolicy = NonNullable<Config['services']>[string]
export type CanaryConfig = NonNullable<Config['canary']>
export type IstioConfig = NonNullable<Config['istio']>
