import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { serveReadiness } from '../../../src/guard/readiness.ts'

test('a guard is ready while it reads its Lease', async () => {
  let time = 0
  const { leaseRead, server } = serveReadiness(
    () => undefined,
    () => time,
    0,
  )
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const status = async () => (await fetch(`http://localhost:${port}/`)).status
  expect(await status()).toBe(503)
  leaseRead()
  expect(await status()).toBe(200)
  time = 10_000
  expect(await status()).toBe(503)
  server.close()
})
