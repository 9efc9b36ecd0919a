// A real HTTP server on the loopback interface: what is tested is what a service written for Flagger would get.
import { expect, test, vi } from 'vitest'
import type { PromotionStatus } from '../../../../src/canary/hooks/finding.ts'
import { createWebhooks } from '../../../../src/canary/hooks/webhooks.ts'
import { planOf, serve, type Asked } from '../../fixtures.ts'

const outside: PromotionStatus = {
  namespace: 'shop',
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  weight: 25,
  step: 2,
  phase: 'Progressing',
  intervalMs: 30_000,
}

/** Hooks of one kind at a server that answers each request with the next of these, the last one over and over. */
async function hooked(
  kind: string,
  more: string,
  ...answers: [status: number, body?: string, headers?: Record<string, string>][]
) {
  let count = 0
  const { address, asked } = await serve((_, response) => {
    const [status, body, headers] = answers[Math.min(count++, answers.length - 1)]!
    if (status === 0) return void response.destroy()
    if (status > 0) response.writeHead(status, headers).end(body)
  })
  const notes: string[] = []
  const plan = planOf(`webhooks: { gate: { type: ${kind}, url: '${address}/hook?secret=s3cret', ${more} } }`)
  return {
    ...createWebhooks(
      plan,
      () => outside,
      (line) => notes.push(line),
    ),
    asked,
    notes,
    host: new URL(address).host,
  }
}

const bodyOf = ({ body }: Asked) => JSON.parse(body) as Record<string, unknown>

test('a hook gets the payload that Flagger sends, and its answer is told', async () => {
  const { ask, asked } = await hooked('confirm-rollout', 'metadata: { team: shop }', [200, 'go\nahead'])
  expect(await ask('confirm-rollout')).toEqual({
    name: 'gate',
    state: 'pass',
    text: 'HTTP 200: go',
    at: expect.any(Number) as number,
  })
  expect(asked[0]).toMatchObject({
    method: 'POST',
    url: '/hook?secret=s3cret',
    headers: { 'content-type': 'application/json' },
  })
  expect(bodyOf(asked[0]!)).toEqual({
    name: 'backend',
    namespace: 'shop',
    phase: 'Progressing',
    checksum: expect.stringMatching(/^[0-9a-f]{10}$/) as string,
    metadata: { team: 'shop' },
    type: 'confirm-rollout',
    canaryWeight: 25,
    stable: 'v1',
    canary: 'v2',
  })
})

test.each<[number, string, Record<string, string>]>([
  [299, 'pass', {}],
  [304, 'fail', {}],
  [302, 'fail', { location: '/elsewhere' }],
  [403, 'fail', {}],
  [500, 'fail', {}],
])('HTTP %d: %s, and it is not asked again', async (status, state, headers) => {
  const { ask, asked } = await hooked('pre-rollout', 'retries: 3', [status, '', headers])
  expect(await ask('pre-rollout')).toMatchObject({ state, text: `HTTP ${status}` })
  expect(asked).toHaveLength(1)
})

test('without an answer it is asked again, as often as it may be', async () => {
  const answered = await hooked('pre-rollout', 'retries: 2', [0], [0], [200])
  expect(await answered.ask('pre-rollout')).toMatchObject({ state: 'pass' })
  const mute = await hooked('pre-rollout', 'retries: 1', [0])
  expect(await mute.ask('pre-rollout')).toMatchObject({
    state: 'fail',
    text: expect.stringContaining(`${mute.host} does not answer`) as string,
  })
  expect(mute.asked).toHaveLength(2)
})

test('an answer that takes too long is none, and what may be secret in the address is not told', async () => {
  const { ask, host } = await hooked('pre-rollout', 'timeout: 50ms', [-1])
  expect(await ask('pre-rollout')).toMatchObject({
    state: 'fail',
    text: `${host} does not answer: no answer in time (\`timeout\` 0.05 s)`,
  })
})

test('an event tells what happened, as Flagger does, beside the texts of its own', async () => {
  const { tell, asked } = await hooked('event', 'metadata: { team: shop }', [200])
  void tell('event', 'weight: v1 75, v2 25')
  await vi.waitFor(() => expect(asked).toHaveLength(1))
  expect(bodyOf(asked[0]!)['metadata']).toEqual({
    team: 'shop',
    eventMessage: 'weight: v1 75, v2 25',
    eventType: 'Normal',
    timestamp: expect.stringMatching(/^\d{13}$/) as string,
  })
})

test('one that cannot be told is noted, no more', async () => {
  const { tell, notes } = await hooked('post-rollout', '', [500, 'broken'])
  void tell('post-rollout', 'promoted')
  await vi.waitFor(() => expect(notes).toEqual(['the webhook gate could not be told (post-rollout): HTTP 500: broken']))
})

test('of several that confirm all have to, of several that may put back one is enough', async () => {
  const { address } = await serve(({ url }, response) => response.writeHead(url === '/yes' ? 200 : 404).end())
  const plan = planOf(
    `webhooks: { a: { type: confirm-promotion, url: '${address}/yes' }, b: { type: confirm-promotion, url: '${address}/no' }, c: { type: rollback, url: '${address}/no' }, d: { type: rollback, url: '${address}/yes' } }`,
  )
  const { ask } = createWebhooks(
    plan,
    () => outside,
    () => undefined,
  )
  expect(await ask('confirm-promotion')).toMatchObject({ name: 'b', state: 'fail' })
  expect(await ask('rollback')).toMatchObject({ name: 'd', state: 'pass' })
})
