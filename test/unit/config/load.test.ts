import { describe, expect, test } from 'vitest'
import { stagesOf } from '../../../src/config/check.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { configOf, fileWith, refusal } from '../fixtures.ts'

describe('what stands in the inputs', () => {
  test('natural values are read into the units that the program uses', () => {
    const config = loadConfig({
      INPUT_NAMESPACE: 'shop',
      INPUT_MTLS: ' Strict ',
      INPUT_WORKLOADS: 'deploy/mysql, sts/cache\nds/agent',
      INPUT_CANARY: '{ service: backend }',
      INPUT_STEPS: '10, 100',
      INPUT_INTERVAL: '1m30s',
      'INPUT_SUCCESS-RATE': '99.5 %',
      INPUT_P99: '500ms',
      'INPUT_ISTIO-VERSION': '1.30.2',
      INPUT_SET: 'a.b=1\n\nc=x=y',
      INPUT_MIRROR: 'https://mirror.example/istio//',
      'INPUT_VERIFY-TIMEOUT': '2m',
    })
    expect(config).toMatchObject({
      namespace: 'shop',
      mtls: { mode: 'strict' },
      workloads: [
        { kind: 'Deployment', name: 'mysql' },
        { kind: 'StatefulSet', name: 'cache' },
        { kind: 'DaemonSet', name: 'agent' },
      ],
      canary: { service: 'backend', steps: [10, 100], interval: 90_000, checks: { successRate: 0.995, p99: 500 } },
      istio: { version: '1.30.2', set: ['a.b=1', 'c=x=y'], mirror: 'https://mirror.example/istio' },
      verify: { timeout: 120_000 },
    })
  })

  test('a canary of which only the service is given has every default', () => {
    expect(loadConfig({ INPUT_CANARY: 'service: backend' }).canary).toEqual({
      service: 'backend',
      stable: { by: 'subset', name: 'v1' },
      canary: { by: 'subset', name: 'v2' },
      steps: [5, 25, 50, 100],
      interval: 30_000,
      advance: 'interval',
      minInterval: 5_000,
      pollInterval: 1_000,
      checks: {
        successRate: 0.99,
        noWorseThanStable: { enabled: true, margin: 1.5, latency: true },
        falseAlarm: 0.01,
        minRequests: 10,
        queries: {},
        commands: {},
      },
      webhooks: {},
      maxPods: 50,
      onFail: 'rollback',
      onInconclusive: 'rollback',
      onCancel: 'rollback',
      onDrift: 'fail',
      guard: { after: 30_000, image: 'docker.io/library/node:24-alpine', pullPolicy: 'IfNotPresent', enabled: true },
      leaseWaitTimeout: 0,
      progressDeadline: 120_000,
      confirmTimeout: 3_600_000,
      after: 'keep',
      explain: false,
      wave: 1,
      metrics: { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' },
    })
  })

  test('versions may be Services, steps may be even, and checks may be turned off by a word', () => {
    const plan = loadConfig({
      INPUT_CANARY:
        '{ service: backend, stable: { service: backend-v1 }, canary: { service: backend-v2 }, steps: { by: 30, to: 100 }, checks: { noWorseThanStable: false } }',
    }).canary
    expect(plan).toMatchObject({
      stable: { by: 'service', name: 'backend-v1' },
      steps: [30, 60, 90, 100],
      checks: { noWorseThanStable: { enabled: false } },
    })
  })

  test.each<[string, object]>([
    ['20s', { after: 20_000, enabled: true }],
    ['off', { enabled: false }],
    [
      '{ after: 10s, image: registry.test/node:24, pullPolicy: Always }',
      { after: 10_000, image: 'registry.test/node:24', pullPolicy: 'Always', enabled: true },
    ],
  ])('the guard is said with a word, or in full: %s', (guard, expected) => {
    expect(loadConfig({ INPUT_CANARY: 'service: backend', INPUT_GUARD: guard }).canary?.guard).toMatchObject(expected)
  })

  test.each([
    'guard: 1s',
    'guard: { after: 1s }',
    'guard: soon',
    'guard: { pullPolicy: Sometimes }',
    'onCancel: wait',
    'onDrift: ignore',
    'leaseWaitTimeout: soon',
  ])('what cannot be is refused by its name: %s', (wrong) => {
    expect(refusal(`canary: { service: backend, ${wrong} }`)).toMatch(
      new RegExp(`canary.${wrong.slice(0, wrong.indexOf(':'))}.*expected`),
    )
  })

  test('several canaries may be an input', () => {
    expect(
      loadConfig({ INPUT_CANARIES: '[{ service: backend }, { service: frontend, wave: 2 }]' }).canaries,
    ).toMatchObject([
      { service: 'backend', wave: 1 },
      { service: 'frontend', wave: 2 },
    ])
  })

  test('an empty input counts as not given, and variables of others are none', () => {
    expect(loadConfig({ INPUT_NAMESPACE: '', INPUT_CONFIG: '  ', PATH: '/bin', NAMESPACE: 'other' }).namespace).toBe(
      'default',
    )
  })

  test('an input overrides the file, a single key of a section leaves the others', () => {
    const file = fileWith(
      'namespace: shop\nistio: { version: 1.30.0, profile: demo }\ncanary: { service: backend, steps: [50] }\n',
    )
    const config = loadConfig({ INPUT_CONFIG: file, 'INPUT_ISTIO-VERSION': '1.31.0', INPUT_STEPS: '5,100' })
    expect(config).toMatchObject({
      namespace: 'shop',
      istio: { version: '1.31.0', profile: 'demo' },
      canary: { steps: [5, 100] },
    })
  })

  test('the finer input wins over its section', () => {
    expect(loadConfig({ INPUT_PROFILE: 'minimal', INPUT_ISTIO: '{ profile: demo }' }).istio?.profile).toBe('minimal')
  })

  test('the config cannot be changed afterwards, at any depth', () => {
    const config = configOf('services: { backend: { retries: { attempts: 2 } } }')
    expect(() => Object.assign(config.services!['backend']!.retries!, { attempts: 9 })).toThrow(TypeError)
  })
})

describe('what is refused, with key, place, value and remedy', () => {
  test.each<[string, string | undefined, Record<string, string>, string[]]>([
    [
      'an unknown input, with the nearest name',
      undefined,
      { workload: 'all' },
      ['input workload', 'not known', 'did you mean `workloads`?'],
    ],
    [
      'an unknown input that is near to none, with those there are',
      undefined,
      { zzzzzzzz: 'x' },
      ['input zzzzzzzz', 'known are config, name, namespace'],
    ],
    [
      'a key unknown to the file, with its line',
      'namespace: shop\n\nworkload: all\n',
      {},
      ['mesh.yaml:3: workload', 'not known', '`workloads`'],
    ],
    [
      'an unknown key inside a section',
      'services:\n  backend:\n    timeout: 1s\n    retrys: { attempts: 1 }\n',
      {},
      ['mesh.yaml:4: services.backend.retrys', '`retries`'],
    ],
    [
      'two unknown keys, a line each',
      'canary:\n  service: a\n  chekcs: {}\n  setps: [1]\n',
      {},
      ['mesh.yaml:3: canary.chekcs', '`checks`', 'mesh.yaml:4: canary.setps', '`steps`'],
    ],
    [
      'an unknown key in a YAML input, with the line of the input',
      undefined,
      { canary: 'service: a\nstep: [5]' },
      ['input canary, line 2: canary.step', '`steps`'],
    ],
    [
      'YAML that does not parse, with its line',
      'namespace: shop\nservices:\n\tbackend: {}\n',
      {},
      ['mesh.yaml:3', 'not valid YAML'],
    ],
    ['a list that is never closed', 'namespace: shop\nsteps: [1, 2\n', {}, ['mesh.yaml:3', 'not valid YAML']],
    [
      'YAML with the same key twice',
      'namespace: a\nmtls: strict\nnamespace: b\n',
      {},
      ['mesh.yaml:3', 'not valid YAML', 'unique'],
    ],
    ['an input that is not YAML', undefined, { services: '{ a: [ }' }, ['input services, line 1', 'not valid YAML']],
    ['a file that is a list', '- a\n- b\n', {}, ['mesh.yaml: expected YAML with keys', 'a list']],
    ['an empty file', '', {}, ['mesh.yaml: expected YAML with keys', 'nothing']],
    [
      'a weight above 100',
      'services:\n  a:\n    subsets: { v1: {} }\n    traffic:\n      v1: 101\n',
      {},
      ['mesh.yaml:5: services.a.traffic.v1', '101', 'from 0 to 100'],
    ],
    [
      'a weight below 0',
      'services:\n  a:\n    subsets: { v1: {} }\n    traffic: { v1: -1 }\n',
      {},
      ['mesh.yaml:4: services.a.traffic.v1', '-1', 'from 0 to 100'],
    ],
    [
      'a weight that is not whole',
      'services: { a: { traffic: { v1: 12.5 } } }',
      {},
      ['services.a.traffic.v1', '12.5', 'a whole number'],
    ],
    [
      'traffic that does not add up',
      'services:\n  a:\n    subsets: { v1: {}, v2: {} }\n    traffic: { v1: 80, v2: 30 }\n',
      {},
      ['mesh.yaml:4: services.a.traffic', 'add up to 110', 'make them add up to 100'],
    ],
    [
      'traffic to a subset that is not defined',
      'services:\n  a:\n    subsets: { v1: {} }\n    traffic: { v1: 50, v9: 50 }\n',
      {},
      ['mesh.yaml:4: services.a.traffic', 'v9', '`subsets` does not define', 'add it there'],
    ],
    [
      'a try that may last longer than the request',
      'services:\n  a:\n    timeout: 1s\n    retries: { attempts: 2, perTryTimeout: 2s }\n',
      {},
      ['mesh.yaml:4: services.a.retries', '2000 ms', '1000 ms', 'make it shorter'],
    ],
    [
      'steps that do not rise',
      undefined,
      { canary: 'service: a', steps: '5, 50, 25' },
      ['input steps: canary.steps', '"5, 50, 25"', 'rising'],
    ],
    [
      'a step of 0',
      'canary:\n  service: a\n  steps: [0, 100]\n',
      {},
      ['mesh.yaml:3: canary.steps', '[0,100]', 'from 1 to 100'],
    ],
    [
      'a step above 100',
      'canary: { service: a, steps: [5, 101] }',
      {},
      ['mesh.yaml:1: canary.steps', '[5,101]', 'from 1 to 100'],
    ],
    [
      'a duration without a unit',
      'canary:\n  service: a\n  interval: 30\n',
      {},
      ['mesh.yaml:3: canary.interval', '30 is not right', 'a duration with its unit'],
    ],
    [
      'a duration with an unknown unit',
      undefined,
      { 'verify-timeout': '3d' },
      ['input verify-timeout: verify.timeout', '"3d"', 'a duration with its unit'],
    ],
    ['a duration of nothing', undefined, { 'verify-timeout': '0s' }, ['verify.timeout', '"0s"']],
    [
      'a percentage without its sign',
      undefined,
      { canary: 'service: a', 'success-rate': '99' },
      ['input success-rate: canary.checks.successRate', '"99"', 'such as 99%'],
    ],
    [
      'a percentage of 100, which no evidence can show',
      undefined,
      { canary: 'service: a', 'success-rate': '100%' },
      ['canary.checks.successRate', '"100%"', 'below 100%'],
    ],
    [
      'a version that is none',
      undefined,
      { 'istio-version': 'newest' },
      ['input istio-version: istio.version', '"newest"', 'a version of Istio such as 1.31.0, 1.31, 1.31.x', 'latest'],
    ],
    [
      'a version that YAML read as a number',
      'istio:\n  version: 1.31\n',
      {},
      ['mesh.yaml:2: istio.version', '1.31 is not right', 'quote it'],
    ],
    [
      'a version and a file with one',
      undefined,
      { 'istio-version': '1.31.0', 'version-file': '.tool-versions' },
      ['input version-file: istio.versionFile', '".tool-versions"', '`version` is given as well (1.31.0)'],
    ],
    [
      'a version file that is not there',
      undefined,
      { 'version-file': '/nowhere/.istio-version' },
      ['input version-file: istio.versionFile', '/nowhere/.istio-version', 'ENOENT', 'checks the repository out'],
    ],
    [
      'a checksum of a range',
      undefined,
      { 'istio-version': '1.31.x', sha256: 'a'.repeat(64) },
      ['input sha256: istio.sha256', '1.31.x', 'give an exact one'],
    ],
    [
      'a checksum that is none',
      undefined,
      { sha256: 'abc' },
      ['input sha256: istio.sha256', '"abc"', '64 hexadecimal digits'],
    ],
    [
      'a mirror that is no address',
      undefined,
      { mirror: 'mirror.example' },
      ['input mirror: istio.mirror', '"mirror.example"', 'http or https'],
    ],
    ['a `set` that is no pair', undefined, { set: 'a=1\nb' }, ['input set: istio.set', 'key=value']],
    [
      'a workload without its kind',
      undefined,
      { workloads: 'backend' },
      ['input workloads: workloads', '"backend"', 'deploy/mysql'],
    ],
    [
      'a mode that is none',
      undefined,
      { mtls: 'on' },
      ['input mtls: mtls', '"on"', 'one of strict, permissive, disable'],
    ],
    [
      'a name that Kubernetes would refuse',
      'namespace: Shop_1\n',
      {},
      ['mesh.yaml:1: namespace', '"Shop_1"', 'lower-case letters'],
    ],
    [
      'a service name that Kubernetes would refuse',
      'services:\n  Back_End: {}\n',
      {},
      ['mesh.yaml:2: services.Back_End', 'a service is a Kubernetes name'],
    ],
    [
      'a section that is a single value',
      'services: backend\n',
      {},
      ['mesh.yaml:1: services', '"backend"', 'a map of keys'],
    ],
    [
      'a key input below a section that is none',
      'canary: backend\n',
      { steps: '5' },
      ['input steps', '`canary` is not a section', 'make it a map'],
    ],
    [
      'a canary without its service',
      'canary:\n  stable: v1\n',
      {},
      ['mesh.yaml:2: canary.service', 'is missing', 'a Kubernetes name'],
    ],
    [
      'a canary that is the stable version',
      'canary:\n  service: a\n  stable: v2\n',
      {},
      ['canary.canary', 'same subset as stable (v2)', 'name the new one'],
    ],
    ...(
      [
        ['canary.patience', 'canary:\n  service: a\n  patience: 5s\n', 'progressDeadline'],
        ['canary.confirmWithin', 'canary:\n  service: a\n  confirmWithin: 5s\n', 'confirmTimeout'],
        ['canary.waitForRun', 'canary:\n  service: a\n  waitForRun: 5s\n', 'leaseWaitTimeout'],
        ['canaries.0.tick', 'canaries:\n  - service: a\n    tick: 5s\n', 'pollInterval'],
        ['verify.deep', 'verify:\n  timeout: 30s\n  deep: true\n', 'trafficChecks'],
      ] as const
    ).map(([key, file, newName]): [string, string, Record<string, string>, string[]] => [
      `the key ${key}, which has a new name`,
      file,
      {},
      ['mesh.yaml:3: ' + key, 'was renamed', `write \`${newName}\` instead`],
    ]),
    ['the input deep, which has a new name', undefined, { deep: 'true' }, ['input deep', 'renamed', 'traffic-checks']],
    [
      'a poll interval longer than the interval',
      'canary:\n  service: a\n  interval: 1s\n  pollInterval: 5s\n',
      {},
      ['mesh.yaml:4: canary.pollInterval', '5000 ms', '1000 ms', 'make it shorter'],
    ],
    [
      'an unknown stage',
      undefined,
      { stages: 'install, promotion' },
      [
        'input stages: stages',
        '"install, promotion"',
        'plan, cluster, install, inject, policies, verify, retire, promote, rollback, uninstall',
      ],
    ],
    [
      'a tag without a revision',
      'istio: { tag: prod }\n',
      {},
      ['mesh.yaml:1: istio.tag', 'points to nothing', 'give the `revision`'],
    ],
    [
      'a tag that is the revision',
      'istio: { revision: blue, tag: blue }\n',
      {},
      ['mesh.yaml:1: istio.tag', 'is the name of the revision itself (blue)'],
    ],
    [
      'a revision that Kubernetes would refuse',
      undefined,
      { revision: '1.31.0' },
      ['input revision: istio.revision', '"1.31.0"', 'lower-case letters, digits and dashes'],
    ],
    [
      'a pull policy that is none',
      'istio: { imagePullPolicy: never }\n',
      {},
      ['mesh.yaml:1: istio.imagePullPolicy', 'one of IfNotPresent, Always, Never'],
    ],
    [
      'retire without being asked to',
      'istio: {}\nstages: retire\n',
      {},
      ['mesh.yaml:2: stages', 'retire has nothing to do: set `istio.removeOld`'],
    ],
    [
      'a canary by subset beside a Service',
      'canary:\n  service: a\n  stable: v1\n  canary: { service: a2 }\n',
      {},
      ['mesh.yaml:4: canary.canary', 'is a service and stable a subset', 'make both'],
    ],
    [
      'canary and canaries at once',
      'canary: { service: a }\ncanaries: [{ service: b }]\n',
      {},
      ['mesh.yaml:2: canaries', 'beside `canary`', 'give one of the two'],
    ],
    [
      'one service twice',
      'canaries:\n  - service: a\n  - service: a\n',
      {},
      ['mesh.yaml:3: canaries.1.service', 'a has a canary already'],
    ],
    [
      'an unknown key of one of several',
      'canaries:\n  - service: a\n    setps: [5]\n',
      {},
      ['mesh.yaml:3: canaries.0.setps', '`steps`'],
    ],
    [
      'a list of canaries that is none',
      undefined,
      { canaries: 'service: a' },
      ['input canaries', 'expected a YAML list'],
    ],
    [
      'a tick below a second',
      'canary:\n  service: a\n  pollInterval: 200ms\n',
      {},
      ['mesh.yaml:3: canary.pollInterval', '200 ms', 'make it 1s'],
    ],
    [
      'a stop that is no step',
      'canary: { service: a, until: 30 }',
      {},
      ['canary.until', '30 is none of the steps (5, 25, 50, 100)'],
    ],
    [
      'queries without Prometheus',
      'canary: { service: a, checks: { queries: { errors: { query: up, max: 1 } } } }',
      {},
      ['canary.checks.queries', 'say where Prometheus is'],
    ],
    [
      'a query without a bound',
      'canary: { service: a, checks: { queries: { errors: { query: up } } } }',
      {},
      ['canary.checks.queries.errors', 'expected min, max, or both'],
    ],
    ['load without a way in', 'canary: { service: a, load: {} }', {}, ['canary.load', 'expose a through a gateway']],
    [
      'load where HTTP is redirected',
      'canary: { service: a, load: {} }\nexpose: { a: { tls: { secret: s } } }',
      {},
      ['canary.load', 'expose.a.httpsRedirect: false'],
    ],
    [
      'A/B between two Services',
      'canary: { service: a, stable: { service: a1 }, canary: { service: a2 }, ab: { match: { headers: { x: "1" } } } }',
      {},
      ['canary.ab', 'needs subsets'],
    ],
    [
      'an even stair that is none',
      'canary: { service: a, steps: { by: 0 } }',
      {},
      ['canary.steps', '{ by: 10, to: 50 }'],
    ],
    [
      'rollback without a canary',
      undefined,
      { stages: 'rollback' },
      ['input stages: stages', 'rollback has nothing to do', 'give `canary`'],
    ],
    [
      'promote without a canary',
      undefined,
      { stages: 'promote' },
      ['input stages: stages', 'promote has nothing to do', 'give `canary`'],
    ],
    [
      'inject without workloads',
      undefined,
      { stages: 'inject' },
      ['stages', 'inject has nothing to do', '`workloads: all`'],
    ],
    [
      'install without istio',
      undefined,
      { stages: 'install' },
      ['stages', 'install has nothing to do', '`istio-version`'],
    ],
    [
      'policies without any',
      undefined,
      { stages: 'policies' },
      ['stages', 'policies has nothing to do', '`mtls` or `services`'],
    ],
    [
      'a config file that is not there',
      undefined,
      { config: '/no/such/mesh.yaml' },
      ['input config', '/no/such/mesh.yaml', 'ENOENT', 'checks the repository out'],
    ],
  ])('%s', (_, yaml, inputs, words) => {
    const message = refusal(yaml, inputs)
    for (const word of words) expect(message).toContain(word)
  })

  test('every fault at once, each on its own line', () => {
    expect(refusal('namespace: A\nmtls: on\n').split('\n')).toHaveLength(2)
  })

  test('a long value is cut', () => {
    expect(refusal(`namespace: ${'A'.repeat(500)}\n`).length).toBeLessThan(250)
  })

  test.each<[string, string | undefined, Record<string, string>, string]>([
    ['the file', 'namespace: shop\nmtls: *s3cr3t\n', {}, 'mesh.yaml:2: is not valid YAML'],
    ['an input', undefined, { services: '{ backend: *s3cr3t }' }, 'input services, line 1: is not valid YAML'],
  ])('an alias of nothing in %s is told and not shown', (_, yaml, inputs, beginning) => {
    const message = refusal(yaml, inputs)
    expect(message.slice(0, beginning.length)).toBe(beginning)
    expect(message).toContain('quote it')
    expect(message).not.toContain('s3cr3t')
  })

  test.each([
    ['of the wrong type', 'kubeconfig: { token: s3cr3t-token }'],
    ['as a list', 'kubeconfig: [s3cr3t-token]'],
  ])('a kubeconfig %s is named and not shown', (_, yaml) => {
    const message = refusal(yaml)
    expect(message).toContain('kubeconfig: the value is not right: expected a text')
    expect(message).not.toContain('s3cr3t')
  })
})

describe('the stages of a run', () => {
  test.each<[string, string[]]>([
    ['istio: {}', ['install']],
    ['mtls: strict', ['policies', 'verify']],
    ['workloads: all', ['inject', 'verify']],
    ['canary: { service: a }', ['policies', 'verify', 'promote']],
    ['{ istio: {}, workloads: all, mtls: strict }', ['install', 'inject', 'policies', 'verify']],
    ['{ stages: [promote, install], istio: {}, canary: { service: a } }', ['install', 'promote']],
    ['namespace: shop', []],
  ])('%s', (yaml, stages) => {
    expect(stagesOf(configOf(yaml))).toEqual(stages)
  })
})
