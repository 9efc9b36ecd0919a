// The section `edge` against a stand-in for Tyk (test/tyk.ts), and a server that answers as the ingress gateway does.
import { describe, expect, onTestFinished, test } from 'vitest'
import { secretsInConfig } from '../../../src/config/secrets.ts'
import { stagesOf } from '../../../src/config/stages.ts'
import { applyTyk } from '../../../src/edge/tyk/apply.ts'
import { planTyk } from '../../../src/edge/tyk/plan.ts'
import { judge } from '../../../src/edge/tyk/probe.ts'
import { countChanges } from '../../../src/report/count-changes.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { edge, edgeClusterFaults, edgeRemoval, planEdge } from '../../../src/stages/edge.ts'
import { startTyk, tykKey, type TykOptions, type TykStandIn } from '../../tyk.ts'
import { configOf, refusal, serve } from '../fixtures.ts'

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

/** Somebody has written another target, and the application fails now. `address`: the target that has worked. */
async function changedBeforeOutage() {
  let status = 200
  const { address } = await serve((_, response) =>
    response.writeHead(status, { 'x-envoy-upstream-service-time': '3' }).end(),
  )
  const { context, live, tyk } = await setUp(', keyless: true', { target: address })
  await edge(context())
  live().proxy.target_url = 'http://elsewhere.example'
  tyk.load()
  status = 503
  return { context, live, address }
}

describe('the API in Tyk', () => {
  test('is planned, created and verified; a second run changes nothing', async () => {
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
    tyk.load()
    const drifted = context()
    await edge(drifted)
    expect(drifted.recorder.current().plan![0]!.diff).toEqual(
      expect.arrayContaining(['- proxy.preserve_host_header: false', '+ proxy.preserve_host_header: true']) as string[],
    )
    expect([...tyk.stored.values()][0]).toMatchObject({ global_rate_limit: { rate: 5, per: 1 } })
  })

  test('asks users for a key unless the config opens it, and leaves that to Tyk later', async () => {
    const { tyk, context } = await setUp(`, probe: { key: ${tykKey} }`)
    await edge(context())
    const [definition] = tyk.stored.values()
    expect(definition!.use_keyless).toBe(false)
    definition!.use_keyless = true
    tyk.load()
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
    ['with a wrong key', ', probe: { key: other }', /403: Tyk refuses the request; the key has no access/],
    [
      'to an application that fails',
      ', keyless: true, probe: { path: /broken }',
      /500, from an application behind this API of Tyk and an Envoy; the new API was removed again$/,
    ],
  ])('fails if the probe does, %s, and leaves nothing behind', async (_, more, message) => {
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
  ])('is restored if it does not reach its new target, in a Tyk that reloads %s', async (_, options) => {
    const { context, live, tyk } = await setUp(', keyless: true', options)
    await edge(context())
    await expect.poll(() => tyk.loaded).toEqual([live()])
    const { target_url: before } = live().proxy
    await expect(edge(context('', 'u1', 'http://127.0.0.1:9'), 1_500)).rejects.toThrow(
      /Tyk does not reach the ingress gateway at `edge\.tyk\.target`; restored the path, domain and target that last worked$/,
    )
    expect(live().proxy.target_url).toBe(before)
    await expect.poll(() => tyk.loaded).toEqual([live()])
    expect(await edge(context())).toEqual({ changed: false })
  })

  test('returns to the routing that was last verified, although the run that has left it died before its own probe', async () => {
    const { context, live } = await setUp(', keyless: true')
    await edge(context())
    const { target_url: before } = live().proxy
    const broken = context('', 'u1', 'http://127.0.0.1:9')
    await applyTyk(await planTyk(broken.cluster, broken.config))
    await expect(edge(broken, 0)).rejects.toThrow('restored the path, domain and target that last worked')
    expect(live().proxy.target_url).toBe(before)
  })

  test('does not return to a target that somebody else has written, when the application fails for a moment', async () => {
    const { context, live, address } = await changedBeforeOutage()
    await expect(edge(context(), 0)).rejects.toThrow(
      /503.*; the API stays as the config says, because users have reached the application this way before$/,
    )
    expect(live().proxy.target_url).toBe(address)
  })

  describe('that somebody changes in Tyk while the run probes it', () => {
    /** `during`: what happens before the application answers the next request. */
    async function probed(more: string) {
      const state = { status: 200, during: () => undefined as void }
      const { address } = await serve((_, response) => {
        state.during()
        state.during = () => undefined
        made.tyk.load()
        response.writeHead(state.status, { 'x-envoy-upstream-service-time': '3' }).end()
      })
      const limit = { use_keyless: false, global_rate_limit: { rate: 5, per: 1 } }
      const made = await setUp(more, { target: address })
      return { ...made, state, limit }
    }
    const atOther = (address: string) => address.replace('127.0.0.1', 'localhost')

    test('stays so after a success', async () => {
      const { context, live, state, limit, tyk } = await probed(`, probe: { key: ${tykKey} }`)
      await edge(context())
      live().use_keyless = true
      tyk.load()
      state.during = () => void Object.assign(live(), limit)
      const changed = context('', 'u1', atOther(live().proxy.target_url))
      await edge(changed)
      expect(live()).toMatchObject(limit)
      expect(live().proxy.target_url).toContain('localhost')
      expect(await edge(context('', 'u1', live().proxy.target_url))).toEqual({ changed: false })
    })

    test('stays so when the run returns to the routing from before', async () => {
      const { context, live, state, limit } = await probed(', keyless: true')
      await edge(context())
      const { target_url: before } = live().proxy
      Object.assign(state, { status: 503, during: () => void Object.assign(live(), limit, { active: false }) })
      const failed = context('', 'u1', atOther(before))
      await expect(edge(failed, 0)).rejects.toThrow('restored the path, domain and target that last worked')
      expect(live()).toMatchObject({ ...limit, active: false, proxy: { target_url: before } })
      expect(failed.recorder.current().changes).toEqual([])
    })

    test('says what stays after a probe that fails', async () => {
      const { context, live, state } = await probed(`, probe: { key: ${tykKey} }`)
      await edge(context())
      const { target_url: before } = live().proxy
      state.status = 503
      const failed = context(', keyless: true', 'u1', atOther(before))
      await expect(edge(failed, 0)).rejects.toThrow(/last worked; these stay as the config says: .*use_keyless/)
      expect(failed.recorder.current().changes).toHaveLength(1)
    })

    test('is not led elsewhere', async () => {
      const { context, live, state } = await probed(', keyless: true')
      await edge(context())
      const next = atOther(live().proxy.target_url)
      Object.assign(state, { status: 503, during: () => void (live().proxy.target_url = 'http://repaired.example') })
      await expect(edge(context('', 'u1', next), 0)).rejects.toThrow(
        'somebody has changed its routing in Tyk meanwhile',
      )
      expect(live().proxy.target_url).toBe('http://repaired.example')
    })

    test.each<[string, number, (tyk: TykStandIn) => void, string]>([
      ['is removed', 200, ({ stored }) => stored.clear(), 'is not in Tyk any more'],
      ['is removed', 503, ({ stored }) => stored.clear(), 'it is not known what Tyk serves'],
      ...[200, 503].map((status): [string, number, (tyk: TykStandIn) => void, string] => [
        'is taken over by somebody else',
        status,
        ({ stored }) => stored.forEach((each) => (each.config_data = {})),
        'is not the one that this run has written',
      ]),
    ])('and that %s is not written again (HTTP %i)', async (_, status, during, text) => {
      const { context, tyk, live, state } = await probed(', keyless: true')
      await edge(context())
      const changed = context('', 'u1', atOther(live().proxy.target_url))
      Object.assign(state, { status, during: () => during(tyk) })
      const problem = await edge(changed, 0, 0).then(() => '', String)
      const after = [...tyk.stored.values()].map(({ config_data: data }) => data)
      expect(after.every((data) => Object.keys(data ?? {}).length === 0)).toBe(true)
      expect(`${problem}${changed.recorder.current().warnings.join('')}`).toContain(text)
    })
  })

  test('counts as changed if it stays after a failed probe', async () => {
    const { context } = await changedBeforeOutage()
    const failed = context()
    await expect(edge(failed, 0)).rejects.toThrow('the API stays as the config says')
    expect(countChanges(failed.recorder.current())).toBe(1)
  })

  test('stays when its place from before is taken', async () => {
    const { context, tyk, live } = await setUp(', keyless: true')
    await edge(context(', listenPath: /old/'))
    const other = { ...live(), api_id: 'x', name: 'Other', config_data: {} }
    tyk.stored.set('x', other)
    tyk.load()
    await expect(edge(context(', listenPath: /new/, probe: { path: /broken }'), 0)).rejects.toThrow(
      'the API stays as it is now, because Other (x) listens at its place from before',
    )
    expect(live().proxy.listen_path).toBe('/new/')
  })

  test('is verified by the definition of now, once a slow Tyk has loaded it', async () => {
    const { context, tyk, live } = await setUp(', keyless: true', { reloadMs: 300 })
    await edge(context())
    const other = await gateway()
    await edge(context('', 'u1', other.address))
    expect(tyk.loaded[0]!.proxy.target_url).toBe(other.address)
    await expect.poll(() => tyk.loaded).toEqual([live()])
  })

  test('is loaded by the next run if one died between its change and the reload', async () => {
    const { context, tyk, live } = await setUp(', keyless: true')
    await edge(context())
    const other = context('', 'u1', (await gateway()).address)
    const { api, definition } = await planTyk(other.cluster, other.config)
    await api.replace(definition)
    expect(await edge(other)).toEqual({ changed: true })
    expect(tyk.loaded).toEqual([live()])
  })

  test('is told to load again what does not answer, as one of several gateways may have missed it', async () => {
    let status = 503
    const { address } = await serve((_, response) => {
      response.writeHead(status, { 'x-envoy-upstream-service-time': '3' }).end()
      status = 200
    })
    const { context } = await setUp(', keyless: true', { target: address })
    await edge(context())
    status = 503
    const next = context()
    expect(await edge(next)).toEqual({ changed: false })
    expect(next.lines).toContainEqual(expect.stringContaining('; so Tyk was told to reload'))
  })

  describe('whose run ends before Tyk has loaded it', () => {
    const nowhere = 'http://127.0.0.1:9'
    const cancelSoon = (of: StageContext) => Object.assign(of.host, { signal: AbortSignal.timeout(100) })

    test('is removed again if it is new', async () => {
      const { context, tyk } = await setUp(', keyless: true', { reloadMs: 500, target: nowhere })
      const cancelled = context()
      cancelSoon(cancelled)
      await expect(edge(cancelled)).rejects.toThrow(/; the new API was removed again$/)
      expect(tyk.stored.size).toBe(0)
      expect(cancelled.recorder.current().changes).toEqual([])
      await expect.poll(() => tyk.loaded).toEqual([])
    })

    test.each<[string, number, (of: StageContext, tyk: TykStandIn) => void]>([
      ['was cancelled', 500, cancelSoon],
      ['could not reload Tyk', 0, (_, tyk) => (tyk.refusedReloads = 1)],
    ])('returns to what users have reached, if the run %s', async (_, reloadMs, disturb) => {
      const { context, tyk, live } = await setUp(', keyless: true', { reloadMs })
      await edge(context())
      await expect.poll(() => tyk.loaded).toEqual([live()])
      const { target_url: before } = live().proxy
      const failed = context('', 'u1', nowhere)
      disturb(failed, tyk)
      await expect(edge(failed)).rejects.toThrow('; restored the path, domain and target that last worked')
      expect(live().proxy.target_url).toBe(before)
      expect(failed.recorder.current().changes).toEqual([])
    })

    test.each<[string, string, (tyk: TykStandIn) => void]>([
      ['new', '', () => undefined],
      ['changed', '', () => undefined],
      ['removed', ', enabled: false', (tyk) => (tyk.refusedReloads = 1)],
    ])('counts as changed if it never does: %s', async (kind, more, disturb) => {
      const { context, tyk } = await setUp(', keyless: true', { reloadMs: 60_000 })
      const first = context()
      const { api, definition } = await planTyk(first.cluster, first.config)
      if (kind !== 'new') await api.create(definition)
      tyk.load()
      disturb(tyk)
      const failed = context(more, 'u1', nowhere)
      await expect(edge(failed, 0, 300)).rejects.toThrow(/; it is not known what Tyk serves$/)
      expect(countChanges(failed.recorder.current())).toBe(1)
    })
  })

  test('that Tyk refuses to write is not undone, and has changed nothing', async () => {
    const { context, tyk } = await setUp(', keyless: true')
    tyk.refusesWrites = true
    const refused = context()
    await expect(edge(refused)).rejects.toThrow(
      /refuses \(HTTP 500: .*whether a Tyk Dashboard owns its API definitions$/,
    )
    expect(countChanges(refused.recorder.current())).toBe(0)
  })

  test('is found again in a namespace or a cluster that was created anew', async () => {
    const { context, tyk } = await setUp(', keyless: true')
    await edge(context())
    const [id] = tyk.stored.keys()
    await edge(context('', 'u2'))
    expect([...tyk.stored.keys()]).toEqual([id])
    expect(await edge(context('', 'u2'))).toEqual({ changed: false })
    expect(await (await edgeRemoval(context('', 'u2')))()).toEqual(['Tyk API shop frontend (mesh-canary)'])
    expect(tyk.stored.size).toBe(0)
  })

  test.each<[string, string | undefined]>([
    ['with the same target', undefined],
    ['with a target of its own', 'http://gateway.of.the.other'],
  ])('of another cluster %s is named, and neither removed nor in the way of a removal', async (_, target) => {
    const { context, tyk } = await setUp(', keyless: true')
    await edge(context())
    const [id] = tyk.stored.keys()
    const stays = `the Tyk API shop frontend (mesh-canary) (${id}) stays, because this config created it for another cluster`
    const disabled = context(', enabled: false', 'u2', target)
    expect(await edgeClusterFaults(disabled)).toEqual([])
    expect(await edge(disabled)).toEqual({ changed: false })
    expect(disabled.lines).toContainEqual(expect.stringContaining(stays))
    const uninstalled = context('', 'u2', target)
    expect(await (await edgeRemoval(uninstalled))()).toEqual([])
    expect(uninstalled.recorder.current().warnings).toEqual([expect.stringContaining(stays)])
    expect(tyk.stored.size).toBe(1)
  })

  test('follows a changed path, but is left alone by the same config in another cluster', async () => {
    const { context, tyk, live } = await setUp(', keyless: true')
    await edge(context(', listenPath: /old/'))
    await edge(context(', listenPath: /new/'))
    expect([...tyk.stored.values()].map(({ proxy }) => proxy.listen_path)).toEqual(['/new/'])
    const fault = expect.stringContaining('this config created it for another cluster or namespace') as string
    const other = context(', listenPath: /new/', 'u2', 'http://gateway.of.the.other')
    expect(await edgeClusterFaults(other)).toEqual([fault])
    expect(live().proxy.listen_path).toBe('/new/')
  })

  test('is not confused with a copy that somebody makes of it in Tyk', async () => {
    const { context, tyk } = await setUp(', keyless: true')
    await edge(context())
    const [id, definition] = [...tyk.stored][0]!
    const copy = { ...structuredClone(definition), api_id: 'copy', name: 'Copy' }
    copy.proxy.listen_path = '/try/'
    tyk.stored.clear()
    tyk.stored.set('copy', copy).set(id, definition)
    tyk.load()
    expect(await edge(context())).toEqual({ changed: false })
    await edge(context(', listenPath: /new/'))
    expect([...tyk.stored.values()].map(({ proxy }) => proxy.listen_path)).toEqual(['/try/', '/new/'])
    await (await edgeRemoval(context()))()
    expect([...tyk.stored.keys()]).toEqual(['copy'])
  })

  test('is written over by the next run if the one that created it died before Tyk loaded it', async () => {
    const { context, tyk } = await setUp(', keyless: true')
    await edge(context())
    const [id] = [...tyk.stored.keys()]
    // Stored, and not loaded: no list shows it.
    const stored = structuredClone(tyk.stored)
    tyk.stored.clear()
    tyk.load()
    stored.forEach((definition, each) => tyk.stored.set(each, definition))
    await edge(context())
    expect([...tyk.stored.keys()]).toEqual([id])
  })

  test('is not chosen if this config has made several for one namespace', async () => {
    const { context, tyk, live } = await setUp(', keyless: true')
    await edge(context(', listenPath: /a/'))
    const copy = { ...structuredClone(live()), api_id: 'copy' }
    Object.assign(copy.proxy, { listen_path: '/b/' })
    Object.values(copy.config_data as object).forEach((mark: object) => Object.assign(mark, { id: 'copy' }))
    tyk.stored.set(copy.api_id, copy)
    tyk.load()
    const ids = [...tyk.stored.keys()].map((id) => `shop frontend (mesh-canary) (${id})`).join(', ')
    expect(await edgeClusterFaults(context())).toEqual([
      `edge.tyk: this config has made several APIs in this Tyk for this namespace: ${ids}; remove all but one of them in Tyk`,
    ])
  })

  test('is shown once by a dry run of the stages plan and edge', async () => {
    const { context } = await setUp(', keyless: true')
    const both = context()
    await planEdge(both)
    await planEdge(both)
    expect(both.recorder.current().plan).toHaveLength(1)
  })

  test('needs a key for its probe before anything is written', async () => {
    const { context, tyk } = await setUp()
    expect(await edgeClusterFaults(context())).toEqual([
      'edge.tyk.probe.key: a new API asks users for a key, and without one the request that probes the way to the application is refused; ' +
        'set a key with access to it (before it exists: to all APIs), or `keyless: true`',
    ])
    expect(tyk.stored.size).toBe(0)
  })

  test('is written although Tyk closes connections', async () => {
    const { context } = await setUp(', keyless: true', { resets: 2 })
    expect(await edge(context())).toEqual({ changed: true })
  })

  test('shows no password that somebody has written into its target', async () => {
    const { context, live, tyk } = await setUp(', keyless: true')
    await edge(context())
    live().proxy.target_url = 'http://user:hunter2@elsewhere.example'
    tyk.load()
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
    tyk.load()
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
      expect.stringMatching(/^edge\.tyk\.secret: .* does not accept the secret \(HTTP 403/),
    ])
    tyk.server.close()
    tyk.server.closeAllConnections()
    expect(await edgeClusterFaults(context())).toEqual([expect.stringMatching(/^edge\.tyk\.url: .* does not answer/)])
  })
})

describe('the probe', () => {
  const asked = { url: 'http://tyk', path: '/', host: 'shop.example.com', mark: 'our-mark', key: undefined }

  test('fails if the answer does not come through our definition, or not from the application', () => {
    const fromApp = { 'x-envoy-upstream-service-time': '1' }
    expect(judge(asked, { status: 200, headers: { ...fromApp, 'x-mesh-canary-edge': 'our-mark' } }).ok).toBe(true)
    expect(judge(asked, { status: 200, headers: fromApp }).text).toContain('not through this API of Tyk as it is now')
    expect(judge(asked, { status: 200, headers: { ...fromApp, 'x-mesh-canary-edge': 'other' } }).ok).toBe(false)
    expect(judge(asked, { status: 200, headers: { 'x-mesh-canary-edge': 'our-mark' } }).text).toContain('nothing shows')
    const atGateway = judge(asked, { status: 404, headers: { server: 'istio-envoy' } })
    expect(atGateway.text).toContain('no route for the host shop.example.com')
    const localReply = judge(asked, {
      status: 503,
      headers: { server: 'istio-envoy', 'x-mesh-canary-edge': 'our-mark' },
    })
    expect(localReply.text).toMatch(/503: the ingress gateway answers, but reaches no ready pod of the application$/)
    expect(judge(asked, { status: 502, headers: {} }).text).toContain('Tyk does not reach the ingress gateway')
    expect(judge(asked, { problem: 'ECONNREFUSED' }).text).toBe('nothing answers at http://tyk (ECONNREFUSED)')
  })
})

describe('the section edge', () => {
  const tyk = (keys: string) => `${expose}\nedge: { tyk: { url: "https://api.example.com", secret: s, ${keys} } }`

  test.each(['domain: a.shop.example.com', 'listenPath: /', 'listenPath: /a/b', 'listenPath: /shop/'])(
    'takes %s',
    (keys) => {
      const yaml = tyk(keys).replace('[shop.example.com]', '["*.shop.example.com", shop.example.com]')
      expect(configOf(yaml).edge!.tyk.enabled).toBe(true)
    },
  )

  test('runs a stage of its own after the policies, and its secrets are secrets', () => {
    const config = configOf(tyk('probe: { key: k-of-a-test }'))
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
    ...['shop', '//', '//evil.example/x', '/a//b', '/\\\\evil.example', '"/a?b"', '"/a#b"'].flatMap(
      (path): [string, string][] => [
        [tyk(`listenPath: ${path}`), 'edge.tyk.listenPath'],
        [tyk(`probe: { path: ${path} }`), 'edge.tyk.probe.path'],
      ],
    ),
    [
      tyk('domain: api.example.com'),
      'edge.tyk.domain: the gateway has no route for api.example.com; use one of the exposed hosts, or expose it: shop.example.com',
    ],
    [
      'expose: { a: { hosts: ["*.shop.example.com"] } }\nedge: { tyk: { url: "https://tyk.example.net", secret: s } }',
      'edge.tyk.domain: the exposed hosts are only *.shop.example.com, and tyk.example.net of `url` is none of them; set the name',
    ],
    [
      tyk('probe: { key: "two\\nlines" }'),
      'edge.tyk.probe.key: a text of 9 characters is invalid: expected a value that fits a header',
    ],
    ['edge: { tyk: { url: "https://a", secret: "s\\n", enabled: false } }', 'edge.tyk.secret: '],
    [tyk('domain: "*.example.com"'), 'expected a host name such as shop.example.com'],
    ['edge: { kong: {} }', 'edge.kong'],
    ['edge: { tyk: { url: "https://u:p@a", secret: s } }', 'edge.tyk.url'],
  ])('%s is refused', (yaml, message) => {
    expect(refusal(yaml)).toContain(message)
  })
})
