// A real HTTP server on the loopback interface receives what a service written for Flagger would get.
import { expect, test, vi } from 'vitest'
import type { PromotionStatus } from '../../../../src/canary/hooks/promotion-status.ts'
import { createWebhooks } from '../../../../src/canary/hooks/webhooks.ts'
import { planOf, serve, type ReceivedRequest } from '../../fixtures.ts'

const status: PromotionStatus = {
  namespace: 'shop',
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  weight: 25,
  step: 2,
  phase: 'Progressing',
  intervalMs: 30_000,
}

/** Webhooks of one kind at a server that gives these answers one after the other, and repeats the last one. */
async function webhooksWith(
  kind: string,
  more: string,
  ...answers: [status: number, body?: string, headers?: Record<string, string>][]
) {
  let count = 0
  const { address, requests } = await serve((_, response) => {
    const [status, body, headers] = answers[Math.min(count++, answers.length - 1)]!
    if (status === 0) return void response.destroy()
    if (status > 0) response.writeHead(status, headers).end(body)
  })
  const notes: string[] = []
  const plan = planOf(`webhooks: { gate: { type: ${kind}, url: '${address}/hook?secret=s3cret', ${more} } }`)
  return {
    ...createWebhooks(
      plan,
      () => status,
      (line) => notes.push(line),
    ),
    requests,
    notes,
    host: new URL(address).host,
  }
}

const bodyOf = ({ body }: ReceivedRequest) => JSON.parse(body) as Record<string, unknown>

test('a webhook sends the payload of Flagger and reports the answer', async () => {
  const { ask, requests } = await webhooksWith('confirm-rollout', 'metadata: { team: shop }', [200, 'go\nahead'])
  expect(await ask('confirm-rollout')).toEqual({
    name: 'gate',
    state: 'pass',
    text: 'HTTP 200: go',
    at: expect.any(Number) as number,
  })
  expect(requests[0]).toMatchObject({
    method: 'POST',
    url: '/hook?secret=s3cret',
    headers: { 'content-type': 'application/json' },
  })
  expect(bodyOf(requests[0]!)).toEqual({
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

test('a webhook tells the clusters of a fleet apart', async () => {
  const { address, requests } = await serve((_, response) => void response.end())
  const plan = planOf(`webhooks: { gate: { type: pre-rollout, url: '${address}' } }`)
  for (const name of ['eu', 'us'])
    await createWebhooks(
      plan,
      () => ({ ...status, cluster: { name } }),
      () => undefined,
    ).ask('pre-rollout')
  const [eu, us] = requests.map(({ body }) => JSON.parse(body) as { cluster: string; checksum: string })
  expect([eu!.cluster, us!.cluster]).toEqual(['eu', 'us'])
  expect(eu!.checksum).not.toBe(us!.checksum)
})

test.each<[number, string, Record<string, string>]>([
  [299, 'pass', {}],
  [304, 'fail', {}],
  [302, 'fail', { location: '/elsewhere' }],
  [403, 'fail', {}],
  [500, 'fail', {}],
])('a webhook answers a gate once: HTTP %d means %s', async (status, state, headers) => {
  const { ask, requests } = await webhooksWith('pre-rollout', 'retries: 3', [status, '', headers])
  expect(await ask('pre-rollout')).toMatchObject({ state, text: `HTTP ${status}` })
  expect(requests).toHaveLength(1)
})

test('a webhook that does not answer is retried up to its number of retries', async () => {
  const answered = await webhooksWith('pre-rollout', 'retries: 2', [0], [0], [200])
  expect(await answered.ask('pre-rollout')).toMatchObject({ state: 'pass' })
  const unanswered = await webhooksWith('pre-rollout', 'retries: 1', [0])
  expect(await unanswered.ask('pre-rollout')).toMatchObject({
    state: 'fail',
    text: expect.stringContaining(`no answer from ${unanswered.host}`) as string,
  })
  expect(unanswered.requests).toHaveLength(2)
})

test('a webhook reports a timeout without the path of the URL, which may contain a secret', async () => {
  const { ask, host } = await webhooksWith('pre-rollout', 'timeout: 50ms', [-1])
  expect(await ask('pre-rollout')).toMatchObject({
    state: 'fail',
    text: `no answer from ${host}: timed out (\`timeout\` 0.05 s)`,
  })
})

test('a webhook adds the event to its metadata, as Flagger does', async () => {
  const { notify, requests } = await webhooksWith('event', 'metadata: { team: shop }', [200])
  void notify('event', 'weight: v1 75, v2 25')
  await vi.waitFor(() => expect(requests).toHaveLength(1))
  expect(bodyOf(requests[0]!)['metadata']).toEqual({
    team: 'shop',
    eventMessage: 'weight: v1 75, v2 25',
    eventType: 'Normal',
    timestamp: expect.stringMatching(/^\d{13}$/) as string,
  })
})

test('a webhook that rejects a message only causes a log line', async () => {
  const { notify, notes } = await webhooksWith('post-rollout', '', [500, 'broken'])
  void notify('post-rollout', 'promoted')
  await vi.waitFor(() =>
    expect(notes).toEqual(['the webhook gate (post-rollout) did not accept the message: HTTP 500: broken']),
  )
})

test('a gate passes when all webhooks confirm, and a rollback needs only one', async () => {
  const { address } = await serve(({ url }, response) => response.writeHead(url === '/yes' ? 200 : 404).end())
  const plan = planOf(
    `webhooks: { a: { type: confirm-promotion, url: '${address}/yes' }, b: { type: confirm-promotion, url: '${address}/no' }, c: { type: rollback, url: '${address}/no' }, d: { type: rollback, url: '${address}/yes' } }`,
  )
  const { ask } = createWebhooks(
    plan,
    () => status,
    () => undefined,
  )
  expect(await ask('confirm-promotion')).toMatchObject({ name: 'b', state: 'fail' })
  expect(await ask('rollback')).toMatchObject({ name: 'd', state: 'pass' })
})
