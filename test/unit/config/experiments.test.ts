// The section `experiments`: its defaults, and what is rejected, each with the key, the value and what is expected.
import { describe, expect, test } from 'vitest'
import { stagesOf } from '../../../src/config/stages.ts'
import { configOf, refusal } from '../fixtures.ts'

const inject = '{ abort: { status: 503, service: shop } }'
const configText = (settings: string, more = '') =>
  `namespace: arcade\n${more}experiments:\n  trial: { service: front, ${settings} }\n`
const trial = (settings: string) => configOf(configText(settings)).experiments!['trial']!
const rejected = (settings: string) => refusal(configText(settings))

/** An object of Chaos Mesh with these keys instead of its own. */
function chaos(more: string, kind = 'PodChaos'): string {
  const keys = ['action: pod-kill', 'mode: one', 'selector: { labelSelectors: { app: front } }']
  const kept = keys.filter((key) => !more.startsWith(key.split(':')[0]!))
  return `inject: { chaosMesh: { kind: ${kind}, spec: { ${[...kept, more].filter(Boolean).join(', ')} } } }`
}

test('an experiment needs a service and a fault, and everything else has a default', () => {
  expect(trial(`inject: ${inject}`)).toMatchObject({
    service: 'front',
    inject: { abort: { status: 503, percent: 100, service: 'shop' } },
    expect: { successRate: 0.99, tolerance: 2, falseFragile: 0.01, falseResilient: 0.05 },
    steadyState: 30_000,
    duration: 60_000,
    recoverWithin: 30_000,
    stopBelow: 0.5,
    maxAffected: 50,
    guard: { enabled: true, after: 30_000 },
  })
})

test('the section runs the stage experiment, after a promotion and before nothing else', () => {
  expect(stagesOf(configOf(configText(`inject: ${inject}`)))).toEqual(['experiment'])
  expect(stagesOf(configOf(configText(`inject: ${inject}`, 'canary: { service: front }\n'))).at(-1)).toBe('experiment')
})

test('counts of the mesh are some, none, or bounds', () => {
  const { expect: counts } = trial(
    `inject: ${inject}, expect: { retries: some, ejections: none, timeouts: { min: 2, max: "9" } }`,
  )
  expect(counts).toMatchObject({ retries: { min: 1 }, ejections: { max: 0 }, timeouts: { min: 2, max: 9 } })
})

describe('is rejected:', () => {
  test.each([
    ['no fault', '', 'experiments.trial.inject'],
    ['an empty fault', 'inject: {}', 'expected exactly one of delay, abort, podKill, partition, overload'],
    ['two faults', 'inject: { overload: {}, podKill: { workload: deploy/shop } }', 'expected exactly one of delay'],
    ['an unknown fault', 'inject: { slow: {} }', 'slow'],
    ['a delay without a time', 'inject: { delay: {} }', 'experiments.trial.inject.delay.time'],
    ['a delay without a unit', 'inject: { delay: { time: 5 } }', 'a duration with its unit'],
    ['a status that is no failure', 'inject: { abort: { status: 200 } }', 'a whole number from 400 to 599'],
    ['a share above all', 'inject: { abort: { status: 503, percent: 120% } }', 'above 0% and up to 100%'],
    ['a share without a sign', 'inject: { abort: { status: 503, percent: 20 } }', 'a percentage such as 10%'],
    ['callers without labels', 'inject: { abort: { status: 503, from: {} } }', 'expected at least one label'],
    ['a match of nothing', 'inject: { abort: { status: 503, match: {} } }', 'expected at least one of headers'],
    ['a workload without its kind', 'inject: { podKill: { workload: shop } }', 'a workload such as deploy/backend'],
    ['no pods', 'inject: { podKill: { workload: deploy/shop, count: 0 } }', 'a whole number from 1 to 1000'],
    [
      'a number and a share of pods',
      'inject: { podKill: { workload: deploy/shop, count: 1, share: 10% } }',
      'expected at most one of count, share',
    ],
    [
      'more pods than may be affected',
      'inject: { podKill: { workload: deploy/shop, share: 80% } }',
      'affects 80%, more than `maxAffected` (50%)',
    ],
    [
      'a partition of all pods, if half may be affected',
      'inject: { partition: { workload: deploy/shop } }',
      'affects all pods of the workload, more than `maxAffected` (50%)',
    ],
    ['no connection', 'inject: { overload: { maxConnections: 0 } }', 'a whole number from 1 to 1000000'],
    ['a success rate of all', `inject: ${inject}, expect: { successRate: 100% }`, 'below 100%'],
    ['an unknown expectation', `inject: ${inject}, expect: { retry: some }`, 'retries'],
    ['a count in words', `inject: ${inject}, expect: { retries: many }`, '`some`, `none`, or whole numbers'],
    ['bounds in the wrong order', `inject: ${inject}, expect: { retries: { min: 5, max: 2 } }`, 'whole numbers as in'],
    [
      'retries of a fault that comes before them',
      'inject: { abort: { status: 503 } }, expect: { retries: some }',
      'set `inject.abort.service` to a service that front calls',
    ],
    [
      'a changed route during a promotion',
      'inject: { abort: { status: 503 } }, during: promotion',
      '`inject.abort` changes the routes that a promotion works with; inject podKill, partition or chaosMesh',
    ],
    [
      'a changed limit during a promotion',
      'inject: { overload: {} }, during: promotion',
      '`inject.overload` changes the DestinationRules that a promotion works with',
    ],
    ['another time', `inject: ${inject}, during: rollback`, 'expected promotion'],
    [
      'a stop above the hypothesis',
      `inject: ${inject}, stopBelow: 99.5%`,
      '99.5% is not below `expect.successRate` (99%)',
    ],
    ['a delay longer than the experiment', 'inject: { delay: { time: 2m } }', 'longer than the `duration`'],
    [
      'a pause longer than the experiment',
      'inject: { podKill: { workload: deploy/shop, every: 5m } }',
      'is longer than',
    ],
    ['a steady state shorter than a poll', `inject: ${inject}, steadyState: 500ms`, 'shorter than `pollInterval`'],
    ['a recovery that cannot be seen in time', `inject: ${inject}, recoverWithin: 1s`, 'make it 4000 ms or longer'],
    [
      'a side without content',
      chaos('target: null', 'NetworkChaos'),
      'spec.target: null: expected `mode` and `selector`',
    ],
    ['a side that is a name', chaos('target: db', 'NetworkChaos'), 'spec.target: "db": expected `mode` and `selector`'],
    ['no guard', `inject: ${inject}, guard: off`, 'an experiment needs its guard'],
    ['a hasty guard', `inject: ${inject}, guard: 1s`, 'a duration of 5s or more'],
    ['an impatient tolerance', `inject: ${inject}, expect: { tolerance: 1 }`, 'expected a number from 1.1'],
    ['an empty list of clients', `inject: ${inject}, clients: []`, 'clients'],
    ['no object', 'inject: { chaosMesh: {} }', 'expected either `file`, or `kind` and `spec`'],
    ['two objects', `inject: { chaosMesh: { file: a.yaml, kind: PodChaos, spec: {} } }`, 'expected either `file`'],
    [
      'an object without its content',
      'inject: { chaosMesh: { kind: PodChaos } }',
      'expected `kind` and `spec` together',
    ],
    ['a Schedule', chaos('', 'Schedule'), 'write the object that it repeats'],
    ['a fault of HTTP beside a sidecar', chaos('', 'HTTPChaos'), 'use `delay` or `abort`'],
    ['a duration of its own', chaos('duration: 10m'), 'the experiment sets it'],
    ['a remote cluster', chaos('remoteCluster: other'), 'the users of one cluster'],
    ['an unknown action', chaos('action: pod-eat'), '"pod-eat": expected pod-kill, pod-failure, container-kill'],
    ['an unknown mode', chaos('mode: some'), '"some": expected one of one, all, fixed'],
    [
      'an unknown action of a network fault',
      chaos('action: cut', 'NetworkChaos'),
      '"cut": expected netem, delay, loss',
    ],
    [
      'no pods',
      'inject: { chaosMesh: { kind: PodChaos, spec: { action: pod-kill, mode: fixed, value: "0", selector: { labelSelectors: { app: a } } } } }',
      '"0": expected a whole number of 1 or more',
    ],
    [
      'more than all pods',
      'inject: { chaosMesh: { kind: PodChaos, spec: { action: pod-kill, mode: fixed-percent, value: "900", selector: { labelSelectors: { app: a } } } } }',
      '"900": expected a whole number from 1 to 100',
    ],
    [
      'another side without a mode',
      chaos('target: { selector: { labelSelectors: { app: a } } }', 'NetworkChaos'),
      'spec.target.mode: nothing: expected one of one, all',
    ],
    ['polls that come too fast', `inject: ${inject}, pollInterval: 1ms`, 'make it 250ms or longer'],
    [
      'polls so rare that the guard takes over',
      `inject: ${inject}, pollInterval: 11s`,
      '11000 ms is longer than a third of `guard` (30000 ms)',
    ],
    [
      'a mode without its value',
      chaos('mode: fixed'),
      'nothing: expected a whole number of 1 or more as a string for the mode fixed',
    ],
    ['a selector without labels', chaos('selector: {}'), 'spec.selector.labelSelectors: expected at least one label'],
    [
      'pods that cannot be counted',
      chaos('selector: { labelSelectors: { app: a }, nodes: [n1] }'),
      'spec.selector.nodes: the run cannot tell how many pods',
    ],
    [
      'pods of another namespace',
      chaos('selector: { labelSelectors: { app: a }, namespaces: [arcade, prod] }'),
      '"prod": an experiment concerns its own namespace (arcade)',
    ],
    [
      'another side in another namespace',
      chaos('target: { mode: all, selector: { labelSelectors: { app: a }, namespaces: [prod] } }', 'NetworkChaos'),
      'spec.target.selector.namespaces',
    ],
    [
      'requests to a service that no gateway exposes',
      `inject: ${inject}, load: {}`,
      'load: needs a gateway; expose front',
    ],
  ])('%s', (_, settings, message) => {
    const error = rejected(settings)
    expect(error).toContain('experiments.trial')
    expect(error).toContain(message)
  })

  test('a name that is none', () => {
    expect(refusal(`experiments: { Slow_Shop: { service: front, inject: ${inject} } }`)).toContain(
      'the name of an experiment',
    )
  })

  test('the namespace of the control plane', () => {
    expect(refusal(`namespace: istio-system\nexperiments: { trial: { service: front, inject: ${inject} } }`)).toContain(
      'the namespace istio-system belongs to the control plane',
    )
  })

  test('the stage without experiments', () => {
    expect(refusal('stages: experiment')).toContain('experiment has nothing to do; set `experiments`')
  })
})
