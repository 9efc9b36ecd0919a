// The sections of policies: how they are read, what is refused, and what is warned of.
import { describe, expect, test } from 'vitest'
import { stagesOf } from '../../../src/config/stages.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { warningsOf } from '../../../src/config/warnings.ts'
import { configOf, fileWith, refusal } from '../fixtures.ts'

/** A service `a` with two subsets and more keys, each on a line of its own from line 4 on. */
const service = (...lines: string[]) =>
  ['services:', '  a:', '    subsets: { v1: {}, v2: {} }', ...lines.map((line) => `    ${line}`), ''].join('\n')

test('an empty section is one: what it held before is to be taken away', () => {
  expect(stagesOf(configOf('services: {}'))).toEqual(['policies', 'verify'])
})

describe('what is refused, with key, place, value and remedy', () => {
  test.each<[string, string, string[]]>([
    ['a name that no label can hold', 'name: My Shop\n', ['mesh.yaml:1: name', '"My Shop"', 'lower-case letters']],
    [
      'mTLS: a mode that is none',
      'mtls: { mode: mutual }',
      ['mesh.yaml:1: mtls.mode', '"mutual"', 'one of strict, permissive, disable'],
    ],
    [
      'mTLS: a mode as a list',
      'mtls: [strict]',
      ['mesh.yaml:1: mtls', '["strict"]', 'one of strict, permissive, disable'],
    ],
    [
      'mTLS: an unknown key',
      'mtls:\n  mode: strict\n  workload: {}\n',
      ['mesh.yaml:3: mtls.workload', 'did you mean `workloads`?'],
    ],
    [
      'mTLS: an exception without pods',
      'mtls:\n  workloads:\n    mysql: { mode: disable }\n',
      ['mesh.yaml:3: mtls.workloads.mysql.selector', 'is missing', 'a map of keys'],
    ],
    [
      'mTLS: an exception for every pod',
      'mtls:\n  workloads:\n    mysql: { selector: {}, mode: disable }\n',
      ['mtls.workloads.mysql.selector', '{}', 'at least one label'],
    ],
    [
      'mTLS: a port that is a name',
      'mtls:\n  workloads:\n    mysql: { selector: { app: mysql }, ports: { sql: disable } }\n',
      ['mtls.workloads.mysql.ports.sql', 'from 1 to 65535'],
    ],
    [
      'mTLS: a port that does not exist',
      'mtls:\n  workloads:\n    mysql: { selector: { app: mysql }, ports: { 70000: disable } }\n',
      ['mtls.workloads.mysql.ports.70000', 'from 1 to 65535'],
    ],
    [
      'mTLS: an exception that would be the rule',
      'mtls:\n  workloads:\n    default: { selector: { app: a } }\n',
      ['mesh.yaml:3: mtls.workloads.default', 'the policy of the whole namespace', 'choose another one'],
    ],
    [
      'mTLS: a label that is a number',
      'mtls: { workloads: { a: { selector: { tier: 1 }, mode: disable } } }',
      ['mtls.workloads.a.selector.tier', '1 is not right', 'quote it'],
    ],
    [
      'retries without a number',
      service('retries: { perTryTimeout: 1s }'),
      ['mesh.yaml:4: services.a.retries.attempts', 'is missing', 'from 0 to 100'],
    ],
    [
      'retries: a budget without its sign',
      service('retries: { attempts: 1, budget: { percent: 20 } }'),
      ['mesh.yaml:4: services.a.retries.budget.percent', '20 is not right', 'such as 10%'],
    ],
    [
      'retries: a budget of nothing',
      service('retries: { attempts: 1, budget: { percent: 0% } }'),
      ['services.a.retries.budget.percent', '"0%"', 'above 0%'],
    ],
    [
      'retries: an unknown condition',
      service('retries: { attempts: 1, retryOn: "Gateway Error" }'),
      ['services.a.retries.retryOn', '"Gateway Error"', 'gateway-error'],
    ],
    [
      'a circuit breaker: a share above 100',
      service('circuitBreaker: { maxEjectionPercent: 101 }'),
      ['services.a.circuitBreaker.maxEjectionPercent', '101', 'from 0 to 100'],
    ],
    [
      "a circuit breaker: Envoy's own name",
      service('circuitBreaker: { baseEjectionTime: 30s }'),
      ['services.a.circuitBreaker.baseEjectionTime', 'not known'],
    ],
    [
      'load balancing: an unknown way',
      service('loadBalancer: fastest'),
      ['mesh.yaml:4: services.a.loadBalancer', '"fastest"', 'one of round-robin, least-request, random'],
    ],
    [
      'load balancing: a hash of nothing',
      service('loadBalancer: { consistentHash: {} }'),
      ['services.a.loadBalancer.consistentHash', 'exactly one of header, cookie, query, sourceIp'],
    ],
    [
      'load balancing: a hash of two things',
      service('loadBalancer: { consistentHash: { header: x, query: y } }'),
      ['services.a.loadBalancer.consistentHash', 'exactly one of'],
    ],
    [
      'load balancing: a cookie without its name',
      service('loadBalancer: { consistentHash: { cookie: { ttl: 1h } } }'),
      ['services.a.loadBalancer.consistentHash.cookie.name', 'is missing'],
    ],
    [
      "load balancing: a cookie's life without a unit",
      service('loadBalancer: { consistentHash: { cookie: { name: c, ttl: 60 } } }'),
      ['services.a.loadBalancer.consistentHash.cookie.ttl', '60 is not right', 'with its unit'],
    ],
    [
      'an A/B route without a condition',
      service('routes: [{ match: {}, to: v2 }]'),
      ['mesh.yaml:4: services.a.routes.0.match', '{}', 'at least one of headers, cookie'],
    ],
    [
      'an A/B route without a destination',
      service('routes: [{ match: { path: / } }]'),
      ['services.a.routes.0.to', 'is missing'],
    ],
    [
      'an A/B route to a subset that is not defined',
      service('routes:', '  - { match: { path: / }, to: v9 }'),
      ['mesh.yaml:5: services.a.routes.0.to', 'names v9', 'add it there'],
    ],
    [
      'an A/B route with the name of the split',
      service('routes: [{ name: mesh-canary, match: { path: / }, to: v2 }]'),
      ['services.a.routes.0.name', 'splits the traffic', 'choose another name'],
    ],
    [
      "an A/B route with the name of a canary's",
      service('routes: [{ name: mesh-canary-ab, match: { path: / }, to: v2 }]'),
      ['services.a.routes.0.name', 'comes and goes', 'choose another name'],
    ],
    [
      'two A/B routes with one name',
      service('routes: [{ name: x, match: { path: /a }, to: v2 }, { name: x, match: { path: /b }, to: v2 }]'),
      ['services.a.routes.1.name', 'an earlier route', 'choose another one'],
    ],
    [
      'an A/B route by an unknown method',
      service('routes: [{ match: { method: FETCH }, to: v2 }]'),
      ['services.a.routes.0.match.method', '"FETCH"', 'GET, HEAD, POST'],
    ],
    [
      'an A/B route by a path without its slash',
      service('routes: [{ match: { path: items }, to: v2 }]'),
      ['services.a.routes.0.match.path', '"items"', 'begins with /'],
    ],
    [
      'an A/B route by an expression that never ends',
      service('routes: [{ match: { userAgent: "(" }, to: v2 }]'),
      ['services.a.routes.0.match.userAgent', '"("', 'a regular expression'],
    ],
    [
      'an A/B route by an expression that Envoy lacks',
      service('routes: [{ match: { userAgent: "(?!bot)" }, to: v2 }]'),
      ['services.a.routes.0.match.userAgent', 'without looking around'],
    ],
    [
      'an A/B route by two cookies',
      service('routes: [{ match: { cookie: { a: x, b: y } }, to: v2 }]'),
      ['services.a.routes.0.match.cookie', 'exactly one cookie'],
    ],
    [
      'an A/B route by a header with a blank',
      service('routes: [{ match: { headers: { "x beta": y } }, to: v2 }]'),
      ['services.a.routes.0.match.headers.x beta', 'letters, digits, dashes'],
    ],
    [
      'an A/B route by a list of values',
      service('routes: [{ match: { headers: { x: [a, b] } }, to: v2 }]'),
      ['services.a.routes.0.match.headers.x', '["a","b"]', 'expected a text'],
    ],
    [
      'A/B routes as a map',
      service('routes: { match: { path: / }, to: v2 }'),
      ['services.a.routes', 'expected a list'],
    ],
    [
      'a mirror to a subset that is not defined',
      service('mirror: { to: v9 }'),
      ['mesh.yaml:4: services.a.mirror.to', 'names v9', 'add it there'],
    ],
    [
      'a mirror of more than everything',
      service('mirror: { to: v2, percent: 101% }'),
      ['services.a.mirror.percent', '"101%"', 'up to 100%'],
    ],
    [
      'a fault without its end',
      service('fault: { abort: { status: 503 } }'),
      ['mesh.yaml:4: services.a.fault.until', 'is missing', 'a point in time with its zone'],
    ],
    [
      'a fault until a time without its zone',
      service('fault: { abort: { status: 503 }, until: 2030-01-01T00:00:00 }'),
      ['services.a.fault.until', '"2030-01-01T00:00:00"', 'with its zone'],
    ],
    [
      'a fault until a day that is none',
      service('fault: { abort: { status: 503 }, until: 2030-02-31T25:00:00Z }'),
      ['services.a.fault.until', 'a point in time'],
    ],
    [
      'a fault that does nothing',
      service('fault: { until: 2030-01-01T00:00:00Z }'),
      ['services.a.fault', 'expected delay, abort, or both'],
    ],
    [
      'a fault with a status that is none',
      service('fault: { abort: { status: 99 }, until: 2030-01-01T00:00:00Z }'),
      ['services.a.fault.abort.status', '99', 'from 200 to 599'],
    ],
    [
      'a delay without its time',
      service('fault: { delay: { percent: 5% }, until: 2030-01-01T00:00:00Z }'),
      ['services.a.fault.delay.time', 'is missing', 'with its unit'],
    ],
    [
      'authorization: an unknown action',
      'authorization:\n  rules:\n    web: { action: permit }\n',
      ['mesh.yaml:3: authorization.rules.web.action', '"permit"', 'one of allow, deny'],
    ],
    [
      'authorization: a switch that is neither on nor off',
      'authorization: { defaultDeny: maybe }',
      ['authorization.defaultDeny', '"maybe"', 'true or false'],
    ],
    [
      'authorization: a principal with its scheme',
      'authorization: { rules: { web: { principals: spiffe://cluster.local/ns/a/sa/b } } }',
      ['authorization.rules.web.principals', 'without spiffe://'],
    ],
    [
      'authorization: a principal that is only a name',
      'authorization: { rules: { web: { principals: frontend } } }',
      ['authorization.rules.web.principals', '"frontend"', 'cluster.local/ns/shop/sa/frontend'],
    ],
    [
      'authorization: a path without its slash',
      'authorization: { rules: { web: { paths: [api] } } }',
      ['authorization.rules.web.paths', '["api"]', 'begin with /'],
    ],
    [
      'authorization: a method that is none',
      'authorization: { rules: { web: { methods: [GET, FETCH] } } }',
      ['authorization.rules.web.methods', 'HTTP methods out of GET'],
    ],
    [
      'authorization: a port that is none',
      'authorization: { rules: { web: { ports: [0] } } }',
      ['authorization.rules.web.ports', '[0]', 'from 1 to 65535'],
    ],
    [
      'authorization: a namespace that is none',
      'authorization: { rules: { web: { namespaces: [Shop] } } }',
      ['authorization.rules.web.namespaces', '["Shop"]', 'names of namespaces'],
    ],
    [
      'authorization: a rule with the name of the default',
      'authorization:\n  rules:\n    default-deny: {}\n',
      ['mesh.yaml:3: authorization.rules.default-deny', '`defaultDeny`', 'choose another one'],
    ],
    [
      "authorization: a rule with the name of a token's",
      'authorization: { rules: { users-required: {} } }\njwt: { users: { issuer: x, jwksUri: https://x.example } }',
      ['authorization.rules.users-required', '`jwt.users`', 'choose another one'],
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
      'tokens with keys that are none',
      'jwt: { users: { issuer: x, jwks: secret } }',
      ['jwt.users.jwks', 'JSON Web Key Set'],
    ],
    [
      'tokens with an address that is none',
      'jwt: { users: { issuer: x, jwksUri: id.example/keys } }',
      ['jwt.users.jwksUri', '"id.example/keys"', 'http or https'],
    ],
    [
      'egress: an unknown mode',
      'egress: { mode: deny }',
      ['mesh.yaml:1: egress.mode', '"deny"', 'one of registry-only, allow-any'],
    ],
    [
      'egress: a host with its scheme',
      'egress:\n  hosts:\n    https://api.example.com: {}\n',
      ['egress.hosts.https://api.example.com', 'a full DNS name'],
    ],
    [
      'egress: a host that is a short name',
      'egress:\n  hosts:\n    backend: {}\n',
      ['mesh.yaml:3: egress.hosts.backend', 'a full DNS name'],
    ],
    [
      'egress: an unknown protocol',
      'egress: { hosts: { api.example.com: { protocol: ftp } } }',
      ['egress.hosts.api.example.com.protocol', '"ftp"', 'one of tls, https, http, tcp'],
    ],
    [
      'egress: a port that is none',
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
      'exposure: a host that is none',
      'expose: { a: { hosts: ["shop example"] } }',
      ['mesh.yaml:1: expose.a.hosts', '["shop example"]', 'host names'],
    ],
    [
      'exposure: a redirect to nowhere',
      'expose:\n  a:\n    httpsRedirect: true\n',
      ['mesh.yaml:3: expose.a.httpsRedirect', 'no HTTPS', 'give `tls`'],
    ],
    [
      'exposure: TLS without a secret',
      'expose: { a: { tls: {} } }',
      ['expose.a.tls.secret', 'is missing', 'a Kubernetes name'],
    ],
    [
      'exposure: an unknown API',
      'expose: { a: { api: ingress } }',
      ['expose.a.api', '"ingress"', 'one of istio, gateway-api'],
    ],
    [
      'exposure: two services at one host',
      'expose:\n  a: {}\n  b: { hosts: [x.example, "*"] }\n',
      ['mesh.yaml:3: expose.b.hosts', '* is already given to a', 'its own host'],
    ],
    [
      'exposure: a gateway in a namespace where a label is meant',
      'expose: { a: { gateway: infra/edge } }',
      ['expose.a.gateway', 'not a label', 'such as ingressgateway'],
    ],
    [
      'exposure: an HTTPRoute for a split',
      `${service('traffic: { v1: 50, v2: 50 }')}expose: { a: { api: gateway-api } }`,
      ['expose.a.api', 'cannot follow traffic', '`api: istio`'],
    ],
    [
      'exposure: an HTTPRoute for a canary',
      'canary: { service: a }\nexpose: { a: { api: gateway-api } }',
      ['mesh.yaml:2: expose.a.api', 'cannot follow a canary', '`api: istio`'],
    ],
    [
      'exposure: an HTTPRoute with a certificate',
      'expose: { a: { api: gateway-api, tls: { secret: x } } }',
      ['expose.a.tls', 'belongs to the Gateway', 'leave it out'],
    ],
    [
      'telemetry: tracing without its sign',
      'telemetry: { tracing: 1 }',
      ['telemetry.tracing', '1 is not right', 'such as 10%'],
    ],
    [
      'telemetry: tracing of more than everything',
      'telemetry: { tracing: 200% }',
      ['telemetry.tracing', '"200%"', 'from 0% to 100%'],
    ],
    [
      'telemetry: logs that are neither on nor off',
      'telemetry: { accessLogs: stdout }',
      ['telemetry.accessLogs', '"stdout"', 'true or false'],
    ],
    ['manifests that are a map', 'policies: { mesh: true }', ['mesh.yaml:1: policies', 'a list of texts']],
    [
      'a dry run that is neither on nor off',
      'dryRun: sometimes',
      ['mesh.yaml:1: dryRun', '"sometimes"', 'true or false'],
    ],
    [
      'trafficChecks that is neither on nor off',
      'verify: { trafficChecks: very }',
      ['verify.trafficChecks', '"very"', 'true or false'],
    ],
    [
      'plan without policies',
      'stages: plan',
      ['mesh.yaml:1: stages', 'plan has nothing to do', 'a policy', '(`services: {}`) takes away'],
    ],
  ])('%s', (_, yaml, words) => {
    const message = refusal(yaml)
    for (const word of words) expect(message).toContain(word)
    expect(message.split('\n')).toHaveLength(1)
  })
})

describe('what stands in the inputs', () => {
  test('is read as in the file', () => {
    const config = loadConfig({
      INPUT_MTLS: 'mode: strict\nworkloads: { mysql: { selector: { app: mysql }, ports: { 3306: Disable } } }',
      INPUT_EXPOSE: 'web: {}',
      INPUT_POLICIES: 'a/*.yaml, b.yaml',
      'INPUT_DRY-RUN': 'TRUE',
      'INPUT_TRAFFIC-CHECKS': 'true',
    })
    expect(config).toMatchObject({
      name: 'inputs',
      mtls: { mode: 'strict', workloads: { mysql: { selector: { app: 'mysql' }, ports: { 3306: 'disable' } } } },
      expose: { web: { hosts: ['*'], gateway: 'ingressgateway', api: 'istio' } },
      policies: ['a/*.yaml', 'b.yaml'],
      dryRun: true,
      verify: { trafficChecks: true },
    })
  })

  test('a mode alone is that of the namespace', () => {
    expect(configOf('mtls: Permissive').mtls).toEqual({ mode: 'permissive', workloads: {} })
  })

  test('a way of balancing alone is the simple one', () => {
    expect(configOf('services: { a: { loadBalancer: Random } }').services!['a']!.loadBalancer).toEqual({
      simple: 'random',
    })
  })

  test('values that YAML reads as numbers or as booleans are what they look like', () => {
    const { match } = configOf(service('routes: [{ match: { headers: { x: 1 }, query: { beta: true } }, to: v2 }]'))
      .services!['a']!.routes![0]!
    expect(match).toEqual({ headers: { x: '1' }, query: { beta: 'true' } })
  })

  test('a fault ends at one moment, wherever its zone is', () => {
    expect(
      configOf(service('fault: { abort: { status: 503 }, until: 2030-01-01T01:00:00+01:00 }')).services!['a']!.fault!
        .until,
    ).toBe('2030-01-01T00:00:00.000Z')
  })
})

describe('whose objects they are', () => {
  test("the config file's, by its path", () => {
    const file = fileWith('namespace: shop', 'Mesh.prod.yaml')
    expect(loadConfig({ INPUT_CONFIG: file }).name).toMatch(/mesh-prod-yaml$/)
    expect(loadConfig({ INPUT_CONFIG: file }).name).toMatch(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
  })

  test('of that name, where one is given', () => {
    expect(configOf('name: shop').name).toBe('shop')
    expect(loadConfig({ INPUT_CONFIG: fileWith('name: shop'), INPUT_NAME: 'other' }).name).toBe('other')
  })
})

describe('a stage that runs only when it is listed', () => {
  test.each(['plan', 'uninstall'])('%s', (stage) => {
    const all = stagesOf(configOf('{ istio: {}, workloads: all, mtls: strict, canary: { service: a } }'))
    expect(all).not.toContain(stage)
    expect(stagesOf(configOf(`{ stages: [${stage}], istio: {}, mtls: strict }`))).toEqual([stage])
  })
})

describe('what is warned of', () => {
  const now = Date.parse('2026-11-23T12:00:00Z')
  const warnings = (yaml: string) => warningsOf(configOf(yaml), now)

  test.each<[string, string, RegExp]>([
    [
      'tries that do not fit the timeout',
      service('timeout: 3s', 'retries: { attempts: 3, perTryTimeout: 1s }'),
      /^services\.a\.retries: 1 \+ 3 tries of 1000 ms take up to 4000 ms.*raise `timeout`/,
    ],
    [
      'retries of what may have been done already',
      service('retries: { attempts: 1 }', 'routes: [{ match: { method: POST }, to: v2 }]'),
      /^services\.a\.retries: .*POST requests to v2.*gateway-error.*connect-failure and refused-stream only/,
    ],
    [
      'an ejection that may hit nobody',
      service('circuitBreaker: { consecutive5xxErrors: 5 }'),
      /^services\.a\.circuitBreaker: .*`maxEjectionPercent`.*10%/,
    ],
    [
      'an ejection that hits nobody',
      service('circuitBreaker: { consecutive5xxErrors: 5, maxEjectionPercent: 0 }'),
      /^services\.a\.circuitBreaker\.maxEjectionPercent: 0 ejects nobody/,
    ],
    [
      'a fault that is on',
      service('fault: { abort: { status: 503 }, until: 2026-11-23T12:00:01Z }'),
      /^services\.a\.fault: is on until 2026-11-23T12:00:01\.000Z/,
    ],
    [
      'a fault that is over',
      service('fault: { abort: { status: 503 }, until: 2026-11-23T12:00:00Z }'),
      /^services\.a\.fault: ended at .*remove it/,
    ],
    [
      'a rule that denies everything',
      'authorization: { rules: { web: { action: deny } } }',
      /^authorization\.rules\.web: it denies every request/,
    ],
    [
      'a rule that denies by path on every port',
      'authorization: { rules: { web: { action: deny, paths: /admin } } }',
      /^authorization\.rules\.web: .*do not speak HTTP.*`ports`/,
    ],
    [
      'a default that is all there is',
      'authorization: { defaultDeny: true }',
      /^authorization\.defaultDeny: no rule allows anything/,
    ],
    [
      'a token that is required of everything',
      'jwt: { users: { issuer: x, jwksUri: https://x.example } }',
      /^jwt\.users: .*every pod of the namespace.*do not speak HTTP/,
    ],
    ['egress that says nothing', 'egress: {}', /^egress: says nothing/],
  ])('%s', (_, yaml, warning) => {
    expect(warnings(yaml)).toEqual([expect.stringMatching(warning)])
  })

  test.each<[string, string]>([
    ['tries that fit', service('timeout: 4s', 'retries: { attempts: 3, perTryTimeout: 1s }')],
    [
      'retries that are off',
      service(
        'timeout: 1s',
        'retries: { attempts: 0, perTryTimeout: 1s }',
        'routes: [{ match: { method: POST }, to: v2 }]',
      ),
    ],
    [
      'retries of what never arrived',
      service(
        'retries: { attempts: 1, retryOn: "connect-failure, refused-stream" }',
        'routes: [{ match: { method: POST }, to: v2 }]',
      ),
    ],
    ['limits that eject nobody', service('circuitBreaker: { maxConnections: 1 }')],
    [
      'a rule that denies on HTTP ports',
      'authorization: { rules: { web: { action: deny, paths: /admin, ports: 80 } } }',
    ],
    ['a token that need not be there', 'jwt: { users: { issuer: x, jwksUri: https://x.example, required: false } }'],
  ])('not of %s', (_, yaml) => {
    expect(warnings(yaml)).toEqual([])
  })
})
