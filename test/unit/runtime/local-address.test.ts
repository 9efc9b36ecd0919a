import { expect, test } from 'vitest'
import { isLocalHost, isLocalUrl } from '../../../src/runtime/local-address.ts'

test.each([
  'localhost',
  'a.localhost',
  'LOCALHOST',
  '127.0.0.1',
  '127.9.9.9',
  '0.0.0.0',
  '::1',
  '[::1]',
  'host.docker.internal',
])('%s is this machine', (host) => expect(isLocalHost(host)).toBe(true))

test.each(['localhost.example.com', '127.0.0.1.nip.io', '10.0.0.1', 'mylocalhost', '[2001:db8::1]', 'example.com'])(
  '%s is another machine',
  (host) => expect(isLocalHost(host)).toBe(false),
)

test('an address is local by its host', () => {
  expect(isLocalUrl('https://127.0.0.1:6443')).toBe(true)
  expect(isLocalUrl('https://localhost.example.com')).toBe(false)
  expect(isLocalUrl('localhost')).toBe(false)
})
