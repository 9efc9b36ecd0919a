import { expect, test } from 'vitest'
import { plainHosts, unreachableIngress } from '../../../src/kind/ingress.ts'
import { configOf, serve } from '../fixtures.ts'

const signal = new AbortController().signal

test('the gateway counts as reachable after any answer for the exposed host', async () => {
  const { address, requests } = await serve((_, response) => response.writeHead(404).end())
  expect(await unreachableIngress(address.replace('http://', ''), '*.example.com', 1_000, signal)).toBeUndefined()
  expect(requests[0]?.headers.host).toBe('any.example.com')
})

test('the check waits for a late gateway, and reports the connection error if none answers', async () => {
  let times = 0
  const { address } = await serve((_, response) => void (++times < 2 ? response.destroy() : response.end()))
  expect(await unreachableIngress(address.replace('http://', ''), 'a', 60_000, signal)).toBeUndefined()
  expect(times).toBe(2)
  expect(await unreachableIngress('127.0.0.1:1', 'a', 0, signal)).toBe('ECONNREFUSED')
})

test.each([
  ['{ a: { port: 1, hosts: [a.example] } }', ['a.example']],
  ['{ a: { port: 1, hosts: [a.example], tls: { secret: a } } }', ['a.example']],
  ['{ a: { port: 1, hosts: [a.example], tls: { secret: a }, httpsRedirect: false } }', []],
  ['{ a: { port: 1, gateway: mine/gate, api: gateway-api } }', []],
  ['{ a: { port: 1, gateway: other } }', []],
])('with expose: %s the gateway answers plain HTTP for %j', (expose, hosts) => {
  expect(plainHosts(configOf(`expose: ${expose}`))).toEqual(hosts)
})
