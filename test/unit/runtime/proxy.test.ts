import { describe, expect, test } from 'vitest'
import { proxyFor } from '../../../src/runtime/proxy.ts'

const proxy = 'http://proxy.test:3128'
const through = (address: string, noProxy = '', env: Record<string, string> = { HTTPS_PROXY: proxy }) =>
  proxyFor(new URL(address), { ...env, NO_PROXY: noProxy })

describe('a request', () => {
  test('uses the variable of its scheme, in either case', () => {
    expect(through('https://a.test')).toBe(proxy)
    expect(through('http://a.test')).toBeUndefined()
    expect(through('https://a.test', '', { https_proxy: 'proxy.test:3128' })).toBe(proxy)
    expect(through('http://a.test', '', { HTTP_PROXY: proxy })).toBe(proxy)
    expect(through('https://a.test', '', { HTTPS_PROXY: ' ' })).toBeUndefined()
    expect(proxyFor(new URL('https://a.test'), { https_proxy: proxy, no_proxy: 'a.test' })).toBeUndefined()
  })

  test.each(['https://localhost:6443', 'https://127.0.0.1:6443', 'https://127.1.2.3', 'https://[::1]:6443'])(
    'to this machine needs no proxy: %s',
    (address) => expect(through(address)).toBeUndefined(),
  )

  test.each<[string, string, boolean]>([
    ['https://api.corp.test', 'corp.test', true],
    ['https://corp.test', 'corp.test', true],
    ['https://api.corp.test', '.corp.test', true],
    ['https://corp.test', '.corp.test', false],
    ['https://api.corp.test', '*.corp.test', true],
    ['https://notcorp.test', 'corp.test', false],
    ['https://API.corp.test', 'Corp.TEST', true],
    ['https://api.test:6443', 'other.test, api.test:6443', true],
    ['https://api.test:6443', 'api.test:443', false],
    ['https://api.test', 'api.test:443', true],
    ['https://10.20.30.40:6443', '10.0.0.0/8', true],
    ['https://11.20.30.40:6443', '10.0.0.0/8', false],
    ['https://10.20.30.40', '10.20.30.40', true],
    ['https://[fd00::12]:6443', 'fd00::/8', true],
    ['https://[fd00::12]:6443', 'fd00::12', true],
    ['https://10.test', '10.0.0.0/8', false],
    ['https://10.1.1.1', '10.0.0.0/99, nonsense/8', false],
    ['https://api.test', '*', true],
    ['https://api.test', 'a.test b.test', false],
  ])('to %s with NO_PROXY=%s goes directly: %s', (address, list, isDirect) => {
    expect(through(address, list) === undefined).toBe(isDirect)
  })
})
