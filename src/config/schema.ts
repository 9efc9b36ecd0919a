// The one schema: it validates the config file and the inputs, is published as JSON Schema,
// and its descriptions are the tables of the README. It knows no cluster.
import * as z from 'zod'
import { defaultVersion, versionForm, versionIn, versionSpec } from './istio-version.ts'
import {
  clusterName,
  dnsName,
  duration,
  durationOrNone,
  durationOrOff,
  flag,
  instant,
  kubernetesVersion,
  listOf,
  method,
  methodList,
  objectName,
  orShortForm,
  pathPrefix,
  perCent,
  percentage,
  regex,
  releaseOf,
  sha256,
  steps,
  text,
  texts,
  textsLike,
  whole,
  wholes,
  word,
  workloads,
} from './values.ts'

export const stageNames = [
  'plan',
  'cluster',
  'install',
  'inject',
  'policies',
  'verify',
  'retire',
  'promote',
  'rollback',
  'uninstall',
] as const
export type StageName = (typeof stageNames)[number]

const named = (what: string) =>
  z.string().regex(dnsName, { error: `${what} is a Kubernetes name: lower-case letters, digits and dashes` })

const version = z
  .unknown()
  .meta({ type: 'string', default: defaultVersion })
  .transform((raw, context): string => {
    const spec = versionSpec(raw)
    if (spec !== undefined) return spec
    context.issues.push({ code: 'custom', message: `expected ${versionForm} (quote it in YAML)`, input: raw })
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
      typeof raw === 'string'
        ? raw
            .split('\n')
            .map((line) => line.trim())
            .filter(Boolean)
        : Array.isArray(raw)
          ? raw.map(String)
          : typeof raw === 'object' && raw !== null
            ? Object.entries(raw).map(([key, value]) => `${key}=${String(value)}`)
            : ['']
    const odd = pairs.find((pair) => !/^[^=\s]+=/.test(pair))
    if (odd === undefined) return pairs
    context.issues.push({ code: 'custom', message: 'expected key=value, one a line', input: odd })
    return z.NEVER
  })

const istio = z
  .strictObject({
    version: version
      .optional()
      .describe(
        'Istio version to use: exact, `1.31`, `1.31.x`, a range such as `>=1.30 <1.32`, or `latest`. Prereleases only where one is named.',
      ),
    versionFile: text
      .optional()
      .describe(
        "File that holds the version instead: the version alone, asdf's `.tool-versions`, or mise's `mise.toml`.",
      ),
    checkLatest: flag
      .prefault(false)
      .describe(
        'Looks for the newest release that matches, although the mesh that is installed, or what is in the tool cache, matches too.',
      ),
    profile: text
      .optional()
      .describe(
        "istioctl's installation profile: `default`, `demo`, `minimal`, … Without it that of the overlays, else `default`. `ambient` is not supported.",
      ),
    revision: objectName
      .optional()
      .describe(
        'Revision of the control plane. Another one than those that are there is installed beside them, and the namespace is moved to it: labelled `istio.io/rev`, its workloads restarted in their order. `default` is the one without a name.',
      ),
    tag: objectName
      .optional()
      .describe(
        'Revision tag, such as `prod`, that is made to point to `revision` and that the namespace is labelled with. Other namespaces with this label follow when their pods are restarted.',
      ),
    removeOld: flag
      .prefault(false)
      .describe(
        'Removes older control planes of other revisions, each once no pod has a sidecar of it and no namespace or tag points to it. Otherwise they are kept, and told.',
      ),
    hub: text
      .optional()
      .describe(
        "Registry and path of Istio's images. Without it that of `set` or the overlays, else `docker.io/istio`.",
      ),
    imagePullPolicy: z
      .enum(['IfNotPresent', 'Always', 'Never'], { error: 'expected one of IfNotPresent, Always, Never' })
      .optional()
      .describe(
        'When nodes pull the images of the control plane and of the sidecars. With `Never` every node must hold them already, which is looked at before anything is installed.',
      ),
    pullSecrets: texts
      .optional()
      .describe('Names of the Secrets with which these images are pulled, in the namespaces that they are pulled in.'),
    set: setValues.prefault([]).describe('Values passed to `istioctl install --set`: `key=value`, one a line.'),
    overlays: texts.optional().describe('IstioOperator files passed to `istioctl install -f`, in order.'),
    mirror: url
      .prefault('https://github.com/istio/istio/releases/download')
      .describe(
        'Where istioctl is downloaded from, in the layout of the official releases. Which versions there are is read from its `index.json`, or from the page that lists its folders; for GitHub from its API.',
      ),
    sha256: sha256
      .optional()
      .describe(
        "sha256 of the file with istioctl for this runner's platform, for an exact version. Without it the one that the release publishes.",
      ),
    suppress: texts
      .optional()
      .describe(
        'Codes of `istioctl analyze` and `istioctl x precheck` that are no reason to stop or to warn, such as `IST0118`.',
      ),
    timeout: duration.prefault('5m').describe('How long the control plane may take to become ready.'),
  })
  .transform(({ versionFile, version, ...rest }, context) => {
    const said =
      versionFile === undefined
        ? { version: version ?? defaultVersion }
        : version === undefined
          ? versionIn(versionFile)
          : { fault: `\`version\` is given as well (${version}); give one of the two` }
    if ('version' in said) return { ...rest, version: said.version }
    context.issues.push({ code: 'custom', path: ['versionFile'], message: said.fault, input: versionFile })
    return z.NEVER
  })

const kindSection = z.strictObject({
  type: word('kind').describe('The same as the word alone.'),
  name: clusterName
    .optional()
    .describe(
      'Name of the cluster; one that is there is used as it is. Without it that of the `config`, else `mesh-canary`.',
    ),
  version: releaseOf('kind', '0.33.0').prefault('0.33.0').describe('Version of kind, exact.'),
  mirror: url
    .prefault('https://github.com/kubernetes-sigs/kind/releases/download')
    .describe('Where kind is downloaded from, in the layout of the official releases.'),
  sha256: sha256.optional().describe('Checksum of the program for this platform. Without it what the release says.'),
  config: text
    .optional()
    .describe(
      "Path of a configuration of kind's own, used as it is. Map the node ports 30080 (HTTP) and 30443 (HTTPS) in it for an ingress address.",
    ),
  nodes: whole(1, 20).optional().describe('Number of nodes: one control plane, the others workers. Without it 1.'),
  image: text.optional().describe('Image of the nodes. Without it the one for `kubernetes`.'),
  kubernetes: kubernetesVersion
    .optional()
    .describe('Kubernetes version, such as `1.36` or exact. Without it the newest that the Istio version supports.'),
  ports: z
    .strictObject({
      http: whole(1, 65535).prefault(80).describe('For HTTP.'),
      https: whole(1, 65535).prefault(443).describe('For HTTPS.'),
    })
    .optional()
    .describe(
      'Ports of this machine, on 127.0.0.1, under which the ingress gateway is reached. Without it 80 and 443.',
    ),
  loadImages: texts
    .optional()
    .describe('Images of this machine that the nodes get: names, or archives (`.tar`) of `docker save`.'),
  wait: duration.prefault('5m').describe('How long the nodes may take to be ready.'),
  keep: flag
    .optional()
    .describe(
      'Whether the cluster stays at the end of the job. Without it one that this run made is deleted, and one that was there stays.',
    ),
  logs: text
    .optional()
    .describe("Folder for the nodes' logs when the run fails. Without it one in the temporary folder of the runner."),
})

const cluster = orShortForm(kindSection, word('kind'), (type) => kindSection.parse({ type }))

const retryOn = listOf('Envoy retry conditions such as gateway-error, reset', (item) =>
  typeof item === 'string' && /^[a-z0-9-]+$/.test(item) ? item : undefined,
)

const percentOf = (what: string) => perCent(1).prefault('100%').describe(what)

const labels = z
  .record(z.string(), z.string({ error: 'expected a label value as text; quote it in YAML' }))
  .refine((pairs) => Object.keys(pairs).length > 0, { error: 'expected at least one label, such as app: backend' })

/** A map of texts; numbers and booleans, which YAML reads from bare words, count as what they look like. */
const pairs = z.record(
  z.string().regex(/^[A-Za-z0-9_.-]+$/, {
    error: 'a header, a cookie or a parameter is named by letters, digits, dashes, dots and underscores',
  }),
  z.union([z.string().min(1), z.number().transform(String), z.boolean().transform(String)], {
    error: 'expected a text',
  }),
)

const oneOf = (section: object) => Object.values(section).filter((value) => value !== undefined).length === 1

const hashKeys = z
  .strictObject({
    header: text.optional().describe('Requests with the same value of this header.'),
    cookie: z
      .strictObject({
        name: text.describe('Name of the cookie.'),
        ttl: duration
          .optional()
          .describe(
            'Lifetime of the cookie that the proxy sets when there is none. Without it the cookie is only read.',
          ),
      })
      .optional()
      .describe('Requests with the same value of this cookie.'),
    query: text.optional().describe('Requests with the same value of this query parameter.'),
    sourceIp: flag.optional().describe('Requests from the same address.'),
  })
  .refine(oneOf, { error: 'expected exactly one of header, cookie, query, sourceIp' })

const balancers = word('round-robin', 'least-request', 'random')
const loadBalancer = orShortForm(
  z.strictObject({
    simple: balancers.optional().describe('The same as the word alone.'),
    consistentHash: hashKeys.optional().describe('The same pod for requests that are alike in one thing.'),
  }),
  balancers,
  (simple) => ({ simple }),
)

const routeMatch = z
  .strictObject({
    headers: pairs.optional().describe('Headers with exactly these values.'),
    cookie: pairs
      .refine((cookies) => Object.keys(cookies).length === 1, {
        error: 'expected exactly one cookie: the proxy looks at the header Cookie once',
      })
      .optional()
      .describe('A cookie with exactly this value.'),
    userAgent: regex.optional().describe('Regular expression that is found in the header User-Agent.'),
    query: pairs.optional().describe('Query parameters with exactly these values.'),
    method: method.optional().describe('HTTP method.'),
    path: pathPrefix.optional().describe('Beginning of the path.'),
  })
  .refine((match) => Object.values(match).some((value) => value !== undefined), {
    error: 'expected at least one of headers, cookie, userAgent, query, method, path',
  })
  .describe('What the requests have, all of it.')

const route = z.strictObject({
  name: named('a route').optional().describe('Name of the route; without it `to` and its number.'),
  match: routeMatch,
  to: named('a subset').describe('The subset that they go to.'),
})

const fault = z
  .strictObject({
    delay: z
      .strictObject({
        time: duration.describe('How much later the requests go out.'),
        percent: percentOf('Share of the requests that are delayed.'),
      })
      .optional()
      .describe('Requests are held back.'),
    abort: z
      .strictObject({
        status: whole(200, 599).describe('HTTP status that is answered.'),
        percent: percentOf('Share of the requests that are answered so.'),
      })
      .optional()
      .describe('Requests are answered by the proxy, without the service.'),
    until: instant.describe(
      'When the fault ends, so that none is forgotten. A run after that does not render it any more, and says so.',
    ),
  })
  .refine(({ delay, abort }) => delay ?? abort, { error: 'expected delay, abort, or both' })

const service = z.strictObject({
  port: whole(1, 65535).optional().describe('The port of the Service that the policies are for.'),
  retries: z
    .strictObject({
      attempts: whole(0, 100).describe('Retries after the first try; 0 turns retries off.'),
      perTryTimeout: duration.optional().describe('Time limit of one try.'),
      retryOn: retryOn
        .prefault(['gateway-error', 'connect-failure', 'refused-stream', 'unavailable', 'cancelled'])
        .describe("What is retried. Istio's own default leaves a 503 answer out; ours names it (`gateway-error`)."),
      budget: z
        .strictObject({
          percent: perCent(1)
            .prefault('20%')
            .describe('Retries under way at most, as a share of the requests under way.'),
          minConcurrency: whole(1, 1_000_000).prefault(3).describe('Retries that may always be under way.'),
        })
        .optional()
        .describe('Keeps retries from becoming the load that brings the service down.'),
    })
    .optional()
    .describe('Retries by the calling sidecar.'),
  timeout: duration.optional().describe('Time limit of the whole request, retries included.'),
  circuitBreaker: z
    .strictObject({
      maxConnections: whole(1, 1_000_000).optional().describe('TCP connections at most.'),
      maxPendingRequests: whole(1, 1_000_000).optional().describe('Requests waiting for a connection at most.'),
      maxRequestsPerConnection: whole(0, 1_000_000)
        .optional()
        .describe('Requests on one connection at most; 0 means no limit.'),
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
  traffic: z
    .record(named('a subset'), whole(0, 100))
    .optional()
    .describe('Weight of each subset in per cent; together 100.'),
  loadBalancer: loadBalancer
    .optional()
    .describe(
      '`round-robin`, `least-request`, `random`, or `consistentHash` with one of `header`, `cookie`, `query`, `sourceIp`.',
    ),
  routes: z
    .array(route)
    .optional()
    .describe('A/B routes, tried in this order before the split: `- { match: { headers: { x-beta: "1" } }, to: v2 }`.'),
  mirror: z
    .strictObject({
      to: named('a subset').describe('The subset that gets the copies; what it answers is dropped.'),
      percent: percentOf('Share of the requests that is copied.'),
    })
    .optional()
    .describe('Sends copies of the requests of the split to a subset.'),
  fault: fault.optional().describe('Injected faults, on every route of the service.'),
})

const principal = /^(\*|[^/\s]+\/ns\/[^/\s]+\/sa\/[^/\s]+|\*\/?[^\s*]+|[^\s*]+\*)$/
const rule = z.strictObject({
  action: word('allow', 'deny')
    .prefault('allow')
    .describe(
      'What happens to the requests that match. Once a workload has a rule that allows, what no rule allows is refused there.',
    ),
  to: labels.optional().describe('Labels of the pods that are called; without it every pod of the namespace.'),
  principals: textsLike(
    'identities such as cluster.local/ns/shop/sa/frontend (without spiffe://), one * at an end allowed',
    principal,
  )
    .optional()
    .describe('Service accounts that call, as `cluster.local/ns/<namespace>/sa/<name>`.'),
  namespaces: textsLike('names of namespaces, one * at an end allowed', /^(\*?[-a-z0-9]+|[-a-z0-9]+\*|\*)$/)
    .optional()
    .describe('Namespaces that call.'),
  methods: methodList.optional().describe('HTTP methods.'),
  paths: textsLike('paths that begin with / or *, such as /api/*', /^[/*]\S*$/)
    .optional()
    .describe('Paths, with one `*` at an end.'),
  ports: wholes(1, 65535, 'ports').optional().describe('Ports of the pods.'),
})

const authorization = z.strictObject({
  defaultDeny: flag.prefault(false).describe('Refuses whatever no rule allows, in the whole namespace.'),
  rules: z.record(named('a rule'), rule).prefault({}).describe('Rules by name. Those that deny are asked first.'),
})

const jsonText = text.refine((raw) => isKeySet(raw), {
  error: 'expected a JSON Web Key Set as JSON text: {"keys":[…]}',
})
function isKeySet(raw: string): boolean {
  try {
    return Array.isArray((JSON.parse(raw) as { keys?: unknown }).keys)
  } catch {
    return false
  }
}

const jwt = z
  .strictObject({
    issuer: text.describe('The `iss` of the tokens.'),
    jwksUri: url.optional().describe('Where the keys are that verify them.'),
    jwks: jsonText.optional().describe('The keys themselves, as JSON text.'),
    audiences: texts.optional().describe('The `aud` of the tokens, one of these.'),
    selector: labels
      .optional()
      .describe('Labels of the pods that look at tokens; without it every pod of the namespace.'),
    required: flag.prefault(true).describe('Refuses requests without a token. A wrong token is refused in any case.'),
    ports: wholes(1, 65535, 'ports')
      .optional()
      .describe(
        "The pods' ports that a token is required on. State them where the pods have ports that do not speak HTTP: those would refuse everything.",
      ),
  })
  .refine(({ jwksUri, jwks }) => oneOf({ jwksUri, jwks }), { error: 'expected exactly one of jwksUri, jwks' })

const externalHost = z.string().regex(/^(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, {
  error: 'a host is a full DNS name such as api.example.com, or *.example.com',
})
const egress = z.strictObject({
  mode: word('registry-only', 'allow-any')
    .optional()
    .describe('`registry-only`: pods reach what the mesh knows and `hosts`, nothing else.'),
  hosts: z
    .record(
      externalHost,
      z.strictObject({
        port: whole(1, 65535).prefault(443).describe('Port there.'),
        protocol: word('tls', 'https', 'http', 'tcp')
          .prefault('tls')
          .describe('What is spoken: `tls` when the application itself encrypts.'),
      }),
    )
    .prefault({})
    .describe('Hosts outside the mesh that pods may call: `api.example.com: {}`.'),
})

const scopeHost = /^(\.|\*|~|[a-z0-9][-a-z0-9]*)\/[*A-Za-z0-9][-.*A-Za-z0-9]*$/
const scope = z.strictObject({
  hosts: textsLike('namespace/host pairs such as ./*, istio-system/*', scopeHost).describe(
    'What the sidecars of the namespace know of, as `namespace/host`; `.` is their own namespace.',
  ),
})

const exposure = z.strictObject({
  port: whole(1, 65535)
    .optional()
    .describe('The port of the Service; without it, that of the same service under `services`, else its only one.'),
  hosts: textsLike(
    'host names such as shop.example.com, *.example.com or *',
    /^(\*|(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$/,
  )
    .prefault(['*'])
    .describe('Host names under which it is reached.'),
  tls: z
    .strictObject({
      secret: objectName.describe('Secret with `tls.crt` and `tls.key`, in the namespace of the gateway.'),
    })
    .optional()
    .describe('HTTPS on port 443.'),
  httpsRedirect: flag
    .optional()
    .describe(
      'Answers plain HTTP with a redirect to HTTPS. With `tls`, port 80 is open only for this. `true` unless told otherwise.',
    ),
  gateway: z
    .string()
    .regex(/^([-a-z0-9]+\/)?[-a-z0-9]+$/, { error: 'expected a name such as ingressgateway, or namespace/name' })
    .prefault('ingressgateway')
    .describe(
      'The label `istio` of the gateway; with `gateway-api`, the Gateway object, as `name` or `namespace/name`.',
    ),
  api: word('istio', 'gateway-api')
    .prefault('istio')
    .describe('`gateway-api` writes an HTTPRoute for a Gateway that is there.'),
})

const telemetry = z.strictObject({
  accessLogs: flag.optional().describe('Whether the sidecars log each request.'),
  tracing: perCent(0).optional().describe('Share of the requests that are traced.'),
})

const portKey = z.string().refine((port) => /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65535, {
  error: 'a port is a number from 1 to 65535',
})
const mode = word('strict', 'permissive', 'disable')
const mtls = orShortForm(
  z.strictObject({
    mode: mode.optional().describe('Mode of the namespace; the same as the word alone.'),
    workloads: z
      .record(
        named('a workload'),
        z.strictObject({
          selector: labels.describe('Labels of the pods.'),
          mode: mode.optional().describe('Their mode; without it that of the namespace.'),
          ports: z.record(portKey, mode).prefault({}).describe('Modes of single ports: `3306: disable`.'),
        }),
      )
      .prefault({})
      .describe('Exceptions by name.'),
  }),
  mode,
  (word) => ({ mode: word, workloads: {} }),
)

/** A version of a service: a subset of it, or a Service of its own. */
export type Version = { by: 'subset' | 'service'; name: string }

const versionOf = (word: string) =>
  orShortForm(
    z
      .strictObject({
        subset: objectName.optional().describe('The same as the word alone.'),
        service: objectName.optional().describe('A Service of its own, instead of a subset.'),
      })
      .refine(oneOf, { error: 'expected exactly one of subset, service' }),
    objectName,
    (subset) => ({ subset }),
  )
    .transform(
      ({ subset, service }): Version =>
        subset !== undefined ? { by: 'subset', name: subset } : { by: 'service', name: service! },
    )
    .prefault(word)

const every = duration.optional().describe("Time between two times that it is asked. Without it the step's interval.")
const inARow = whole(1, 100).prefault(1).describe('How often it must fail in a row to count against the canary.')
const bound = z.number({ error: 'expected a number' })

const query = z
  .strictObject({
    query: text.describe(
      'PromQL that answers one number. `$namespace`, `$service`, `$stable`, `$canary`, `$weight` and `$interval` stand for those of the step.',
    ),
    min: bound.optional().describe('The least that is good.'),
    max: bound.optional().describe('The most that is good.'),
    every,
    failures: inARow,
  })
  .refine(({ min, max }) => min !== undefined || max !== undefined, { error: 'expected min, max, or both' })

const command = z.strictObject({
  run: textsLike('a program and its arguments, such as [node, check.js]', /\S/).describe(
    'Program and arguments; no shell reads them. The environment has `MESH_CANARY_WEIGHT`, `_STEP`, `_SERVICE`, `_STABLE`, `_CANARY` and `_NAMESPACE`.',
  ),
  every,
  timeout: duration.prefault('30s').describe('It is ended after this time, and that counts as failed.'),
  failures: inARow,
})

const hookKinds = [
  'confirm-rollout',
  'pre-rollout',
  'rollout',
  'confirm-promotion',
  'post-rollout',
  'rollback',
  'event',
] as const

const webhook = z.strictObject({
  type: word(...hookKinds)
    .prefault('rollout')
    .describe(
      "When it is asked, in Flagger's words: `confirm-rollout` and `pre-rollout` before the first weight, `rollout` in every step, `confirm-promotion` before the last weight, `post-rollout` at the end, `event` at every change; `rollback` puts the canary back when it answers 2xx.",
    ),
  url: url.describe('Where the payload is posted to; it has the shape of Flagger. Only 2xx passes.'),
  timeout: duration.prefault('10s').describe('How long an answer may take.'),
  retries: whole(0, 100).prefault(0).describe('How often it is asked again at once when there is no answer.'),
  metadata: z
    .record(z.string(), z.string({ error: 'expected a text' }))
    .optional()
    .describe('Texts that are sent along.'),
  every,
  failures: inARow,
})

const prometheus = z
  .strictObject({
    address: url.optional().describe('Its address.'),
    service: z
      .string()
      .regex(/^[-a-z0-9]+\/[-a-z0-9]+:\d+$/, {
        error: 'expected namespace/name:port, such as istio-system/prometheus:9090',
      })
      .optional()
      .describe('A Service in the cluster, as `namespace/name:port`, reached through the API server.'),
    token: text.optional().describe('Bearer token.'),
    timeout: duration.prefault('10s').describe('How long an answer may take; one that takes longer says nothing.'),
    counters: flag
      .prefault(false)
      .describe(
        "Whether the requests are counted by what it holds of the sidecars' counters, instead of asking the sidecars.",
      ),
  })
  .refine(({ address, service }) => oneOf({ address, service }), { error: 'expected exactly one of address, service' })

const guardDefaults = {
  after: 30_000,
  image: 'docker.io/library/node:24-alpine',
  pullPolicy: 'IfNotPresent' as const,
  enabled: true,
}

const relative = orShortForm(
  z.strictObject({
    margin: z
      .number({ error: 'expected a number' })
      .min(1, { error: 'expected a number from 1' })
      .max(100)
      .prefault(1.5)
      .describe("How many times stable's rate is tolerated."),
    latency: flag
      .prefault(true)
      .describe("Whether the share of requests that are slower than stable's p99 is compared as well."),
    enabled: flag.prefault(true).describe('The same as the word alone.'),
  }),
  flag,
  (enabled) => ({ enabled, margin: 1.5, latency: true }),
)

const guard = orShortForm(
  z.strictObject({
    after: duration
      .refine((ms) => ms >= 5_000, { error: 'expected 5s or more' })
      .prefault('30s')
      .describe('How long the run may not be heard of before all traffic is put back.'),
    image: text.prefault('docker.io/library/node:24-alpine').describe('Image with Node.js in which it runs.'),
    pullPolicy: z
      .enum(['IfNotPresent', 'Always', 'Never'], { error: 'expected one of IfNotPresent, Always, Never' })
      .prefault('IfNotPresent')
      .describe('When the node pulls that image.'),
    enabled: flag.prefault(true).describe('The same as `guard: off`, said with `false`.'),
  }),
  durationOrOff,
  (after) => ({ ...guardDefaults, ...(after === 'off' ? { enabled: false } : { after }) }),
)

const canary = z.strictObject({
  service: objectName.describe('The Service whose traffic is moved.'),
  stable: versionOf('v1').describe(
    'Subset that serves now, or `{ service: … }`. A subset not listed under the service means the label `version` of that value.',
  ),
  canary: versionOf('v2').describe('Subset to promote, or `{ service: … }`.'),
  routes: texts
    .optional()
    .describe('Names of the http routes whose weights are moved. Without it every route that splits between the two.'),
  steps: steps
    .prefault([5, 25, 50, 100])
    .describe('Weights of the canary in per cent, rising; or `{ by: 10, to: 50 }`.'),
  until: whole(1, 99).optional().describe('Weight to stop at for now. A later run without it goes on from there.'),
  mirror: z
    .strictObject({
      percent: percentOf('Share of the requests that is copied.'),
      interval: duration.optional().describe("How long it is watched. Without it the steps' interval."),
    })
    .optional()
    .describe('Before the first weight the canary gets copies of the requests; what it answers is dropped.'),
  ab: z
    .strictObject({
      match: routeMatch,
      intervals: whole(1, 1000).prefault(1).describe('How many intervals it is watched.'),
    })
    .optional()
    .describe('Before the first weight the canary gets the requests that match, and no others.'),
  interval: duration
    .prefault('30s')
    .describe('How long each step is watched, from the first request that the canary serves in it.'),
  advance: word('interval', 'early')
    .prefault('interval')
    .describe('`early`: a step ends as soon as every check is certain enough, if that is before its interval.'),
  minInterval: duration.prefault('5s').describe('How long a step is watched at least, with `advance: early`.'),
  pollInterval: duration.prefault('1s').describe('Time between two looks at the evidence.'),
  checks: z
    .strictObject({
      successRate: percentage
        .prefault('99%')
        .describe(
          "Share of the canary's answers that must not be failures: 5xx, no answer, or a gRPC status of a server's error.",
        ),
      p99: duration.optional().describe('99 of 100 requests must be answered within this time.'),
      noWorseThanStable: relative
        .prefault({})
        .describe('Whether the canary must not fail, or be slow, more often than stable does in the same seconds.'),
      falseAlarm: percentage
        .prefault('1%')
        .describe(
          'Chance at most of putting back a canary that meets its limits, over the whole promotion and all these checks together.',
        ),
      minRequests: whole(0, 1_000_000)
        .prefault(10)
        .describe('Requests that the canary must have served in a step before the step can pass.'),
      queries: z
        .record(named('a query'), query)
        .prefault({})
        .describe('Numbers that Prometheus must answer within bounds, by name.'),
      commands: z.record(named('a command'), command).prefault({}).describe('Programs that must end with 0, by name.'),
    })
    .prefault({})
    .describe('What the canary is held to.'),
  prometheus: prometheus.optional().describe('Where Prometheus is, for `queries`, and for the counters where asked.'),
  webhooks: z.record(named('a webhook'), webhook).prefault({}).describe('Services that have a say, by name.'),
  load: z
    .strictObject({
      path: pathPrefix.prefault('/').describe('What is asked for.'),
      host: text.optional().describe('Host header; without it the first host under which the service is exposed.'),
      rate: whole(1, 10_000).optional().describe('Requests a second at most. Without it what the checks need.'),
    })
    .optional()
    .describe('Requests of our own through the ingress gateway, where users send too few to judge by.'),
  clients: texts
    .optional()
    .describe("Namespaces beside the application's whose pods call the service; their sidecars are asked too."),
  maxPods: whole(1, 10_000).prefault(50).describe('Pods of each kind whose sidecars are asked; of more, a sample.'),
  onFail: word('rollback', 'hold').prefault('rollback').describe('What happens to the weight when a check fails.'),
  onInconclusive: word('rollback', 'hold', 'promote')
    .prefault('rollback')
    .describe('What happens when a step saw too little evidence to pass.'),
  onCancel: word('rollback', 'hold')
    .prefault('rollback')
    .describe('What happens to the weight when the run is cancelled. Held, a later run goes on from there.'),
  onDrift: word('fail', 'take-over')
    .prefault('fail')
    .describe(
      'What happens when somebody else changes the weights or the routes in the middle: `fail` puts the canary back; `take-over` writes the weights again, three times at most.',
    ),
  guard: guard
    .prefault({})
    .describe(
      'The Job in the namespace that puts all traffic back when the run is gone for so long; `off` for none: then a runner that dies in the middle leaves the weights as they are.',
    ),
  leaseWaitTimeout: durationOrNone
    .prefault('0s')
    .describe(
      'How long to wait while another run promotes the same service; then this one fails and says whose it is.',
    ),
  progressDeadline: duration
    .prefault('2m')
    .describe(
      'How long the canary and the guard may take to become ready, a step may wait for evidence beyond its interval, and a write is tried again while the API server does not take it.',
    ),
  confirmTimeout: duration.prefault('1h').describe('How long the hooks that confirm may take to say yes.'),
  after: word('keep', 'adopt')
    .prefault('keep')
    .describe(
      "After the last step: `keep` the weights as they are; `adopt`: stable's Deployment gets the canary's pod template and the traffic, and the canary is scaled to 0.",
    ),
  explain: flag
    .prefault(false)
    .describe('Shows at each look what every check has counted, how strong its evidence is, and what it says.'),
  wave: whole(1, 100)
    .prefault(1)
    .describe('Of several canaries those of one wave move together, and the next wave begins when they are promoted.'),
  metrics: z
    .strictObject({
      requests: text.prefault('istio_requests_total').describe('Counter of requests at the sidecars.'),
      duration: text
        .prefault('istio_request_duration_milliseconds')
        .describe('Histogram of request durations at the sidecars.'),
    })
    .prefault({})
    .describe('Names under which the sidecars publish their metrics.'),
})

/** The name of a run that has none: inputs alone. */
export const unnamed = 'inputs'

export const schema = z.strictObject({
  name: objectName
    .prefault(unnamed)
    .describe(
      'Whose objects are pruned together. Without it: the path of the config file. With inputs alone and no name nothing is pruned.',
    ),
  namespace: objectName.prefault('default').describe('Namespace of the application.'),
  kubeconfig: text
    .optional()
    .describe(
      'Path of a kubeconfig, or its content. Without it: `KUBECONFIG`, `~/.kube/config`, or the service account of the pod.',
    ),
  cluster: cluster
    .optional()
    .describe('A cluster to make and use, instead of `kubeconfig`: `kind`, or a map with `type: kind`.'),
  context: text.optional().describe('Context of the kubeconfig to use.'),
  stages: listOf(`stages out of ${stageNames.join(', ')}`, (item) => stageNames.find((name) => name === item), {
    enum: stageNames,
  })
    .optional()
    .describe('Stages to run. Without it, those that the other inputs ask for.'),
  istio: istio.optional().describe('The control plane to install.'),
  workloads: workloads
    .optional()
    .describe(
      'Workloads that get a sidecar, restarted in this order and only if they lack it; `all` for every one in the namespace.',
    ),
  mtls: mtls
    .optional()
    .describe('Mutual TLS: `strict`, `permissive` or `disable` for the namespace, or a map with exceptions.'),
  services: z.record(named('a service'), service).optional().describe('Traffic policies by service.'),
  authorization: authorization.optional().describe('Who may call what.'),
  jwt: z.record(named('a token policy'), jwt).optional().describe('JSON Web Tokens that requests carry, by name.'),
  egress: egress.optional().describe('What pods may call outside the mesh.'),
  scope: scope.optional().describe('What the sidecars know of; less is cheaper.'),
  expose: z
    .record(named('a service'), exposure)
    .optional()
    .describe('Services that are reached from outside, through a gateway.'),
  telemetry: telemetry.optional().describe('Access logs and tracing of the namespace.'),
  policies: texts
    .optional()
    .describe('Your own manifests, as file patterns: `mesh/**/*.yaml`. They go the same way as what is compiled.'),
  verify: z
    .strictObject({
      timeout: duration.prefault('3m').describe('How long pods may take to be ready with their sidecar.'),
      trafficChecks: flag.prefault(false).describe('Also shows by traffic that the policies are in force.'),
    })
    .prefault({})
    .describe('What must be true at the end.'),
  canary: canary.optional().describe('The promotion.'),
  canaries: z
    .array(canary)
    .min(1, { error: 'expected at least one' })
    .optional()
    .describe('Promotions of several services at once, instead of `canary`.'),
  together: flag
    .prefault(true)
    .describe('When one of several canaries is put back, the others are put back as well, those of earlier waves too.'),
  limits: z
    .strictObject({
      request: duration.prefault('15s').describe('How long the API server may take over one request.'),
      credentials: duration.prefault('30s').describe("How long the kubeconfig's program for credentials may take."),
      istioctl: duration.prefault('10m').describe('How long istioctl may run beyond what it is told to wait itself.'),
      download: duration.prefault('5m').describe('How long the download of istioctl or kind may take.'),
      kind: duration.prefault('10m').describe('How long one command of kind may take, making the cluster above all.'),
    })
    .prefault({})
    .describe('How long others may take, where no other key says so.'),
  cache: flag
    .prefault(true)
    .describe(
      'Whether what is downloaded is kept for later jobs in the cache of GitHub Actions, where the runner has one; it is verified again when it comes from there.',
    ),
  token: text
    .optional()
    .describe(
      "Token for GitHub's API, which is asked for the list of releases when the version is a range; without it the API answers few times an hour. It is sent nowhere else.",
    ),
  dryRun: flag.prefault(false).describe('Shows what would be done and changes nothing.'),
  report: text
    .optional()
    .describe('Where the JSON report is written. Without it: a file in the temporary folder of the runner.'),
})

export type Config = Readonly<z.infer<typeof schema>>
export type ServicePolicy = NonNullable<Config['services']>[string]
export type HttpMatch = NonNullable<ServicePolicy['routes']>[number]['match']
export type Exposure = NonNullable<Config['expose']>[string]
export type CanaryConfig = NonNullable<Config['canary']>
export type ClusterConfig = NonNullable<Config['cluster']>
export type IstioConfig = NonNullable<Config['istio']>
