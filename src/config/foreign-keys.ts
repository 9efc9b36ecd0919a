// Keys of Flagger and Argo Rollouts, and of Istio's own objects, that people bring along. The error for such a key says
// where its setting belongs.

const ownRoute = 'write it in a VirtualService of your own, and name that file under `policies`'
const ofService = 'the Service has it already; remove it here'

/** By section; `*` stands for a name that the user chooses. */
const foreignKeys: Record<string, Record<string, string>> = {
  'services.*': {
    match: ownRoute,
    rewrite: ownRoute,
    headers: ownRoute,
    corsPolicy: ownRoute,
    gateways: `write \`expose\`, or ${ownRoute}`,
    hosts: `write \`expose\`, or ${ownRoute}`,
    trafficPolicy:
      'write `loadBalancer` or `circuitBreaker`, or a DestinationRule of your own, and name that file under `policies`',
    targetPort: ofService,
    portName: ofService,
    portDiscovery: ofService,
  },
  canary: {
    analysis: 'write its keys directly under `canary`',
    stepWeight: 'write `steps: { by: 10, to: 50 }`, with `maxWeight` as `to`',
    maxWeight: 'write `steps: { by: 10, to: 50 }`, with `stepWeight` as `by`',
    stepWeights: 'write `steps`, and end it with 100',
    stepWeightPromotion: 'the steps of `steps` also apply to the rest of the way; remove it',
    setWeight: 'write the weights under `steps`',
    threshold: 'write `checks.falseRollback`, the chance of a wrong rollback',
    iterations: 'write `ab.intervals`, or `steps: [100]` without `ab`',
    match: 'write `ab.match`',
    mirrorWeight: 'write `mirror.percent`',
    skipAnalysis: 'leave the stage `promote` out of `stages`, and set `traffic`',
    targetRef: 'write `service`, with `stable` and `canary` for its two versions',
    progressDeadlineSeconds: 'write `progressDeadline`, such as `10m`',
    trafficRouting: 'write `service`, `stable` and `canary`, and `routes` for the names of the routes',
  },
}

/** What to do about the key at the end of `path`. `canaries` has the same keys as `canary`. */
export function adviceOnKey(path: readonly (string | number)[]): string | undefined {
  const [root, ...rest] = path.slice(0, -1)
  const section = root === 'services' ? (rest.length === 1 ? 'services.*' : '') : sectionOfCanary(root, rest)
  const [keys = {}, key] = [foreignKeys[section], String(path.at(-1))]
  return Object.hasOwn(keys, key) ? keys[key] : undefined
}

function sectionOfCanary(root: string | number | undefined, rest: readonly (string | number)[]): string {
  const depth = root === 'canaries' ? 1 : 0
  return (root === 'canary' || root === 'canaries') && rest.length === depth ? 'canary' : ''
}
