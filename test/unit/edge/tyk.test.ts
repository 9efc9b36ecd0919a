// The section `edge` against a stand-in for Tyk (test/tyk.ts), and a server that answers as the ingress gateway does.
import { describe, expect, onTestFinished, test } from 'vitest'
import { secretsInConfig } from '../../../src/config/secrets.ts'
import { stagesOf } from '../../../src/config/stages.ts'
import { judge } from '../../../src/edge/tyk/proof.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { edge, edgeClusterFaults, edgeRemoval, planEdge } from '../../../src/stages/edge.ts'
import { startTyk, tykKey, type TykStandIn } from '../../tyk.ts'
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

async function setUp(more = '', target?: string) {
  const tyk = await startTyk('secret')
  onTestFinished(() => void tyk.server.close())
  const address = target ?? (await gateway()).address
  return { tyk, context: (changed = '') => contextFor(tyk, address, `${more}${changed}`) }
}

function contextFor(tyk: TykStandIn, target: string, more: string) {
  const lines: string[] = []
  const line = (text: string) => void lines.push(text)
  const config = configOf(
    `name: shop\nnamespace: shop\n${expose}\nedge: { tyk: { url: "${tyk.url}", secret: secret, target: "${target}"${more} } }`,
  )
  const host = { signal: new AbortController().signal, info: line, warning: line }
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const { cluster } = recordingCluster([])
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
            /^GET \/shop\/ for shop\.example\.com through .*: 200, from the application$/,
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
    ['without a key', '', /401: Tyk refuses the request; set `edge\.tyk\.proof\.key`/],
    ['with a wrong key', ', proof: { key: other }', /403: Tyk refuses the request; the key has no access/],
    ['to an application that fails', ', keyless: true, proof: { path: /broken }', /500, from the application$/],
    [
      'for a host that is not exposed',
      ', keyless: true, domain: other.example',
      /no route for the host other\.example/,
    ],
  ])('fails if the proof does, %s', async (_, more, message) => {
    const { context } = await setUp(more)
    await expect(edge(context(), 0)).rejects.toThrow(message)
  })

  test('fails if Tyk does not reach the gateway', async () => {
    const { context } = await setUp(', keyless: true', 'http://127.0.0.1:9')
    await expect(edge(context(), 0)).rejects.toThrow('Tyk does not reach the ingress gateway at `edge.tyk.target`')
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
  const asked = { url: 'http://tyk', path: '/', host: 'shop.example.com', id: 'our-api', key: undefined }

  test('is none if the answer does not come through our definition, or not from the application', () => {
    const fromApp = { 'x-envoy-upstream-service-time': '1' }
    expect(judge(asked, { status: 200, headers: { ...fromApp, 'x-mesh-canary-edge': 'our-api' } }).ok).toBe(true)
    expect(judge(asked, { status: 200, headers: fromApp }).text).toContain('not through this API of Tyk')
    expect(judge(asked, { status: 200, headers: { ...fromApp, 'x-mesh-canary-edge': 'other' } }).ok).toBe(false)
    expect(judge(asked, { status: 200, headers: { 'x-mesh-canary-edge': 'our-api' } }).text).toContain('nothing shows')
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
    [tyk('domain: "*.example.com"'), 'expected a host name such as shop.example.com'],
    ['edge: { kong: {} }', 'edge.kong'],
    ['edge: { tyk: { url: "https://u:p@a", secret: s } }', 'edge.tyk.url'],
  ])('%s is refused', (yaml, message) => {
    expect(refusal(yaml)).toContain(message)
  })
})
