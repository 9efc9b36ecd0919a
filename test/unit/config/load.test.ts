import { describe, expect, test } from 'vitest'
import { stagesOf } from '../../../src/config/stages.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { configOf, fileWith, refusal } from '../fixtures.ts'

describe('the loader', () => {
  test('reads natural values into the units that the program uses', () => {
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

  test('fills in every default of a canary with only a service', () => {
    expect(loadConfig({ INPUT_CANARY: 'service: backend' }).canary).toEqual({
      service: 'backend',
      engine: { type: 'builtin', generate: false, resume: false },
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
        falseRollback: 0.01,
        falsePromotion: 0.05,
        tolerance: 2,
        minRequests: 10,
        queries: {},
        commands: {},
      },
      warmup: { by: 'requests', count: 200 },
      webhooks: {},
      maxPods: 50,
      onFail: 'rollback',
      onInconclusive: 'rollback',
      onCancel: 'rollback',
      onDrift: 'fail',
      guard: {
        after: 30_000,
        image: 'docker.io/library/node:24-alpine',
        pullPolicy: 'IfNotPresent',
        resources: { requests: { cpu: '25m', memory: '64Mi' }, limits: { cpu: '500m', memory: '160Mi' } },
        enabled: true,
      },
      leaseWaitTimeout: 0,
      progressDeadline: 180_000,
      confirmTimeout: 3_600_000,
      commitTimeout: 600_000,
      after: 'keep',
      explain: false,
      wave: 1,
      metrics: { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' },
    })
  })

  test('resolves merge keys, whose values may be in a key that begins with `x-`', () => {
    const file = fileWith(
      'x-slow: &slow { timeout: 9s, retries: { attempts: 1 } }\nservices:\n  a: { <<: *slow, timeout: 1s }\n  b: *slow\n',
    )
    expect(loadConfig({ INPUT_CONFIG: file })).toMatchObject({
      services: { a: { timeout: 1_000, retries: { attempts: 1 } }, b: { timeout: 9_000, retries: { attempts: 1 } } },
    })
  })

  test('ends equal steps at 100, and a list where it ends', () => {
    const stepsOf = (steps: string) => loadConfig({ INPUT_CANARY: `{ service: a, steps: ${steps} }` }).canary!.steps
    expect(stepsOf('{ by: 25, to: 50 }')).toEqual([25, 50, 100])
    expect(stepsOf('{ by: 40, to: 90 }')).toEqual([40, 80, 90, 100])
    expect(stepsOf('{ by: 50 }')).toEqual([50, 100])
    expect(stepsOf('[25, 50]')).toEqual([25, 50])
    const ofInput = (steps: string) => loadConfig({ INPUT_CANARY: 'service: a', INPUT_STEPS: steps }).canary!.steps
    expect(ofInput('{ by: 25, to: 50 }')).toEqual([25, 50, 100])
    expect(ofInput('25, 50')).toEqual([25, 50])
  })

  test('reads one match, or a list of them', () => {
    const matchOf = (match: string) =>
      loadConfig({ INPUT_CANARY: `{ service: a, ab: { match: ${match} } }` }).canary!.ab!.match
    expect(matchOf('{ method: get }')).toEqual([{ method: 'GET' }])
    expect(matchOf('[{ path: /a }, { headers: { x: { regex: "a|b" }, y: 1 } }]')).toEqual([
      { path: '/a' },
      { headers: { x: { regex: 'a|b' }, y: { exact: '1' } } },
    ])
  })

  test('accepts Services as versions, even steps, and a check that is turned off by `false`', () => {
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
    [
      '{ resources: { requests: { cpu: 1 }, limits: { cpu: 2, memory: 96Mi } } }',
      { resources: { requests: { cpu: '1', memory: '64Mi' }, limits: { cpu: '2', memory: '96Mi' } }, enabled: true },
    ],
  ])('accepts the guard in its short form and in full: %s', (guard, expected) => {
    expect(loadConfig({ INPUT_CANARY: 'service: backend', INPUT_GUARD: guard }).canary?.guard).toMatchObject(expected)
  })

  test.each([
    'guard: 1s',
    'guard: { after: 1s }',
    'guard: soon',
    'guard: { pullPolicy: Sometimes }',
    'guard: { resources: { requests: { memory: lots } } }',
    'guard: { resources: { limits: { cpu: 0 } } }',
    'onCancel: wait',
    'onDrift: ignore',
    'leaseWaitTimeout: soon',
  ])('rejects a wrong value with its key and what it expected: %s', (wrong) => {
    expect(refusal(`canary: { service: backend, ${wrong} }`)).toMatch(
      new RegExp(`canary.${wrong.slice(0, wrong.indexOf(':'))}.*expected`),
    )
  })

  test.each([
    ['5h', { duration: 18_000_000, resumeWithin: 3_600_000 }],
    ['{ duration: 90m, resumeWithin: 10m }', { duration: 5_400_000, resumeWithin: 600_000 }],
  ])('accepts the time of a run in its short form and in full: %s', (runFor, expected) => {
    expect(configOf(`{ canary: { service: backend }, runFor: ${runFor} }`).runFor).toEqual(expected)
  })

  test.each([
    ['5', 'runFor', 'a duration with its unit'],
    ['10s', 'runFor', 'expected 20s or more'],
    ['{ resumeWithin: 1h }', 'runFor.duration', 'a duration with its unit'],
    ['{ duration: 5h, resumeWithin: 30s }', 'runFor.resumeWithin', 'expected 1m or more'],
    ['{ duration: 5h, until: 6h }', 'runFor', 'until'],
  ])('rejects a wrong time of a run with its key and what it expected: %s', (wrong, key, expected) => {
    const message = refusal(`{ canary: { service: backend }, runFor: ${wrong} }`)
    expect(message).toContain(key)
    expect(message).toContain(expected)
  })

  test('accepts a command with the name of a webhook that is not asked in the steps', () => {
    const yaml =
      '{ service: a, checks: { commands: { report: { run: check } } }, webhooks: { report: { type: event, url: "http://hooks.test" } } }'
    expect(loadConfig({ INPUT_CANARY: yaml }).canary?.webhooks).toHaveProperty('report')
  })

  test('rejects a limit of the guard below its request, also below the default request', () => {
    expect(refusal('canary: { service: backend, guard: { resources: { limits: { memory: 32Mi } } } }')).toMatch(
      /canary\.guard\.resources\.limits\.memory.*"32Mi".*expected at least the request, 64Mi/,
    )
  })

  test('accepts several canaries as an input', () => {
    expect(
      loadConfig({ INPUT_CANARIES: '[{ service: backend }, { service: frontend, wave: 2 }]' }).canaries,
    ).toMatchObject([
      { service: 'backend', wave: 1 },
      { service: 'frontend', wave: 2 },
    ])
  })

  test('ignores empty inputs and unrelated variables', () => {
    expect(loadConfig({ INPUT_NAMESPACE: '', INPUT_CONFIG: '  ', PATH: '/bin', NAMESPACE: 'other' }).namespace).toBe(
      'default',
    )
  })

  test('lets an input override the file, without the other keys of the section', () => {
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

  test('lets the input of a single key win over the input of its section', () => {
    expect(loadConfig({ INPUT_PROFILE: 'minimal', INPUT_ISTIO: '{ profile: demo }' }).istio?.profile).toBe('minimal')
  })

  test('returns a config that is frozen at every depth', () => {
    const config = configOf('services: { backend: { retries: { attempts: 2 } } }')
    expect(() => Object.assign(config.services!['backend']!.retries!, { attempts: 9 })).toThrow(TypeError)
  })
})

describe('a config with mistakes', () => {
  test.each<[string, string | undefined, Record<string, string>, string[]]>([
    [
      'an unknown input, with the nearest name',
      undefined,
      { workload: 'all' },
      ['input workload', 'not known', 'did you mean `workloads`?'],
    ],
    [
      'an unknown input without a similar name, listing the known names',
      undefined,
      { zzzzzzzz: 'x' },
      ['input zzzzzzzz', 'known names: config, name, namespace'],
    ],
    [
      'an unknown key in the file, with its line',
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
      'two unknown keys, with one line for each',
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
    ['a list that is not closed', 'namespace: shop\nsteps: [1, 2\n', {}, ['mesh.yaml:3', 'not valid YAML']],
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
      ['mesh.yaml:4: services.a.traffic', 'the subset v9 is not defined', 'add it to `subsets`'],
    ],
    [
      'a time limit per try that is longer than that of the request',
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
      ['mesh.yaml:3: canary.interval', '30 is invalid', 'a duration with its unit'],
    ],
    [
      'a duration with an unknown unit',
      undefined,
      { 'verify-timeout': '3d' },
      ['input verify-timeout: verify.timeout', '"3d"', 'a duration with its unit'],
    ],
    ['a duration of zero', undefined, { 'verify-timeout': '0s' }, ['verify.timeout', '"0s"']],
    [
      'a percentage without a per cent sign',
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
      'an invalid version',
      undefined,
      { 'istio-version': 'newest' },
      ['input istio-version: istio.version', '"newest"', 'a version of Istio such as 1.31.0, 1.31, 1.31.x', 'latest'],
    ],
    [
      'a version that YAML read as a number',
      'istio:\n  version: 1.31\n',
      {},
      ['mesh.yaml:2: istio.version', '1.31 is invalid', 'quote it'],
    ],
    [
      'a version together with a version file',
      undefined,
      { 'istio-version': '1.31.0', 'version-file': '.tool-versions' },
      [
        'input version-file: istio.versionFile',
        '".tool-versions"',
        '`version` (1.31.0) is given as well',
        'remove one of the two',
      ],
    ],
    [
      'a version file that does not exist',
      undefined,
      { 'version-file': '/nowhere/.istio-version' },
      ['input version-file: istio.versionFile', '/nowhere/.istio-version', 'ENOENT', 'checks the repository out'],
    ],
    [
      'a checksum for a range of versions',
      undefined,
      { 'istio-version': '1.31.x', sha256: 'a'.repeat(64) },
      ['input sha256: istio.sha256', '1.31.x', 'set an exact version'],
    ],
    [
      'an invalid checksum',
      undefined,
      { sha256: 'abc' },
      ['input sha256: istio.sha256', '"abc"', '64 hexadecimal digits'],
    ],
    [
      'a mirror that is not an address',
      undefined,
      { mirror: 'mirror.example' },
      ['input mirror: istio.mirror', 'a text of 14 characters', 'http or https'],
    ],
    ['a `set` without a value', undefined, { set: 'a=1\nb' }, ['input set: istio.set', 'key=value']],
    [
      'a workload without its kind',
      undefined,
      { workloads: 'backend' },
      ['input workloads: workloads', '"backend"', 'deploy/mysql'],
    ],
    [
      'an invalid mTLS mode',
      undefined,
      { mtls: 'on' },
      ['input mtls: mtls', '"on"', 'one of strict, permissive, disable'],
    ],
    [
      'a namespace that is not a Kubernetes name',
      'namespace: Shop_1\n',
      {},
      ['mesh.yaml:1: namespace', '"Shop_1"', 'lower-case letters'],
    ],
    [
      'a service name that is not a Kubernetes name',
      'services:\n  Back_End: {}\n',
      {},
      ['mesh.yaml:2: services.Back_End', 'the name Back_End', 'expected the name of a service: lower-case letters'],
    ],
    [
      'a section that is a single value',
      'services: backend\n',
      {},
      ['mesh.yaml:1: services', 'a text of 7 characters', 'a map of keys'],
    ],
    [
      'an input for a key of a section that is not a map',
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
      ['canary.canary', 'v2 is the same subset as stable', 'name the new version'],
    ],
    ...(
      [
        ['canary.patience', 'canary:\n  service: a\n  patience: 5s\n', 'progressDeadline'],
        ['canary.confirmWithin', 'canary:\n  service: a\n  confirmWithin: 5s\n', 'confirmTimeout'],
        ['canary.waitForRun', 'canary:\n  service: a\n  waitForRun: 5s\n', 'leaseWaitTimeout'],
        ['canaries.0.tick', 'canaries:\n  - service: a\n    tick: 5s\n', 'pollInterval'],
        ['verify.deep', 'verify:\n  timeout: 30s\n  deep: true\n', 'trafficChecks'],
        ['edge.tyk.proof', 'edge:\n  tyk:\n    proof: { path: / }\n', 'probe'],
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
        'cluster, plan, install, inject, policies, observe, verify, edge, retire, promote, experiment, rollback, uninstall',
      ],
    ],
    [
      'a tag without a revision',
      'istio: { tag: prod }\n',
      {},
      ['mesh.yaml:1: istio.tag', 'the tag prod points to no revision', 'set `revision`'],
    ],
    [
      'a tag that is the revision',
      'istio: { revision: blue, tag: blue }\n',
      {},
      ['mesh.yaml:1: istio.tag', 'blue is also the `revision`', 'choose another tag'],
    ],
    [
      'a revision that is not a Kubernetes name',
      undefined,
      { revision: '1.31.0' },
      ['input revision: istio.revision', '"1.31.0"', 'lower-case letters, digits and dashes'],
    ],
    [
      'an invalid pull policy',
      'istio: { imagePullPolicy: never }\n',
      {},
      ['mesh.yaml:1: istio.imagePullPolicy', 'one of IfNotPresent, Always, Never'],
    ],
    [
      'the stage retire without `removeOld`',
      'istio: {}\nstages: retire\n',
      {},
      ['mesh.yaml:2: stages', 'retire has nothing to do; set `istio.removeOld`'],
    ],
    [
      'a subset as stable and a Service as canary',
      'canary:\n  service: a\n  stable: v1\n  canary: { service: a2 }\n',
      {},
      ['mesh.yaml:4: canary.canary', 'a2 is a service, but stable (v1) is a subset', 'make both'],
    ],
    [
      '`canary` together with `canaries`',
      'canary: { service: a }\ncanaries: [{ service: b }]\n',
      {},
      ['mesh.yaml:2: canaries', 'both `canaries` and `canary` are given', 'give one of the two'],
    ],
    [
      'two canaries of one service',
      'canaries:\n  - service: a\n  - service: a\n',
      {},
      ['mesh.yaml:3: canaries.1.service', 'a already has a canary', 'remove one of them'],
    ],
    [
      'an unknown key in one of several canaries',
      'canaries:\n  - service: a\n    setps: [5]\n',
      {},
      ['mesh.yaml:3: canaries.0.setps', '`steps`'],
    ],
    [
      'a command with the name of a rollout webhook',
      'canary:\n  service: a\n  checks: { commands: { smoke: { run: true-ish } } }\n  webhooks:\n    smoke: { url: "http://hooks.test" }\n',
      {},
      ['mesh.yaml:5: canary.webhooks.smoke', '`checks.commands.smoke` has the same name', 'rename one of the two'],
    ],
    [
      'a command with the name of a query',
      'canary:\n  service: a\n  prometheus: { service: a/b:9090 }\n  checks:\n    queries: { errors: { query: x, max: 1 } }\n    commands: { errors: { run: check } }\n',
      {},
      ['mesh.yaml:6: canary.checks.commands.errors', '`checks.queries.errors` has the same name'],
    ],
    ['canaries that are not a list', undefined, { canaries: 'service: a' }, ['input canaries', 'expected a YAML list']],
    [
      'a poll interval below one second',
      'canary:\n  service: a\n  pollInterval: 200ms\n',
      {},
      ['mesh.yaml:3: canary.pollInterval', '200 ms', 'make it 250ms'],
    ],
    [
      'a stop weight that is not a step',
      'canary: { service: a, until: 30 }',
      {},
      ['canary.until', '30 is not one of the steps (5, 25, 50, 100)', 'choose one of them'],
    ],
    [
      'queries without Prometheus',
      'canary: { service: a, checks: { queries: { errors: { query: up, max: 1 } } } }',
      {},
      ['canary.checks.queries', 'needs Prometheus', 'set `prometheus.address` or `prometheus.service`'],
    ],
    [
      'a query without a bound',
      'canary: { service: a, checks: { queries: { errors: { query: up } } } }',
      {},
      ['canary.checks.queries.errors', 'expected min, max, or both'],
    ],
    [
      'load without an exposed service',
      'canary: { service: a, load: {} }',
      {},
      ['canary.load', 'needs a gateway', 'expose a under `expose`'],
    ],
    [
      'load for a service that redirects HTTP',
      'canary: { service: a, load: {} }\nexpose: { a: { tls: { secret: s } } }',
      {},
      ['canary.load', 'expose.a.httpsRedirect: false'],
    ],
    [
      'an A/B stage between two Services',
      'canary: { service: a, stable: { service: a1 }, canary: { service: a2 }, ab: { match: { headers: { x: "1" } } } }',
      {},
      ['canary.ab', 'needs subsets'],
    ],
    [
      'the steps of Flagger',
      'canary:\n  service: a\n  stepWeight: 5\n  maxWeight: 50\n',
      {},
      [
        'mesh.yaml:3: canary.stepWeight: is not a key here; write `steps: { by: 10, to: 50 }`',
        'mesh.yaml:4: canary.maxW',
      ],
    ],
    [
      'settings of a route, which belong into a VirtualService',
      'services: { a: { rewrite: { uri: / }, gateways: [edge] } }',
      {},
      [
        'services.a.rewrite: is not a key here; write it in a VirtualService of your own',
        'services.a.gateways: is not a',
      ],
    ],
    [
      'a rollout of Argo under `canaries`',
      'canaries: [{ service: a, trafficRouting: {} }]',
      {},
      ['canaries.0.trafficRouting: is not a key here; write `service`, `stable` and `canary`'],
    ],
    [
      'a variable of Flagger in a query',
      'canary: { service: a, prometheus: { service: m/p:9090 }, checks: { queries: { q: { query: \'up{ns="{{ namespace }}",w="{{target}}"}[{{ interval }}]\', max: 1 } } } }',
      {},
      [
        'canary.checks.queries.q.query',
        'nothing fills in templates here; for `{{ namespace }}` write `$namespace`',
        'for `{{target}}` write the name of the',
        'write `$interval`',
      ],
    ],
    [
      'an argument of Argo in a query',
      'canary: { service: a, prometheus: { service: m/p:9090 }, checks: { queries: { q: { query: \'up{w="{{args.name}}"}\', max: 1 } } } }',
      {},
      ['for `{{args.name}}` write the value'],
    ],
    [
      'a pattern where an exact header is expected',
      'canary: { service: a, ab: { match: [{ headers: { x: "1" } }, { headers: { user-agent: ".*Firefox.*" } }] } }',
      {},
      [
        'canary.ab.match.1.headers.user-agent: a text of 11 characters is invalid',
        'a pattern such as .* needs { regex: … }',
      ],
    ],
    [
      'a header with two conditions',
      'canary: { service: a, ab: { match: { headers: { x: { exact: a, prefix: b } } } } }',
      {},
      ['canary.ab.match.headers.x', 'one of { exact: … }, { prefix: … } and { regex: … }'],
    ],
    [
      'no condition in a list',
      'canary: { service: a, ab: { match: [] } }',
      {},
      ['canary.ab.match', 'expected at least one'],
    ],
    [
      'an unknown condition in a list',
      'canary: { service: a, ab: { match: [{ header: {} }] } }',
      {},
      ['canary.ab.match.0.header: is not known; did you mean `headers`?'],
    ],
    [
      'a template of Helm',
      'namespace: {{ .Release.Namespace }}\n',
      {},
      ['mesh.yaml:1: this is a template (`{{`); render it first'],
    ],
    [
      'a template in quotes',
      'canary:\n  service: "${SERVICE}"\n',
      {},
      ['mesh.yaml:2: canary.service', 'this is a template (`${`); render'],
    ],
    [
      'an expression of GitHub',
      'namespace: a\ncanary: { service: "${{ inputs.service }}" }\n',
      {},
      ['mesh.yaml:2: canary.service', 'because GitHub fills it in only in workflow files'],
    ],
    [
      'a merge of a single value',
      'services:\n  a: { <<: b }\n',
      {},
      ['mesh.yaml:2: is not valid YAML: a merge key (`<<`) needs an alias'],
    ],
    [
      'a wrong value that a merge key brings',
      'services:\n  a: &a { timeout: never }\n  b:\n    <<: *a\n',
      {},
      ['mesh.yaml:2: services.a.timeout', 'mesh.yaml:4: services.b.timeout'],
    ],
    [
      'a rate of no requests',
      'limits: { requestsPerSecond: 0 }',
      {},
      ['limits.requestsPerSecond', '0', 'expected a whole number from 1 to 10000'],
    ],
    [
      'a rate with a unit',
      'limits: { requestsPerSecond: 5/s }',
      {},
      ['limits.requestsPerSecond', '"5/s"', 'expected a whole number from 1 to 10000'],
    ],
    ['even steps of zero', 'canary: { service: a, steps: { by: 0 } }', {}, ['canary.steps', '{ by: 10, to: 50 }']],
    [
      'the stage rollback without a canary',
      undefined,
      { stages: 'rollback' },
      ['input stages: stages', 'rollback has nothing to do', 'set `canary`'],
    ],
    [
      'the stage promote without a canary',
      undefined,
      { stages: 'promote' },
      ['input stages: stages', 'promote has nothing to do', 'set `canary`'],
    ],
    [
      'promote and rollback in one run',
      'canary: { service: a }',
      { stages: 'promote, rollback' },
      ['stages', 'promote and rollback contradict each other; run rollback in a run of its own'],
    ],
    [
      'the stage inject without workloads',
      undefined,
      { stages: 'inject' },
      ['stages', 'inject has nothing to do', '`workloads: all`'],
    ],
    [
      'the stage install without istio',
      undefined,
      { stages: 'install' },
      ['stages', 'install has nothing to do', '`istio-version`'],
    ],
    [
      'the stage policies without a policy',
      undefined,
      { stages: 'policies' },
      ['stages', 'policies has nothing to do', 'set `mtls`, `services`'],
    ],
    [
      'a config file that does not exist',
      undefined,
      { config: '/no/such/mesh.yaml' },
      ['input config', '/no/such/mesh.yaml', 'ENOENT', 'checks the repository out'],
    ],
  ])('rejects %s', (_, yaml, inputs, words) => {
    const message = refusal(yaml, inputs)
    for (const word of words) expect(message).toContain(word)
  })

  test('is rejected with all mistakes at once, each on its own line', () => {
    expect(refusal('namespace: A\nmtls: on\n').split('\n')).toHaveLength(2)
  })

  test('is rejected with a message in which a long value is shortened', () => {
    expect(refusal(`namespace: ${'A'.repeat(500)}\n`).length).toBeLessThan(250)
  })

  test.each<[string, string | undefined, Record<string, string>, string]>([
    ['the file', 'namespace: shop\nmtls: *s3cr3t\n', {}, 'mesh.yaml:2: is not valid YAML'],
    ['an input', undefined, { services: '{ backend: *s3cr3t }' }, 'input services, line 1: is not valid YAML'],
  ])('is rejected without showing an undefined alias in %s', (_, yaml, inputs, beginning) => {
    const message = refusal(yaml, inputs)
    expect(message.slice(0, beginning.length)).toBe(beginning)
    expect(message).toContain('quote it')
    expect(message).not.toContain('s3cr3t')
  })

  test.each([
    ['of the wrong type', 'kubeconfig: { token: s3cr3t-token }'],
    ['as a list', 'kubeconfig: [s3cr3t-token]'],
  ])('is rejected without showing a kubeconfig %s', (_, yaml) => {
    const message = refusal(yaml)
    expect(message).toContain('is invalid: expected a non-empty string')
    expect(message).not.toContain('s3cr3t')
  })
})

describe('a config without the key stages', () => {
  test.each<[string, string[]]>([
    ['istio: {}', ['install']],
    ['mtls: strict', ['policies', 'verify']],
    ['workloads: all', ['inject', 'verify']],
    ['canary: { service: a }', ['policies', 'verify', 'promote']],
    ['{ istio: {}, workloads: all, mtls: strict }', ['install', 'inject', 'policies', 'verify']],
    ['{ stages: [promote, install], istio: {}, canary: { service: a } }', ['install', 'promote']],
    ['namespace: shop', []],
  ])('%s runs the stages %j', (yaml, stages) => {
    expect(stagesOf(configOf(yaml))).toEqual(stages)
  })
})

describe('a name that every JavaScript object inherits', () => {
  test.each([
    ['__proto__: { dryRun: true }', 'mesh.yaml:1: `__proto__` is not a known key; remove it'],
    [
      'mtls:\n  mode: strict\n  "__proto__": { mode: disable }',
      'mesh.yaml:3: `__proto__` is not a known key; remove it',
    ],
    ['constructor: 1', 'mesh.yaml:1: constructor: is not known'],
    ['canary: { service: backend, constructor: 1 }', 'mesh.yaml:1: canary.constructor: is not known'],
    [
      'services: { backend: { traffic: { constructor: 100 } } }',
      'services.backend.traffic: the subset constructor is not defined',
    ],
    [
      'services: { backend: { routes: [{ match: { path: / }, to: constructor }] } }',
      'services.backend.routes.0.to: the subset constructor is not defined',
    ],
  ])('is refused as a key that is not known: %j', (yaml, message) => {
    expect(refusal(yaml)).toContain(message)
  })

  test('is refused as an input', () => {
    expect(refusal(undefined, { constructor: 'x' })).toContain('input constructor: is not known')
    expect(refusal(undefined, { services: '__proto__: { backend: {} }' })).toBe(
      'input services, line 1: `__proto__` is not a known key; remove it',
    )
  })

  test('may be the name of a service and of a route', () => {
    const { services } = configOf(
      'services: { constructor: { subsets: { v1: {} }, routes: [{ name: constructor, match: { path: / }, to: v1 }] } }',
    )
    expect(Object.keys(services!)).toEqual(['constructor'])
  })
})

describe('an error for a secret in the wrong place', () => {
  const token = 'ghp_16C7e42F292c6912E7710c838347Ae178B4a'
  const hook = 'https://hooks.chat.test/services/T0001/B0002/XyzXyzXyz'
  const versionFile = (text: string, name?: string) => `istio: { versionFile: ${fileWith(text, name)} }`

  test.each<[string, () => string]>([
    ['a token in place of a name', () => `namespace: ${token}`],
    ['a token in place of a word', () => `mtls: ${token}`],
    ['a token in place of a duration', () => `canary: { service: a, interval: ${token} }`],
    ['a token in place of weights', () => `canary: { service: a, steps: [5, ${token}] }`],
    ['a token in place of an address', () => `canary: { service: a, prometheus: { address: ${token} } }`],
    ['a token in place of a section', () => `canary: ${token}`],
    ['a token that is no text', () => 'canary: { service: a, prometheus: { service: a/b:1, token: [s3cr3t-token] } }'],
    ['an address in place of a section', () => `canary: { service: a, webhooks: ${hook} }`],
    ['an address in place of one webhook', () => `canary: { service: a, webhooks: { chat: "${hook}" } }`],
    ['an address in place of a short form', () => `canary: { service: a, guard: "${hook}" }`],
    ['an address in place of a name', () => `canary: { service: a, webhooks: { "${hook}": {} } }`],
    ['a token in place of a name of a key', () => `services: { backend: { ${token}: 1 } }`],
    ['a token below a name of the user', () => `services: { ${token}: { port: http } }`],
    [
      'a password in a match',
      () => 'services: { a: { routes: [{ match: { headers: { x: [s3cr3t-token] } }, to: v1 }] } }',
    ],
    ['a set value', () => `istio: { set: ["${token}"] }`],
    ['a version file with a token', () => versionFile(`${token}\n`, '.istio-version')],
    ['a version file with a password', () => versionFile('s3cr3t-token\n', '.istio-version')],
    ['a version file of asdf with a token', () => versionFile(`istioctl ${token}\n`, '.tool-versions')],
    ['a version file of mise with a token', () => versionFile(`[tools]\nistioctl = "${token}"\n`, 'mise.toml')],
    ['a version file that is not valid TOML', () => versionFile(`[tools]\nistioctl = ${token}\n`, 'mise.toml')],
    ['a version file named by a token', () => `istio: { versionFile: ${token} }`],
  ])('does not repeat it: %s', (_, yaml) => {
    const message = refusal(yaml())
    for (const secret of ['ghp_', '16C7e42F292c', 'XyzXyzXyz', 's3cr3t']) expect(message).not.toContain(secret)
  })

  test('tells the type and the length instead', () => {
    expect(refusal(`canary: { service: a, webhooks: { chat: "${hook}" } }`)).toContain(
      `canary.webhooks.chat: a text of ${hook.length} characters is invalid: expected a map of keys`,
    )
  })

  test('still shows what the schema marks as public', () => {
    expect(refusal('mtls: strickt')).toContain('mtls: "strickt" is invalid')
    expect(refusal('canary: { service: a, steps: [50, 5] }')).toContain('[50,5] is invalid')
    expect(refusal('workloads: [deployx/backend]')).toContain('["deployx/backend"] is invalid')
  })
})
