// A whole run over a fleet that applies policies, against stand-ins for API servers that answer with nothing and take what is
// applied. The end-to-end test has two real ones.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { runFleet } from '../../../src/fleet/run-fleet.ts'
import type { Report } from '../../../src/report/report.ts'
import { fakeHost, serve, tempFolder } from '../fixtures.ts'

/** What the servers were asked, in order: `eu write` when an object is written, `eu check` when a check begins. */
let asked: string[]
let folder: string
/** Whether the namespace of the cluster still exists. */
let hasNamespace: (cluster: string) => boolean

beforeEach(() => {
  asked = []
  folder = tempFolder()
  hasNamespace = () => true
})

/** Returns the path of a kubeconfig. */
async function apiServer(cluster: string): Promise<string> {
  const { address } = await serve(({ method, url, body }, response) => {
    const { pathname, searchParams } = new URL(url, 'http://server')
    const send = (code: number, answer: object) =>
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    if (method === 'PATCH') {
      if (!searchParams.has('dryRun')) asked.push(`${cluster} write`)
      return send(200, JSON.parse(body) as object)
    }
    if (pathname === '/version') {
      asked.push(`${cluster} check`)
      return send(200, { major: '1', minor: '35', gitVersion: 'v1.35.0' })
    }
    if (pathname === '/api/v1/namespaces/shop' && hasNamespace(cluster))
      return send(200, { metadata: { name: 'shop', uid: `namespace of ${cluster}`, labels: {} } })
    const isList = pathname !== '/api/v1/namespaces/shop' && /s$/.test(pathname)
    return isList ? send(200, { items: [], metadata: {} }) : send(404, { code: 404, message: 'not found' })
  })
  return kubeconfig(cluster, address)
}

function kubeconfig(name: string, server: string): string {
  const file = join(folder, `${name}.yaml`)
  const entry = { name: 'it', cluster: { server }, user: {}, context: { cluster: 'it', user: 'it' } }
  writeFileSync(file, JSON.stringify({ clusters: [entry], users: [entry], contexts: [entry], 'current-context': 'it' }))
  return file
}

async function applyIn(clusters: object, more: Record<string, string> = {}): Promise<Report> {
  const config = loadConfig({
    INPUT_NAMESPACE: 'shop',
    INPUT_MTLS: 'strict',
    INPUT_CLUSTERS: JSON.stringify(clusters),
    INPUT_STAGES: 'policies',
    ...more,
  })
  return runFleet(config, fakeHost())
}

test('all clusters are checked before the first write, and those of a later wave once more before theirs', async () => {
  const clusters = { eu: { kubeconfig: await apiServer('eu') }, us: { kubeconfig: await apiServer('us'), wave: 2 } }
  const report = await applyIn(clusters)
  expect(report.error).toBeUndefined()
  expect(asked).toEqual(['eu check', 'us check', 'eu write', 'us check', 'us write'])
  expect(report.clusters!.map(({ report }) => report.changes)).toMatchObject([
    [{ kind: 'PeerAuthentication' }],
    [{ kind: 'PeerAuthentication' }],
  ])
})

test('a check that fails in any cluster keeps all as they are', async () => {
  hasNamespace = (cluster) => cluster !== 'us'
  const report = await applyIn({ eu: { kubeconfig: await apiServer('eu') }, us: { kubeconfig: await apiServer('us') } })
  expect(asked).not.toContain('eu write')
  expect(report.error).toMatch(/^eu: the run failed \(namespace: shop does not exist .*\nus: namespace: shop does not/)
})

test('a check that fails in one cluster hides no dry run of another', async () => {
  hasNamespace = (cluster) => cluster !== 'us'
  const clusters = { eu: { kubeconfig: await apiServer('eu') }, us: { kubeconfig: await apiServer('us') } }
  const report = await applyIn(clusters, { 'INPUT_DRY-RUN': 'true' })
  expect(report.error).toMatch(/^us: namespace: shop does not exist/)
  expect(report.clusters![0]!.report.plan).toMatchObject([{ action: 'create', kind: 'PeerAuthentication' }])
  expect(asked).not.toContain('eu write')
})

test('what has changed in a cluster of a later wave is found before anything is written there', async () => {
  hasNamespace = (cluster) => cluster !== 'us' || !asked.includes('eu write')
  const clusters = { eu: { kubeconfig: await apiServer('eu') }, us: { kubeconfig: await apiServer('us'), wave: 2 } }
  const report = await applyIn(clusters)
  expect(asked).not.toContain('us write')
  expect(report.error).toMatch(/^us: namespace: shop does not exist/)
})

test('two names of one cluster are refused before the first write', async () => {
  const file = await apiServer('eu')
  const report = await applyIn({ eu: { kubeconfig: file }, us: { kubeconfig: file, context: 'it', wave: 2 } })
  expect(report.error).toContain('clusters: `us` and `eu` are the same cluster')
  expect(asked).not.toContain('eu write')
})
