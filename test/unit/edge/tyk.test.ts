// The section `edge` against a stand-in for Tyk (test/tyk.ts), and a server that answers as the ingress gateway does.
import { describe, expect, onTestFinished, test } from 'vitest'
import { secretsInConfig } from '../../../src/config/secrets.ts'
import { stagesOf } from '../../../src/config/stages.ts'
import { applyTyk, planTyk } from '../../../src/edge/tyk/plan.ts'
import { judge } from '../../../src/edge/tyk/proof.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { edge, edgeClusterFaults, edgeRemoval, planEdge } from '../../../src/stages/edge.ts'
import { uninstall } from '../../../src/stages/uninstall.ts'
import { startTyk, tykKey, type TykOptions, type TykStandIn } from '../../tyk.ts'
import { configOf, refusal, serve } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

const expose = 'expose: { frontend: { port: 3000, hosts: [shop.example.com] } }'

/** An ingress gateway that knows one host. */
const gateway = () =>
  serve(({ headers, url }, response) => {
    const isKnown = headers.host?.split(':')[0] === 'shop.example.com'
    const fromApp = isKnown ? { 'x-envoy-upstream-service-time': '3' } : {}
    response.writeHead(isKnown ? (url === '/broken' ? 500 : 200) : 404, { server: 'istio-envoy', ...fromApp }).end(url)
  })

async function setUp(more = '', options: TykOptions & { target?: string } = {}) {
  const tyk = await startTyk('secret', options)
  onTestFinished(() => void tyk.server.close())
  const address = options.target ?? (await gateway()).address
  const context = (changed = '', uid: string | undefined = 'u1', target = address) =>
    contextFor(tyk, target, `${more}${changed}`, uid)
  return { tyk, context, live: () => [...tyk.stored.values()][0]! }
}

/** `uid`: of the namespace; empty if there is none. */
function contextFor(tyk: TykStandIn, target: string, more: string, uid: string) {
  const lines: string[] = []
  const line = (text: string) => void lines.push(text)
  const config = configOf(
    `name: shop\nnamespace: shop\n${expose}\nedge: { tyk: { url: "${tyk.url}", secret: secret, target: "${target}"${more} } }`,
  )
  const host = { signal: new AbortController().signal, info: line, warning: line }
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const namespace = uid === '' ? undefined : { metadata: { name: 'shop', uid } }
  const cluster = { get: () => Promise.resolve(namespace) }
  return { cluster, config, recorder, host, lines } as unknown as StageContext & { lines: string[] }
}

describe('the API in Tyk', () => {
  test('is planned, created and proved; a second run changes nothing', async () => {
    const { tyk, context } = await setUp(', keyless: true, listenPath: /shop/')
    expect(await planEdge(context())).toBe(true)
    expect(tyk.stored.size).toBe(0)
    const first = context()
    expect(await edge(first)).toEqual({ changed: true })
    expect(first.recorder.current()).toMatchObject({
      plan: [{ kind: 'Tyk API', name: 'shop frontend (mesh-canary)', action: 'create' }],
      changes: [{ action: 'created' }],
      trafficChecks: [
        {
          what: 'edge',
          ok: true,
          text: expect.stringMatching(
            /^GET \/shop\/ for shop\.example\.com through .*: 200, from an application behind this API of Tyk and an Envoy$/,
          ) as string,
        },
      ],
    })
    const second = context()
    expect(await edge(second)).toEqual({ changed: false })
    expect(second.recorder.current().changes).toEqual([])
  })

  test('returns to what the config says, and keeps what others have set in Tyk', async () => {
    const { tyk, context } = await setUp(', keyless: true')
    await edge(context())
    const [definition] = tyk.stored.values()
    Object.assign(definition!, { global_rate_limit: { rate: 5, per: 1 } })
    definition!.proxy.target_url = 'http://elsewhere.example'
    definition!.proxy.preserve_host_header = false
    const drifted = context()
    await edge(drifted)
    expect(drifted.recorder.current().plan![0]!.diff).toEqual(
      expect.arrayContaining(['- proxy.preserve_host_header: false', '+ proxy.preserve_host_header: true']) as string[],
    )
    expect([...tyk.stored.values()][0]).toMatchObject({ global_rate_limit: { rate: 5, per: 1 } })
  })

  test('asks users for a key unless the config opens it, and leaves that to Tyk later', async () => {
    const { tyk, context } = await setUp(`, proof: { key: ${tykKey} }`)
    await edge(context())
    const [definition] = tyk.stored.values()
    expect(definition!.use_keyless).toBe(false)
    definition!.use_keyless = true
    expect(await edge(context())).toEqual({ changed: false })
    expect(await edge(context(', keyless: false'))).toEqual({ changed: true })
  })

  test('is removed by `enabled: false`, and by uninstall', async () => {
    const { tyk, context } = await setUp(', keyless: true')
    await edge(context())
    expect(await edge(context(', enabled: false'))).toEqual({ changed: true })
    expect({ stored: tyk.stored.size, loaded: tyk.loaded }).toEqual({ stored: 0, loaded: [] })
    expect(await edge(context(', enabled: false'))).toEqual({ changed: false })
    await edge(context())
    const remove = await edgeRemoval(context())
    expect(tyk.stored.size).toBe(1)
    expect(await remove()).toEqual(['Tyk API shop frontend (mesh-canary)'])
    expect(tyk.stored.size).toBe(0)
  })

  test.each<[string, string, RegExp]>([
    ['with a wrong key', ', proof: { key: other }', /403: Tyk refuses the request; the key has no access/],
    [
      'to an application that fails',
      ', keyless: true, proof: { path: /broken }',
      /500, from an application behind this API of Tyk and an Envoy; the new API was removed again$/,
    ],
  ])('fails if the proof does, %s, and leaves nothing behind', async (_, more, message) => {
    const { context, tyk } = await setUp(more)
    const failed = context()
    await expect(edge(failed, 0)).rejects.toThrow(message)
    expect({ stored: tyk.stored.size, loaded: tyk.loaded }).toEqual({ stored: 0, loaded: [] })
    expect(failed.recorder.current().changes).toEqual([])
  })

  test.each<[string, TykOptions]>([
    ['at once', {}],
    ['after it has said that it has', { reloadMs: 300 }],
    ['at once, and answers from its cache', { caches: true }],
  ])('is as before if it does not reach its new target, in a Tyk that reloads %s', async (_, options) => {
    const { context, live, tyk } = await setUp(', keyless: true', options)
    await edge(context())
    const before = structuredClone(live())
    await expect(edge(context('', 'u1', 'http://127.0.0.1:9'), 1_500)).rejects.toThrow(
      /Tyk does not reach the ingress gateway at `edge\.tyk\.target`; the definition from before was written back$/,
    )
    expect(live()).toEqual(before)
    await expect.poll(() => tyk.loaded).toEqual([before])
  })

  test('is proved by the definition of now, once a slow Tyk has loaded it', async () => {
    const { context, tyk, live } = await setUp(', keyless: true', { reloadMs: 300 })
    await edge(context())
    const other = await gateway()
    await edge(context('', 'u1', other.address))
    expect(tyk.loaded).toEqual([live()])
    expect(live().proxy.target_url).toBe(other.address)
  })

  test('is loaded by the next run if one died before the reload', async () => {
    const { context, tyk } = await setUp(', keyless: true')
    await edge(context())
    tyk.loaded = []
    expect(await edge(context())).toEqual({ changed: false })
    expect(tyk.loaded).toHaveLength(1)
  })

  test('is found again in a namespace or a cluster that was created anew, also to remove it', async () => {
    const { context, tyk } = await setUp(', keyless: true')
    await edge(context())
    const [id] = tyk.stored.keys()
    await edge(context('', 'u2'))
    expect([...tyk.stored.keys()]).toEqual([id])
    expect(await edge(context('', 'u2'))).toEqual({ changed: false })
    expect(await (await edgeRemoval(context('', '')))()).toEqual(['Tyk API shop frontend (mesh-canary)'])
    expect(tyk.stored.size).toBe(0)
  })

  test('follows a changed path, but is left alone by the same config in another cluster', async () => {
    const { context, tyk, live } = await setUp(', keyless: true')
    await edge(context(', listenPath: /old/'))
    await edge(context(', listenPath: /new/'))
    expect([...tyk.stored.values()].map(({ proxy }) => proxy.listen_path)).toEqual(['/new/'])
    const other = [', listenPath: /new/', 'u2', 'http://gateway.of.the.other'] as const
    const fault = expect.stringContaining('this config has made it for another cluster or namespace') as string
    expect(await edgeClusterFaults(context(...other))).toEqual([fault])
    const disabled = context(`${other[0]}, enabled: false`, other[1], other[2])
    expect(await edgeClusterFaults(disabled)).toEqual([])
    expect(await edge(disabled)).toEqual({ changed: false })
    expect(await (await edgeRemoval(context(...other)))()).toEqual([])
    expect(disabled.recorder.current().warnings).toEqual([fault])
    expect(live().proxy.listen_path).toBe('/new/')
  })

  test('stays while an uninstall is refused', async () => {
    const { tyk } = await setUp()
    const istiod = (revision: string) => ({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: {
        name: `istiod-${revision}`,
        namespace: 'istio-system',
        creationTimestamp: '2026-11-30T07:00:00Z',
        labels: { app: 'istiod', 'istio.io/rev': revision },
      },
      spec: { template: { spec: { containers: [{ name: 'discovery', image: 'pilot:1.31.0' }] } } },
    })
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', uid: 'u1' } }
    const { cluster } = recordingCluster([namespace, istiod('a'), istiod('b')])
    const config = configOf(
      `name: shop\nnamespace: shop\nstages: [uninstall]\nistio: { version: 1.31.0, takeOver: true }\n${expose}\n` +
        `edge: { tyk: { url: "${tyk.url}", secret: secret, keyless: true } }`,
    )
    await applyTyk(await planTyk(cluster, config))
    const context = { ...contextFor(tyk, tyk.url, '', ''), config, cluster }
    await expect(uninstall(context)).rejects.toThrow('the cluster has several control planes (a, b)')
    expect(tyk.stored.size).toBe(1)
  })

  test('is not mistaken for a copy that somebody has made of it in Tyk', async () => {
    const { context, tyk, live } = await setUp(', keyless: true')
    await edge(context())
    const { api_id: id, proxy } = live()
    const copy = {
      ...structuredClone(live()),
      api_id: 'copy',
      name: 'a trial',
      proxy: { ...proxy, listen_path: '/try' },
    }
    tyk.stored = new Map([['copy', structuredClone(copy)], ...tyk.stored])
    expect(await edge(context())).toEqual({ changed: false })
    await edge(context(', listenPath: /new/'))
    expect(await (await edgeRemoval(context(', listenPath: /other/')))()).toEqual([
      'Tyk API shop frontend (mesh-canary)',
    ])
    expect([...tyk.stored.values()]).toEqual([copy])
    expect(tyk.stored.has(id)).toBe(false)
  })

  test('does not return to what somebody else has made of it when the application fails', async () => {
    let status = 200
    const { address } = await serve((_, response) =>
      response.writeHead(status, status < 500 ? { 'x-envoy-upstream-service-time': '3' } : {}).end(),
    )
    const { context, live } = await setUp(', keyless: true', { target: address })
    await edge(context())
    live().proxy.target_url = 'http://elsewhere.example'
    status = 503
    await expect(edge(context(), 0)).rejects.toThrow(
      'the definition stays, because the config asked for the same before',
    )
    expect(live().proxy.target_url).toBe(address)
  })

  test('needs a key for its proof before anything is written', async () => {
    const { context, tyk } = await setUp()
    expect(await edgeClusterFaults(context())).toEqual([
      'edge.tyk.proof.key: a new API asks users for a key, and without one the request that proves the way to the application is refused; ' +
        'set a key with access to it (before it exists: to all APIs), or `keyless: true`',
    ])
    expect(tyk.stored.size).toBe(0)
  })

  test('is written although Tyk closes connections', async () => {
    const { context } = await setUp(', keyless: true', { resets: 2 })
    expect(await edge(context())).toEqual({ changed: true })
  })

  test('shows no password that somebody has written into its target', async () => {
    const { context, live } = await setUp(', keyless: true')
    await edge(context())
    live().proxy.target_url = 'http://user:hunter2@elsewhere.example'
    const drifted = context()
    await edge(drifted)
    expect(drifted.recorder.current().plan![0]!.diff).toContain('- proxy.target_url: http://***@elsewhere.example')
    expect(JSON.stringify([drifted.lines, drifted.recorder.current()])).not.toContain('hunter2')
  })

  test('is refused before anything changes if another API has the path, and if Tyk refuses or does not answer', async () => {
    const { tyk, context } = await setUp(', keyless: true')
    expect(await edgeClusterFaults(context())).toEqual([])
    const other = { api_id: 'x', name: 'Other', active: true, use_keyless: true, version_data: { versions: {} } }
    tyk.stored.set('x', { ...other, proxy: { listen_path: '/', strip_listen_path: true, target_url: 'http://a' } })
    expect(await edgeClusterFaults(context())).toEqual([
      'edge.tyk.listenPath: the API Other (x) of this Tyk listens at /, too; choose another path or `domain`, or remove that API',
    ])
    expect(await edgeClusterFaults(context(', listenPath: /shop/'))).toEqual([])
    expect(await edgeClusterFaults(context(', api: "http://127.0.0.1:9"'))).toEqual([
      expect.stringContaining('edge.tyk.api: http://127.0.0.1:9 does not answer'),
    ])
    const wrong = context()
    const { config } = wrong
    const stranger = { ...config, edge: { tyk: { ...config.edge!.tyk, secret: 'other' } } }
    expect(await edgeClusterFaults({ ...wrong, config: stranger })).toEqual([
      expect.stringContaining('edge.tyk.secret: '),
    ])
  })
})

describe('the proof', () => {
  const asked = { url: 'http://tyk', path: '/', host: 'shop.example.com', mark: 'our-mark', key: undefined }

  test('is none if the answer does not come through our definition, or not from the application', () => {
    const fromApp = { 'x-envoy-upstream-service-time': '1' }
    expect(judge(asked, { status: 200, headers: { ...fromApp, 'x-mesh-canary-edge': 'our-mark' } }).ok).toBe(true)
    expect(judge(asked, { status: 200, headers: fromApp }).text).toContain('not through this API of Tyk as it is now')
    expect(judge(asked, { status: 200, headers: { ...fromApp, 'x-mesh-canary-edge': 'other' } }).ok).toBe(false)
    expect(judge(asked, { status: 200, headers: { 'x-mesh-canary-edge': 'our-mark' } }).text).toContain('nothing shows')
    expect(judge(asked, { problem: 'ECONNREFUSED' }).text).toBe('nothing answers at http://tyk (ECONNREFUSED)')
  })
})

describe('the section edge', () => {
  const tyk = (keys: string) => `${expose}\nedge: { tyk: { url: "https://api.example.com", secret: s, ${keys} } }`

  test('runs a stage of its own after the policies, and its secrets are secrets', () => {
    const config = configOf(tyk('proof: { key: k-of-a-test }'))
    expect(stagesOf(config)).toEqual(['policies', 'verify', 'edge'])
    expect(secretsInConfig(config)).toEqual(expect.arrayContaining(['s', 'k-of-a-test']))
  })

  test('may name a definition to remove without a way to the application', () => {
    expect(configOf('edge: { tyk: { url: "https://a", secret: s, enabled: false } }').edge!.tyk.enabled).toBe(false)
  })

  test.each<[string, string]>([
    ['edge: { tyk: { url: "https://a", secret: s } }', 'edge.tyk.service: `expose` has no service; name one'],
    [tyk('service: backend'), 'edge.tyk.service: backend is not exposed: `expose` has frontend'],
    [
      tyk('target: "https://gateway.example"'),
      'edge.tyk.target: the gateway has no certificate for gateway.example; use one of the exposed hosts: shop.example.com',
    ],
    [
      'expose: { frontend: { hosts: [a.example], tls: { secret: c } } }\nedge: { tyk: { url: "https://a", secret: s } }',
      'edge.tyk.target: no address is known at which Tyk reaches this gateway',
    ],
    [
      'expose: { frontend: { hosts: [a.example], tls: { secret: c } } }\nedge: { tyk: { url: "https://a", secret: s, target: "http://a" } }',
      'edge.tyk.target: the gateway redirects plain HTTP to HTTPS; write an https address',
    ],
    [tyk('listenPath: shop'), 'edge.tyk.listenPath'],
    [tyk('listenPath: //evil.example/'), 'edge.tyk.listenPath: expected a path such as /shop/'],
    [tyk('listenPath: /a?b'), 'edge.tyk.listenPath: expected a path such as /shop/'],
    [tyk('domain: other.example'), 'edge.tyk.domain: the gateway has no route for other.example'],
    [tyk('proof: { key: "a\\nb" }'), 'edge.tyk.proof.key'],
    [tyk('domain: "*.example.com"'), 'expected a host name such as shop.example.com'],
    ['edge: { kong: {} }', 'edge.kong'],
    ['edge: { tyk: { url: "https://u:p@a", secret: s } }', 'edge.tyk.url'],
  ])('%s is refused', (yaml, message) => {
    expect(refusal(yaml)).toContain(message)
  })
})
