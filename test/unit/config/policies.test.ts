// The sections of policies: how they are read, what is rejected, and which warnings they cause.
import { describe, expect, test } from 'vitest'
import { stagesOf } from '../../../src/config/stages.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { warningsOf } from '../../../src/config/warnings.ts'
import { configOf, refusal } from '../fixtures.ts'

/** A service `a` with two subsets and more keys, one per line from line 4 on. */
const service = (...lines: string[]) =>
  ['services:', '  a:', '    subsets: { v1: {}, v2: {} }', ...lines.map((line) => `    ${line}`), ''].join('\n')

test('an empty section runs the stages that remove what it contained before', () => {
  expect(stagesOf(configOf('services: {}'))).toEqual(['policies', 'verify'])
})

describe('a config with mistakes in its policies', () => {
  test.each<[string, string, string[]]>([
    [
      'a name that is not a Kubernetes name',
      'name: My Shop\n',
      ['mesh.yaml:1: name', '"My Shop"', 'lower-case letters'],
    ],
    [
      'an invalid mTLS mode',
      'mtls: { mode: mutual }',
      ['mesh.yaml:1: mtls.mode', '"mutual"', 'one of strict, permissive, disable'],
    ],
    [
      'an mTLS mode as a list',
      'mtls: [strict]',
      ['mesh.yaml:1: mtls', '["strict"]', 'one of strict, permissive, disable'],
    ],
    [
      'an unknown key in mTLS',
      'mtls:\n  mode: strict\n  workload: {}\n',
      ['mesh.yaml:3: mtls.workload', 'did you mean `workloads`?'],
    ],
    [
      'an mTLS exception without a selector',
      'mtls:\n  workloads:\n    mysql: { mode: disable }\n',
      ['mesh.yaml:3: mtls.workloads.mysql.selector', 'is missing', 'a map of keys'],
    ],
    [
      'an mTLS exception with an empty selector',
      'mtls:\n  workloads:\n    mysql: { selector: {}, mode: disable }\n',
      ['mtls.workloads.mysql.selector', '{}', 'at least one label'],
    ],
    [
      'an mTLS port that is a name',
      'mtls:\n  workloads:\n    mysql: { selector: { app: mysql }, ports: { sql: disable } }\n',
      ['mtls.workloads.mysql.ports.sql', 'from 1 to 65535'],
    ],
    [
      'an mTLS port above 65535',
      'mtls:\n  workloads:\n    mysql: { selector: { app: mysql }, ports: { 70000: disable } }\n',
      ['mtls.workloads.mysql.ports.70000', 'from 1 to 65535'],
    ],
    [
      'an unknown choice for callers in plaintext',
      'mtls: { mode: strict, plaintextCallers: lose }',
      ['mtls.plaintextCallers', '"lose"', 'one of fail, cut-off'],
    ],
    [
      'two exceptions for the same pods',
      'mtls:\n  workloads:\n    db: { selector: { app: db }, mode: strict }\n    old-db: { selector: { app: db, version: v1 }, mode: disable }\n',
      ['mesh.yaml:4: mtls.workloads.old-db', 'mtls.workloads.db', 'follows only one of two', 'merge them'],
    ],
    [
      'an mTLS exception with the name of the namespace policy',
      'mtls:\n  workloads:\n    default: { selector: { app: a } }\n',
      ['mesh.yaml:3: mtls.workloads.default', 'the policy of the whole namespace', 'choose another name'],
    ],
    [
      'a label value that is a number',
      'mtls: { workloads: { a: { selector: { tier: 1 }, mode: disable } } }',
      ['mtls.workloads.a.selector.tier', '1 is invalid', 'quote it'],
    ],
    [
      'retries without a number of attempts',
      service('retries: { perTryTimeout: 1s }'),
      ['mesh.yaml:4: services.a.retries.attempts', 'is missing', 'from 0 to 100'],
    ],
    [
      'a retry budget without a per cent sign',
      service('retries: { attempts: 1, budget: { percent: 20 } }'),
      ['mesh.yaml:4: services.a.retries.budget.percent', '20 is invalid', 'such as 10%'],
    ],
    [
      'a retry budget of zero',
      service('retries: { attempts: 1, budget: { percent: 0% } }'),
      ['services.a.retries.budget.percent', '"0%"', 'above 0%'],
    ],
    [
      'an unknown retry condition',
      service('retries: { attempts: 1, retryOn: "Gateway Error" }'),
      ['services.a.retries.retryOn', '"Gateway Error"', 'gateway-error'],
    ],
    [
      'an ejection percentage above 100',
      service('circuitBreaker: { maxEjectionPercent: 101 }'),
      ['services.a.circuitBreaker.maxEjectionPercent', '101', 'from 0 to 100'],
    ],
    [
      "Envoy's own name of a circuit breaker key",
      service('circuitBreaker: { baseEjectionTime: 30s }'),
      ['services.a.circuitBreaker.baseEjectionTime', 'not known'],
    ],
    [
      'an unknown load balancing algorithm',
      service('loadBalancer: fastest'),
      ['mesh.yaml:4: services.a.loadBalancer', '"fastest"', 'one of round-robin, least-request, random'],
    ],
    [
      'a consistent hash without a key',
      service('loadBalancer: { consistentHash: {} }'),
      ['services.a.loadBalancer.consistentHash', 'exactly one of header, cookie, query, sourceIp'],
    ],
    [
      'a consistent hash with two keys',
      service('loadBalancer: { consistentHash: { header: x, query: y } }'),
      ['services.a.loadBalancer.consistentHash', 'exactly one of'],
    ],
    [
      'a consistent hash by a cookie without a name',
      service('loadBalancer: { consistentHash: { cookie: { ttl: 1h } } }'),
      ['services.a.loadBalancer.consistentHash.cookie.name', 'is missing'],
    ],
    [
      'a cookie lifetime without a unit',
      service('loadBalancer: { consistentHash: { cookie: { name: c, ttl: 60 } } }'),
      ['services.a.loadBalancer.consistentHash.cookie.ttl', '60 is invalid', 'with its unit'],
    ],
    [
      'a slow start that Istio would ignore',
      service('loadBalancer: { simple: random, warmup: 1m }'),
      ['services.a.loadBalancer.warmup', 'has no effect with `random`', 'round-robin'],
    ],
    [
      'a slow start beside a consistent hash',
      service('loadBalancer: { consistentHash: { header: x }, warmup: 1m }'),
      ['services.a.loadBalancer.warmup', 'has no effect with `consistentHash`'],
    ],
    [
      'a slow start that begins faster than Istio allows',
      service('loadBalancer: { warmup: { duration: 1m, aggression: 0.5 } }'),
      ['services.a.loadBalancer.warmup.aggression', 'expected a number from 1'],
    ],
    [
      'a slow start without a unit',
      service('loadBalancer: { warmup: 60 }'),
      ['services.a.loadBalancer.warmup', '60', 'with its unit'],
    ],
    [
      'an A/B route without a condition',
      service('routes: [{ match: {}, to: v2 }]'),
      ['mesh.yaml:4: services.a.routes.0.match', '{}', 'at least one of headers, cookie'],
    ],
    [
      'an A/B route for no header at all',
      service('routes: [{ match: { headers: {} }, to: v2 }]'),
      ['mesh.yaml:4: services.a.routes.0.match.headers', 'at least one header'],
    ],
    [
      'an A/B route for no query parameter at all',
      service('routes: [{ match: { path: /a, query: {} }, to: v2 }]'),
      ['mesh.yaml:4: services.a.routes.0.match.query', 'at least one query parameter'],
    ],
    [
      'an A/B route without a destination',
      service('routes: [{ match: { path: / } }]'),
      ['services.a.routes.0.to', 'is missing'],
    ],
    [
      'an A/B route to a subset that is not defined',
      service('routes:', '  - { match: { path: / }, to: v9 }'),
      ['mesh.yaml:5: services.a.routes.0.to', 'the subset v9 is not defined', 'add it to `subsets`'],
    ],
    [
      'an A/B route with the name of the split',
      service('routes: [{ name: mesh-canary, match: { path: / }, to: v2 }]'),
      ['services.a.routes.0.name', 'splits the traffic', 'choose another name'],
    ],
    [
      "an A/B route with the name of the canary's A/B route",
      service('routes: [{ name: mesh-canary-ab, match: { path: / }, to: v2 }]'),
      ['services.a.routes.0.name', "a canary's `ab`", 'choose another name'],
    ],
    [
      'two A/B routes with one name',
      service('routes: [{ name: x, match: { path: /a }, to: v2 }, { name: x, match: { path: /b }, to: v2 }]'),
      ['services.a.routes.1.name', 'an earlier route', 'choose another name'],
    ],
    [
      'an A/B route by an unknown method',
      service('routes: [{ match: { method: FETCH }, to: v2 }]'),
      ['services.a.routes.0.match.method', '"FETCH"', 'GET, HEAD, POST'],
    ],
    [
      'an A/B route by a path without a slash',
      service('routes: [{ match: { path: items }, to: v2 }]'),
      ['services.a.routes.0.match.path', '"items"', 'begins with /'],
    ],
    [
      'an A/B route by an incomplete expression',
      service('routes: [{ match: { userAgent: "(" }, to: v2 }]'),
      ['services.a.routes.0.match.userAgent', 'a text of 1 character', 'a regular expression'],
    ],
    [
      'an A/B route by an expression that Envoy does not support',
      service('routes: [{ match: { userAgent: "(?!bot)" }, to: v2 }]'),
      ['services.a.routes.0.match.userAgent', 'without lookaround'],
    ],
    [
      'an A/B route by two cookies',
      service('routes: [{ match: { cookie: { a: x, b: y } }, to: v2 }]'),
      ['services.a.routes.0.match.cookie', 'exactly one cookie'],
    ],
    [
      'an A/B route by a header name with a space',
      service('routes: [{ match: { headers: { "x beta": y } }, to: v2 }]'),
      ['services.a.routes.0.match.headers.x beta', 'letters, digits, dashes'],
    ],
    [
      'an A/B route by a list of values',
      service('routes: [{ match: { headers: { x: [a, b] } }, to: v2 }]'),
      ['services.a.routes.0.match.headers.x', 'a list of 2', 'expected a string'],
    ],
    [
      'A/B routes as a map',
      service('routes: { match: { path: / }, to: v2 }'),
      ['services.a.routes', 'expected a list'],
    ],
    [
      'a mirror to a subset that is not defined',
      service('mirror: { to: v9 }'),
      ['mesh.yaml:4: services.a.mirror.to', 'the subset v9 is not defined', 'add it to `subsets`'],
    ],
    [
      'a mirror of more than 100%',
      service('mirror: { to: v2, percent: 101% }'),
      ['services.a.mirror.percent', '"101%"', 'up to 100%'],
    ],
    [
      'a fault without an end',
      service('fault: { abort: { status: 503 } }'),
      ['mesh.yaml:4: services.a.fault.until', 'is missing', 'a point in time with its zone'],
    ],
    [
      'a fault until a time without a zone',
      service('fault: { abort: { status: 503 }, until: 2030-01-01T00:00:00 }'),
      ['services.a.fault.until', '"2030-01-01T00:00:00"', 'with its zone'],
    ],
    [
      'a fault until a day that does not exist',
      service('fault: { abort: { status: 503 }, until: 2030-02-31T25:00:00Z }'),
      ['services.a.fault.until', 'a point in time'],
    ],
    [
      'a fault without delay and abort',
      service('fault: { until: 2030-01-01T00:00:00Z }'),
      ['services.a.fault', 'expected delay, abort, or both'],
    ],
    [
      'a fault with an invalid status',
      service('fault: { abort: { status: 99 }, until: 2030-01-01T00:00:00Z }'),
      ['services.a.fault.abort.status', '99', 'from 200 to 599'],
    ],
    [
      'a delay without a time',
      service('fault: { delay: { percent: 5% }, until: 2030-01-01T00:00:00Z }'),
      ['services.a.fault.delay.time', 'is missing', 'with its unit'],
    ],
    [
      'an unknown authorization action',
      'authorization:\n  rules:\n    web: { action: permit }\n',
      ['mesh.yaml:3: authorization.rules.web.action', '"permit"', 'one of allow, deny'],
    ],
    [
      'a defaultDeny that is neither true nor false',
      'authorization: { defaultDeny: maybe }',
      ['authorization.defaultDeny', '"maybe"', 'true or false'],
    ],
    [
      'a principal with a scheme',
      'authorization: { rules: { web: { principals: spiffe://cluster.local/ns/a/sa/b } } }',
      ['authorization.rules.web.principals', 'without spiffe://'],
    ],
    [
      'a principal that is only a name',
      'authorization: { rules: { web: { principals: frontend } } }',
      ['authorization.rules.web.principals', '"frontend"', 'cluster.local/ns/shop/sa/frontend'],
    ],
    [
      'an authorization path without a slash',
      'authorization: { rules: { web: { paths: [api] } } }',
      ['authorization.rules.web.paths', '["api"]', 'begin with /'],
    ],
    [
      'an unknown HTTP method in an authorization rule',
      'authorization: { rules: { web: { methods: [GET, FETCH] } } }',
      ['authorization.rules.web.methods', 'HTTP methods out of GET'],
    ],
    [
      'the port 0 in an authorization rule',
      'authorization: { rules: { web: { ports: [0] } } }',
      ['authorization.rules.web.ports', '[0]', 'from 1 to 65535'],
    ],
    [
      'an invalid namespace in an authorization rule',
      'authorization: { rules: { web: { namespaces: [Shop] } } }',
      ['authorization.rules.web.namespaces', '["Shop"]', 'names of namespaces'],
    ],
    [
      'an authorization rule with the name of the defaultDeny policy',
      'authorization:\n  rules:\n    default-deny: {}\n',
      ['mesh.yaml:3: authorization.rules.default-deny', '`defaultDeny`', 'choose another name'],
    ],
    [
      'an authorization rule with the name of a token policy',
      'authorization: { rules: { users-required: {} } }\njwt: { users: { issuer: x, jwksUri: https://x.example } }',
      ['authorization.rules.users-required', '`jwt.users`', 'choose another name'],
    ],
    [
      'tokens without an issuer',
      'jwt:\n  users: { jwksUri: https://id.example/keys }\n',
      ['mesh.yaml:2: jwt.users.issuer', 'is missing'],
    ],
    [
      'tokens without keys',
      'jwt:\n  users: { issuer: x }\n',
      ['mesh.yaml:2: jwt.users', 'exactly one of jwksUri, jwks'],
    ],
    [
      'tokens with two sources of keys',
      'jwt: { users: { issuer: x, jwksUri: https://id.example/keys, jwks: \'{"keys":[]}\' } }',
      ['jwt.users', 'exactly one of jwksUri, jwks'],
    ],
    [
      'tokens with an invalid key set',
      'jwt: { users: { issuer: x, jwks: secret } }',
      ['jwt.users.jwks', 'JSON Web Key Set'],
    ],
    [
      'tokens with an invalid address for the keys',
      'jwt: { users: { issuer: x, jwksUri: id.example/keys } }',
      ['jwt.users.jwksUri', 'a text of 15 characters', 'http or https'],
    ],
    [
      'an unknown egress mode',
      'egress: { mode: deny }',
      ['mesh.yaml:1: egress.mode', '"deny"', 'one of registry-only, allow-any'],
    ],
    [
      'an egress host with a scheme',
      'egress:\n  hosts:\n    https://api.example.com: {}\n',
      ['egress.hosts.(a key of 23 characters)', 'a full DNS name'],
    ],
    [
      'an egress host that is a short name',
      'egress:\n  hosts:\n    backend: {}\n',
      ['mesh.yaml:3: egress.hosts.backend', 'a full DNS name'],
    ],
    [
      'an unknown egress protocol',
      'egress: { hosts: { api.example.com: { protocol: ftp } } }',
      ['egress.hosts.api.example.com.protocol', '"ftp"', 'one of tls, https, http, tcp'],
    ],
    [
      'an invalid egress port',
      'egress: { hosts: { api.example.com: { port: https } } }',
      ['egress.hosts.api.example.com.port', '"https"', 'from 1 to 65535'],
    ],
    ['a scope without hosts', 'scope: {}', ['mesh.yaml:1: scope.hosts', 'is missing', 'namespace/host pairs']],
    [
      'a scope with a bare host',
      'scope: { hosts: [istio-system] }',
      ['scope.hosts', '["istio-system"]', 'such as ./*, istio-system/*'],
    ],
    [
      'an invalid exposed host',
      'expose: { a: { hosts: ["shop example"] } }',
      ['mesh.yaml:1: expose.a.hosts', '["shop example"]', 'host names'],
    ],
    [
      'an HTTPS redirect without TLS',
      'expose:\n  a:\n    httpsRedirect: true\n',
      ['mesh.yaml:3: expose.a.httpsRedirect', 'no HTTPS', 'set `tls`'],
    ],
    ['TLS without a secret', 'expose: { a: { tls: {} } }', ['expose.a.tls.secret', 'is missing', 'a Kubernetes name']],
    [
      'an unknown gateway API',
      'expose: { a: { api: ingress } }',
      ['expose.a.api', '"ingress"', 'one of istio, gateway-api'],
    ],
    [
      'two services exposed at one host',
      'expose:\n  a: {}\n  b: { hosts: [x.example, "*"] }\n',
      ['mesh.yaml:3: expose.b.hosts', 'the host * belongs to a', 'its own host'],
    ],
    [
      'a gateway with a namespace instead of a label',
      'expose: { a: { gateway: infra/edge } }',
      ['expose.a.gateway', 'not a label', 'such as ingressgateway'],
    ],
    [
      'an HTTPRoute for a service with a split',
      `${service('traffic: { v1: 50, v2: 50 }')}expose: { a: { api: gateway-api } }`,
      ['expose.a.api', 'does not support `traffic`', '`api: istio`'],
    ],
    [
      'an HTTPRoute for a canary',
      'canary: { service: a }\nexpose: { a: { api: gateway-api } }',
      ['mesh.yaml:2: expose.a.api', 'does not support a canary', '`api: istio`'],
    ],
    [
      'an HTTPRoute with a certificate',
      'expose: { a: { api: gateway-api, tls: { secret: x } } }',
      ['expose.a.tls', 'belongs to the Gateway', 'remove it here'],
    ],
    [
      'tracing without a per cent sign',
      'telemetry: { tracing: 1 }',
      ['telemetry.tracing', '1 is invalid', 'such as 10%'],
    ],
    ['tracing of more than 100%', 'telemetry: { tracing: 200% }', ['telemetry.tracing', '"200%"', 'from 0% to 100%']],
    [
      'access logs that are neither true nor false',
      'telemetry: { accessLogs: stdout }',
      ['telemetry.accessLogs', '"stdout"', 'true or false'],
    ],
    ['manifests that are a map', 'policies: { mesh: true }', ['mesh.yaml:1: policies', 'a list of strings']],
    [
      'a dry run that is neither true nor false',
      'dryRun: sometimes',
      ['mesh.yaml:1: dryRun', '"sometimes"', 'true or false'],
    ],
    [
      'trafficChecks that is neither true nor false',
      'verify: { trafficChecks: very }',
      ['verify.trafficChecks', '"very"', 'true or false'],
    ],
    [
      'the stage plan without a policy',
      'stages: plan',
      ['mesh.yaml:1: stages', 'plan has nothing to do', 'another policy section', '(`services: {}`) removes'],
    ],
  ])('rejects %s', (_, yaml, words) => {
    const message = refusal(yaml)
    for (const word of words) expect(message).toContain(word)
    expect(message.split('\n')).toHaveLength(1)
  })
})

describe('the loader', () => {
  test('reads policies from inputs as from the file', () => {
    const config = loadConfig({
      INPUT_MTLS: 'mode: strict\nworkloads: { mysql: { selector: { app: mysql }, ports: { 3306: Disable } } }',
      INPUT_EXPOSE: 'web: {}',
      INPUT_POLICIES: 'a/*.yaml, b.yaml',
      'INPUT_DRY-RUN': 'TRUE',
      'INPUT_TRAFFIC-CHECKS': 'true',
    })
    expect(config).toMatchObject({
      mtls: { mode: 'strict', workloads: { mysql: { selector: { app: 'mysql' }, ports: { 3306: 'disable' } } } },
      expose: { web: { hosts: ['*'], gateway: 'ingressgateway', api: 'istio' } },
      policies: ['a/*.yaml', 'b.yaml'],
      dryRun: true,
      verify: { trafficChecks: true },
    })
  })

  test('reads a mode alone as the mode of the namespace', () => {
    expect(configOf('mtls: Permissive').mtls).toEqual({ mode: 'permissive', plaintextCallers: 'fail', workloads: {} })
  })

  test('reads a load balancing algorithm alone as the simple one', () => {
    expect(configOf('services: { a: { loadBalancer: Random } }').services!['a']!.loadBalancer).toEqual({
      simple: 'random',
    })
  })

  test('reads numbers and booleans in a match as the text they look like', () => {
    const { match } = configOf(service('routes: [{ match: { headers: { x: 1 }, query: { beta: true } }, to: v2 }]'))
      .services!['a']!.routes![0]!
    expect(match).toEqual([{ headers: { x: { exact: '1' } }, query: { beta: { exact: 'true' } } }])
  })

  test('reads the end of a fault in any time zone', () => {
    expect(
      configOf(service('fault: { abort: { status: 503 }, until: 2030-01-01T01:00:00+01:00 }')).services!['a']!.fault!
        .until,
    ).toBe('2030-01-01T00:00:00.000Z')
  })
})

describe('a stage that runs only if it is listed', () => {
  test.each(['plan', 'uninstall'])('is %s', (stage) => {
    const all = stagesOf(configOf('{ istio: {}, workloads: all, mtls: strict, canary: { service: a } }'))
    expect(all).not.toContain(stage)
    expect(stagesOf(configOf(`{ stages: [${stage}], istio: {}, mtls: strict }`))).toEqual([stage])
  })
})

describe('warnings', () => {
  const now = Date.parse('2026-11-23T12:00:00Z')
  const warnings = (yaml: string) => warningsOf(configOf(yaml), now)

  test.each<[string, string, RegExp]>([
    [
      'tries that do not fit into the timeout',
      service('timeout: 3s', 'retries: { attempts: 3, perTryTimeout: 1s }'),
      /^services\.a\.retries: 1 \+ 3 tries of 1000 ms take up to 4000 ms.*raise `timeout`/,
    ],
    [
      'retries of requests that the service may have acted on',
      service('retries: { attempts: 1 }', 'routes: [{ match: { method: POST }, to: v2 }]'),
      /^services\.a\.retries: .*POST requests to v2.*gateway-error.*connect-failure and refused-stream only/,
    ],
    [
      'an ejection that may eject no pod',
      service('circuitBreaker: { consecutive5xxErrors: 5 }'),
      /^services\.a\.circuitBreaker: .*`maxEjectionPercent`.*10%/,
    ],
    [
      'an ejection that never ejects a pod',
      service('circuitBreaker: { consecutive5xxErrors: 5, maxEjectionPercent: 0 }'),
      /^services\.a\.circuitBreaker\.maxEjectionPercent: 0 means that no pod is ever ejected/,
    ],
    [
      'an active fault',
      service('fault: { abort: { status: 503 }, until: 2026-11-23T12:00:01Z }'),
      /^services\.a\.fault: the fault is active until 2026-11-23T12:00:01\.000Z/,
    ],
    [
      'a fault that has ended',
      service('fault: { abort: { status: 503 }, until: 2026-11-23T12:00:00Z }'),
      /^services\.a\.fault: the fault ended at .*remove it/,
    ],
    [
      'a deny rule without a condition',
      'authorization: { rules: { web: { action: deny } } }',
      /^authorization\.rules\.web: the rule has no condition, so it denies all requests/,
    ],
    [
      'a deny rule by path without ports',
      'authorization: { rules: { web: { action: deny, paths: /admin } } }',
      /^authorization\.rules\.web: .*do not speak HTTP.*`ports`/,
    ],
    [
      'a defaultDeny without a rule that allows',
      'authorization: { defaultDeny: true }',
      /^authorization\.defaultDeny: no rule allows anything/,
    ],
    [
      'a token that is required on every port',
      'jwt: { users: { issuer: x, jwksUri: https://x.example } }',
      /^jwt\.users: .*every pod of the namespace.*do not speak HTTP/,
    ],
    ['egress without a mode and hosts', 'egress: {}', /^egress: the section has no effect/],
  ])('warn of %s', (_, yaml, warning) => {
    expect(warnings(yaml)).toEqual([expect.stringMatching(warning)])
  })

  test.each<[string, string]>([
    ['tries that fit into the timeout', service('timeout: 4s', 'retries: { attempts: 3, perTryTimeout: 1s }')],
    [
      'retries that are turned off',
      service(
        'timeout: 1s',
        'retries: { attempts: 0, perTryTimeout: 1s }',
        'routes: [{ match: { method: POST }, to: v2 }]',
      ),
    ],
    [
      'retries of requests that never arrived',
      service(
        'retries: { attempts: 1, retryOn: "connect-failure, refused-stream" }',
        'routes: [{ match: { method: POST }, to: v2 }]',
      ),
    ],
    ['connection limits without ejection', service('circuitBreaker: { maxConnections: 1 }')],
    ['a deny rule by path with ports', 'authorization: { rules: { web: { action: deny, paths: /admin, ports: 80 } } }'],
    ['an optional token', 'jwt: { users: { issuer: x, jwksUri: https://x.example, required: false } }'],
  ])('do not warn of %s', (_, yaml) => {
    expect(warnings(yaml)).toEqual([])
  })
})
