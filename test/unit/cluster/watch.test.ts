// A real HTTP server on the loopback interface stands in for an API server, whose breaks and 410s cannot be had on demand.
import type { ServerResponse } from 'node:http'
import { KubeConfig } from '@kubernetes/client-node'
import { expect, onTestFinished, test, vi } from 'vitest'
import { client } from '../../../src/cluster/client.ts'
import type { Pod } from '../../../src/cluster/objects.ts'
import { watch } from '../../../src/cluster/watch.ts'
import { pod, serve } from '../fixtures.ts'

const named = (name: string, version = '1') => pod({ metadata: { name, resourceVersion: version } })

/** A server whose lists are these, the last one over and over; `streams` are the watches that were begun. */
async function serving(...lists: { status?: number; version?: string; pods?: string[] }[]) {
  const streams: ServerResponse[] = []
  let listed = 0
  const { address, asked } = await serve(({ url }, response) => {
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
  const begin = async () => {
    const live = await watch<Pod>(client({ config, server: address }), 'Pod', 'shop', { labelSelector: 'app=backend' })
    onTestFinished(live.close)
    return live
  }
  const stream = (count: number) =>
    vi.waitFor(() => {
      expect(streams.length).toBeGreaterThanOrEqual(count)
      return streams[count - 1]!
    })
  return { begin, stream, asked }
}

const tell = (stream: ServerResponse, type: string, object: object) =>
  stream.write(`${JSON.stringify({ type, object })}\n`)
const names = (pods: Pod[]) => pods.map(({ metadata }) => metadata.name).sort()

test('what is there is listed once, and what changes is told by the watch', async () => {
  const { begin, stream, asked } = await serving({ version: '7', pods: ['a', 'b'] })
  const live = await begin()
  expect(names(live.current())).toEqual(['a', 'b'])
  expect(live.fresh()).toBe(true)
  const first = await stream(1)
  tell(first, 'ADDED', named('c'))
  tell(first, 'MODIFIED', named('a', '9'))
  tell(first, 'DELETED', named('b'))
  tell(first, 'BOOKMARK', {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { resourceVersion: '20', creationTimestamp: null },
  })
  await vi.waitFor(() => expect(names(live.current())).toEqual(['a', 'c']))
  expect(live.get('a')?.metadata.resourceVersion).toBe('9')
  expect(live.get('b')).toBeUndefined()
  const queries = asked.map(({ url }) => Object.fromEntries(new URL(url, 'http://x').searchParams))
  expect(queries).toEqual([
    { labelSelector: 'app=backend' },
    {
      labelSelector: 'app=backend',
      watch: 'true',
      resourceVersion: '7',
      allowWatchBookmarks: 'true',
      timeoutSeconds: '300',
    },
  ])
})

test('a change that comes in pieces is taken when it is whole', async () => {
  const { begin, stream } = await serving({})
  const live = await begin()
  const text = `${JSON.stringify({ type: 'ADDED', object: pod({ metadata: { name: 'a', annotations: { note: 'über' } } }) })}\n`
  const bytes = Buffer.from(text)
  const cut = bytes.indexOf(0xc3) + 1
  const first = await stream(1)
  first.write(bytes.subarray(0, cut), () => first.write(bytes.subarray(cut)))
  await vi.waitFor(() => expect(live.get('a')?.metadata.annotations).toEqual({ note: 'über' }))
})

test.each<[string, (stream: ServerResponse) => unknown]>([
  ['ends', (stream) => stream.end()],
  ['breaks', (stream) => stream.destroy()],
  [
    'says that its version is too old',
    (stream) => tell(stream, 'ERROR', { kind: 'Status', code: 410, message: 'too old resource version' }),
  ],
  ['talks nonsense', (stream) => stream.write('<html>\n')],
])('a watch that %s is begun anew from a new list', async (_, breaks) => {
  const { begin, stream, asked } = await serving(
    { version: '1', pods: ['a', 'b'] },
    { version: '30', pods: ['b', 'c'] },
  )
  const live = await begin()
  breaks(await stream(1))
  await stream(2)
  expect(names(live.current())).toEqual(['b', 'c'])
  expect(live.fresh()).toBe(true)
  expect(new URL(asked.at(-1)!.url, 'http://x').searchParams.get('resourceVersion')).toBe('30')
})

test('while it cannot be listed again it is not fresh, and what was known stays', async () => {
  const { begin, stream } = await serving({ pods: ['a'] }, { status: 403 }, { status: 403 }, { pods: ['a', 'b'] })
  const live = await begin()
  ;(await stream(1)).end()
  await vi.waitFor(() => expect(live.fresh()).toBe(false))
  expect(names(live.current())).toEqual(['a'])
  await stream(2)
  expect(live.fresh()).toBe(true)
  expect(names(live.current())).toEqual(['a', 'b'])
})

test('a first list that is refused is an error', async () => {
  const { begin } = await serving({ status: 403 })
  await expect(begin()).rejects.toThrow('no (HTTP 403)')
})

test('closed, it asks nothing any more', async () => {
  const { begin, stream, asked } = await serving({ pods: ['a'] })
  const live = await begin()
  const first = await stream(1)
  const closed = new Promise((resolve) => first.once('close', resolve))
  live.close()
  await closed
  // Had it begun again, it would have listed without a pause.
  await new Promise((resolve) => setImmediate(resolve))
  expect(asked).toHaveLength(2)
})
