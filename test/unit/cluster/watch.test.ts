// A real HTTP server on the loopback interface stands in for an API server, because a real one does not break a watch
// or send 410 on demand.
import type { ServerResponse } from 'node:http'
import { KubeConfig } from '@kubernetes/client-node'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createClient } from '../../../src/cluster/client.ts'
import type { Pod } from '../../../src/cluster/objects.ts'
import { watch } from '../../../src/cluster/watch.ts'
import { pod, serve } from '../fixtures.ts'

const named = (name: string, version = '1') => pod({ metadata: { name, resourceVersion: version } })

/** A server with these lists, of which it repeats the last one. `streams` are the watches that it accepted. */
async function serveLists(...lists: { status?: number; version?: string; pods?: string[] }[]) {
  const streams: ServerResponse[] = []
  let listed = 0
  const { address, requests } = await serve(({ url }, response) => {
    if (new URL(url, 'http://x').searchParams.has('watch'))
      return (void response.writeHead(200).flushHeaders(), void streams.push(response))
    const { status = 200, version = '1', pods = [] } = lists[Math.min(listed++, lists.length - 1)]!
    response.writeHead(status).end(
      JSON.stringify({
        message: 'no',
        metadata: { resourceVersion: version },
        items: pods.map((name) => named(name)),
      }),
    )
  })
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server: address, skipTLSVerify: true }, { name: 'u' })
  const startWatch = async () => {
    const live = await watch<Pod>(createClient({ config, server: address }), 'Pod', 'shop', {
      labelSelector: 'app=backend',
    })
    onTestFinished(live.close)
    return live
  }
  const stream = (count: number) =>
    vi.waitFor(
      () => {
        expect(streams.length).toBeGreaterThanOrEqual(count)
        return streams[count - 1]!
      },
      { timeout: 10_000 },
    )
  return { startWatch, stream, requests }
}

const sendEvent = (stream: ServerResponse, type: string, object: object) =>
  stream.write(`${JSON.stringify({ type, object })}\n`)
const names = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.name).sort()

/** As an API server writes it for pods. */
const bookmark = (resourceVersion: string) => ({
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: { resourceVersion },
  spec: { containers: null },
  status: {},
})

test('a watch lists all objects once and then follows their changes', async () => {
  const { startWatch, stream, requests } = await serveLists({ version: '7', pods: ['a', 'b'] })
  const live = await startWatch()
  expect(names(live.current())).toEqual(['a', 'b'])
  expect(live.fresh()).toBe(true)
  const first = await stream(1)
  sendEvent(first, 'ADDED', named('c'))
  sendEvent(first, 'MODIFIED', named('a', '9'))
  sendEvent(first, 'DELETED', named('b'))
  sendEvent(first, 'BOOKMARK', bookmark('20'))
  await vi.waitFor(() => expect(names(live.current())).toEqual(['a', 'c']))
  expect(live.current().find(({ metadata }) => metadata.name === 'a')?.metadata.resourceVersion).toBe('9')
  const queries = requests.map(({ url }) => Object.fromEntries(new URL(url, 'http://x').searchParams))
  expect(queries).toEqual([
    { labelSelector: 'app=backend', limit: '100' },
    {
      labelSelector: 'app=backend',
      watch: 'true',
      resourceVersion: '7',
      allowWatchBookmarks: 'true',
      timeoutSeconds: '300',
    },
  ])
})

test('a watch applies a change that arrives in pieces when it is complete', async () => {
  const { startWatch, stream } = await serveLists({})
  const live = await startWatch()
  const text = `${JSON.stringify({ type: 'ADDED', object: pod({ metadata: { name: 'a', annotations: { note: 'über' } } }) })}\n`
  const bytes = Buffer.from(text)
  const cut = bytes.indexOf(0xc3) + 1
  const first = await stream(1)
  first.write(bytes.subarray(0, cut), () => first.write(bytes.subarray(cut)))
  await vi.waitFor(() => expect(live.current()[0]?.metadata.annotations).toEqual({ note: 'über' }))
})

test.each<[string, (stream: ServerResponse) => unknown]>([
  ['breaks', (stream) => stream.destroy()],
  [
    'reports that its version is too old',
    (stream) => sendEvent(stream, 'ERROR', { kind: 'Status', code: 410, message: 'too old resource version' }),
  ],
  ['sends invalid JSON', (stream) => stream.write('<html>\n')],
])('a watch that %s starts again from a new list', async (_, breaks) => {
  const { startWatch, stream, requests } = await serveLists(
    { version: '1', pods: ['a', 'b'] },
    { version: '30', pods: ['b', 'c'] },
  )
  const live = await startWatch()
  breaks(await stream(1))
  await stream(2)
  expect(names(live.current())).toEqual(['b', 'c'])
  expect(live.fresh()).toBe(true)
  expect(new URL(requests.at(-1)!.url, 'http://x').searchParams.get('resourceVersion')).toBe('30')
})

test('a watch that the server ends continues from the last change, without a new list', async () => {
  const { startWatch, stream, requests } = await serveLists({ version: '1', pods: ['a'] })
  const live = await startWatch()
  const first = await stream(1)
  sendEvent(first, 'ADDED', named('b', '12'))
  sendEvent(first, 'BOOKMARK', bookmark('20'))
  await vi.waitFor(() => expect(names(live.current())).toEqual(['a', 'b']))
  first.end()
  sendEvent(await stream(2), 'ADDED', named('c', '21'))
  await vi.waitFor(() => expect(names(live.current())).toEqual(['a', 'b', 'c']))
  expect(live.fresh()).toBe(true)
  const versions = requests.map(({ url }) => new URL(url, 'http://x').searchParams.get('resourceVersion'))
  expect(versions).toEqual([null, '1', '20'])
})

test('a watch that a busy server refuses asks again for the watch, and not for a new list', async () => {
  const lists: string[] = []
  let refusals = 0
  const streams: ServerResponse[] = []
  const { address } = await serve(({ url }, response) => {
    const isWatch = new URL(url, 'http://x').searchParams.has('watch')
    if (!isWatch) lists.push(url)
    if (isWatch && streams.length === 1 && refusals++ < 2)
      return void response.writeHead(429, { 'retry-after': '1' }).end('busy')
    if (isWatch) return (void response.writeHead(200).flushHeaders(), void streams.push(response))
    response.end(JSON.stringify({ metadata: { resourceVersion: '7' }, items: [named('a')] }))
  })
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server: address, skipTLSVerify: true }, { name: 'u' })
  const live = await watch<Pod>(createClient({ config, server: address }), 'Pod', 'shop')
  onTestFinished(live.close)
  await vi.waitFor(() => expect(streams).toHaveLength(1))
  streams[0]!.end()
  await vi.waitFor(() => expect(live.fresh()).toBe(false))
  await vi.waitFor(() => expect(streams).toHaveLength(2), { timeout: 10_000 })
  await vi.waitFor(() => expect(live.fresh()).toBe(true))
  expect(lists).toHaveLength(1)
})

test('a watch that cannot list again keeps its last state and is not fresh', async () => {
  const { startWatch, stream } = await serveLists(
    { pods: ['a'] },
    { status: 403 },
    { status: 403 },
    { pods: ['a', 'b'] },
  )
  const live = await startWatch()
  ;(await stream(1)).destroy()
  await vi.waitFor(() => expect(live.fresh()).toBe(false))
  expect(names(live.current())).toEqual(['a'])
  await stream(2)
  expect(live.fresh()).toBe(true)
  expect(names(live.current())).toEqual(['a', 'b'])
})

test('a watch fails if the server refuses its first list', async () => {
  const { startWatch } = await serveLists({ status: 403 })
  await expect(startWatch()).rejects.toThrow('no (HTTP 403)')
})

test('a closed watch sends no more requests', async () => {
  const { startWatch, stream, requests } = await serveLists({ pods: ['a'] })
  const live = await startWatch()
  const first = await stream(1)
  const closed = new Promise((resolve) => first.once('close', resolve))
  live.close()
  await closed
  // If it had started again, it would have listed without a pause.
  await new Promise((resolve) => setImmediate(resolve))
  expect(requests).toHaveLength(2)
})
