// Deploys the application of echo.yaml, and sends requests to it.
import { vi } from 'vitest'
import type { TestCluster } from './world.ts'

export type EchoResponse = {
  status: number
  ms: number
  version?: string
  host?: string
  location?: string
  cookie?: string
  count?: number
  traceparent?: string
}
export type EchoRequest = {
  url?: string
  headers?: Record<string, string>
  method?: string
  times?: number
  atOnce?: boolean
}

/**
 * A Node.js program that sends requests, one after the other or all at once, and prints the responses. Each request has
 * its own connection.
 */
export function clientProgram({
  url = 'http://echo:8080/',
  headers = {},
  method = 'GET',
  times = 1,
  atOnce = false,
}: EchoRequest): string {
  return `
    const { request } = require('node:http')
    const one = () => new Promise((done) => {
      const began = Date.now()
      const asked = request(${JSON.stringify(url)}, { agent: false, method: ${JSON.stringify(method)}, headers: ${JSON.stringify(headers)} }, (response) => {
        let text = ''
        response.on('data', (chunk) => (text += chunk)).on('end', () => {
          let body = {}
          try { body = JSON.parse(text) } catch {}
          done({ status: response.statusCode, ms: Date.now() - began, ...body, location: response.headers.location, cookie: response.headers['set-cookie']?.[0] })
        })
      })
      asked.on('error', () => done({ status: 0, ms: Date.now() - began }))
      asked.end()
    })
    const all = async () => { const answers = []; for (let i = 0; i < ${times}; i++) answers.push(${atOnce ? '' : 'await '}one()); console.log(JSON.stringify(await Promise.all(answers))) }
    all()`
}

export const statuses = (answers: EchoResponse[]) => answers.map(({ status }) => status)
export const versions = (answers: EchoResponse[]) => answers.map(({ version }) => version)

/** Creates the namespace `policies` anew in an existing mesh, and waits until all of it runs. */
export async function deployEchoApp({ run }: TestCluster): Promise<void> {
  await run(['kubectl', 'delete', 'namespace', 'policies', '--ignore-not-found', '--wait'])
  await run(['kubectl', 'apply', '-f', `${import.meta.dirname}/echo.yaml`])
  for (const name of ['echo-v1', 'echo-v2', 'caller', 'outside'])
    await run(['kubectl', '-n', 'policies', 'rollout', 'status', `deploy/${name}`, '--timeout=120s'])
}

/** Repeats a check until it passes, because proxies apply a new policy only after a moment. */
export const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 20_000, interval: 250 })
