// The keys of mesh.yaml that the objects of an engine do not express, and what to know about them.
import type { EngineType } from '../../config/schema/engine.ts'
import type { Row, Table } from './table.ts'

/** The kind under which the tables know mesh.yaml. */
export const meshYaml = 'mesh.yaml'

type Says = Partial<Record<EngineType, string>> & { both?: string }

const ourAnalysis = 'its analysis compares a number with bounds, and knows no error rates'
const ourRun = 'the controller runs in the cluster, so no run can get lost'
const oneAfterAnother = 'the controller knows no other canary'
const staysHere = 'it stays in mesh.yaml, for mesh-canary'

/** Of a canary. */
const canaryKeys: Record<string, Says> = {
  engine: { both: 'the objects are for one engine' },
  service: {},
  stable: { flagger: 'Flagger makes a copy of the Deployment, which is stable' },
  canary: { flagger: 'the Deployment itself is the canary' },
  routes: { flagger: 'Flagger writes a VirtualService of its own' },
  steps: {},
  interval: {},
  until: { flagger: 'use a webhook of the type `confirm-promotion`' },
  mirror: {},
  ab: {},
  image: { both: 'the controller starts when the image of the Deployment changes' },
  images: { both: 'the controller starts when an image of the Deployment changes' },
  manifests: { both: 'the controller starts when the template of the Deployment changes' },
  replicas: {
    flagger: 'the canary gets the replicas of the Deployment',
    'argo-rollouts': 'the canary gets replicas in proportion to its weight',
  },
  advance: { both: 'a step always lasts its interval' },
  minInterval: { both: 'a step always lasts its interval' },
  pollInterval: {
    flagger: 'a metric is asked once in an interval',
    'argo-rollouts': 'a metric is asked every `interval` of its own',
  },
  checks: {},
  'checks.successRate': {},
  'checks.p99': {},
  'checks.noWorseThanStable': { both: ourAnalysis },
  'checks.falseRollback': { both: ourAnalysis },
  'checks.falsePromotion': { both: ourAnalysis },
  'checks.tolerance': { both: ourAnalysis },
  'checks.minRequests': { both: ourAnalysis },
  'checks.queries': {},
  'checks.queries.*.every': { flagger: 'Flagger asks once in an interval' },
  'checks.commands': {
    flagger: 'only a runner can run a command; use a webhook',
    'argo-rollouts': 'only a runner can run a command; use a metric with the provider `job`',
  },
  warmup: { both: 'latency counts from the first request on' },
  prometheus: {},
  'prometheus.token': {
    flagger: 'put it into a Secret, and name that in `spec.provider.secretRef` of the MetricTemplates',
    'argo-rollouts': 'put it into a Secret, and name that in the `args` of the AnalysisTemplates',
  },
  'prometheus.timeout': { flagger: 'Flagger has a time limit of its own, 5 s' },
  'prometheus.counters': { both: 'the counters always come from Prometheus' },
  webhooks: { 'argo-rollouts': 'use a metric with the provider `web`' },
  'webhooks.*.every': { flagger: 'Flagger calls it once in an interval' },
  load: { flagger: 'use a webhook with a load tester', 'argo-rollouts': 'use a metric with the provider `job`' },
  clients: { both: 'Prometheus has the metrics of all namespaces that it scrapes' },
  maxPods: { both: 'Prometheus reads all pods' },
  onFail: { both: 'a canary that fails is always rolled back' },
  onInconclusive: {
    flagger: 'without a result, a check has failed',
    'argo-rollouts': 'an inconclusive analysis pauses the Rollout',
  },
  onCancel: { both: ourRun },
  onDrift: {
    flagger: 'Flagger goes on from the weights that it finds',
    'argo-rollouts': 'Argo Rollouts writes its weights again',
  },
  guard: { both: ourRun },
  leaseWaitTimeout: { both: ourRun },
  progressDeadline: {},
  confirmTimeout: { both: 'the controller waits for an approval for ever' },
  after: { both: 'the new version always becomes stable' },
  commitTimeout: { both: 'the new version always becomes stable' },
  explain: { both: 'the log of the controller has the results' },
  wave: { both: oneAfterAnother },
  metrics: { both: 'the names of the metrics are part of the queries' },
}

/** Of a service with a canary. */
const serviceKeys: Record<string, Says> = {
  subsets: {
    flagger: 'Flagger makes two Services instead of subsets',
    'argo-rollouts': 'the subsets of the canary get the label that Argo Rollouts adds',
  },
  traffic: { both: 'the controller sets the weights' },
  weights: { both: 'the controller sets the weights' },
  routes: { flagger: 'Flagger writes a VirtualService of its own, with one route' },
  mirror: { flagger: 'use `canary.mirror`' },
  fault: { flagger: 'Flagger writes a VirtualService of its own, without faults' },
}

/** Of the file. `canary`, `canaries` and `services` are above. */
const otherKeys: Record<string, Says> = {
  expose: {
    flagger: 'set `spec.service.gateways` and `hosts` of the Canary, for a Gateway of your own',
    'argo-rollouts': 'the VirtualService for the gateway is among the objects; its Gateway stays in mesh.yaml',
  },
  policies: { both: 'these manifests stay yours' },
  together: { both: oneAfterAnother },
  namespace: {},
}

export function ourTable(engine: EngineType): Table {
  const rows = (keys: Record<string, Says>, prefixes: string[]) =>
    prefixes.flatMap((prefix) =>
      Object.entries(keys).map(
        ([key, says]): Row => ({ kind: meshYaml, field: `${prefix}${key}`, says: textOf(says, engine) }),
      ),
    )
  return [
    ...rows(canaryKeys, ['canary.', 'canaries[].']),
    ...rows(serviceKeys, ['services.*.']),
    ...rows(otherKeys, ['']),
    { kind: meshYaml, field: '', says: staysHere },
  ]
}

function textOf(says: Says, engine: EngineType): string {
  return says[engine] ?? says.both ?? 'its value has no counterpart'
}

/** For the pages: the keys of a canary and of its service without a counterpart. */
export function keysWithout(engine: EngineType): { key: string; says: string }[] {
  const listed = (keys: Record<string, Says>, prefix: string) =>
    Object.entries(keys).flatMap(([key, says]) => {
      const text = says[engine] ?? says.both
      return text === undefined ? [] : [{ key: `${prefix}${key}`, says: text }]
    })
  return [...listed(canaryKeys, 'canary.'), ...listed(serviceKeys, 'services.<name>.')]
}
