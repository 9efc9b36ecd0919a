// Credentials that expire during a run: the API server stand-in accepts one token only, and refuses it from one moment on.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { createClient } from '../../../src/cluster/client.ts'
import { connection } from '../../../src/cluster/connect.ts'
import { serve, tempFolder } from '../fixtures.ts'

const service = { metadata: { name: 'backend' } }

/** `accept`: changes the token that the server accepts from now on. */
async function serverWithToken(first: string) {
  let accepted = first
  const { address, requests } = await serve(({ headers }, response) => {
    const isKnown = headers.authorization === `Bearer ${accepted}`
    response.writeHead(isKnown ? 200 : 401).end(JSON.stringify(isKnown ? service : { message: 'Unauthorized' }))
  })
  return { address, requests, accept: (token: string) => void (accepted = token) }
}

function kubeconfigFor(server: string, user: object): string {
  return JSON.stringify({
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    users: [{ name: 'u', user }],
  })
}

const clientOf = (kubeconfig: string) => createClient(connection(kubeconfig, undefined, tempFolder()))
const read = (cluster: ReturnType<typeof clientOf>) => cluster.get('Service', 'shop', 'backend')

/** A program that prints the token of a file, valid for years, and adds a line to another file each time. */
function program(folder: string): { exec: object; starts: () => number } {
  const [token, log] = [join(folder, 'token'), join(folder, 'log')]
  writeFileSync(log, '')
  const script =
    `echo started >> ${log}; echo "{\\"status\\": {\\"token\\": \\"$(cat ${token})\\", ` +
    '\\"expirationTimestamp\\": \\"2099-01-01T00:00:00Z\\"}}"'
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', script] }
  return { exec, starts: () => readFileSync(log, 'utf8').split('\n').length - 1 }
}

/** A server, and a client whose token comes from a program. `rotate`: both get another token. */
async function serverWithProgram() {
  const { address, accept } = await serverWithToken('one')
  const folder = tempFolder()
  const { exec, starts } = program(folder)
  const token = join(folder, 'token')
  writeFileSync(token, 'one')
  const rotate = () => {
    writeFileSync(token, 'two')
    accept('two')
  }
  return { cluster: clientOf(kubeconfigFor(address, { exec })), starts, rotate }
}

describe('a token that expires during the run', () => {
  test('is read again from its file, with or without a line break at its end', async () => {
    const { address, requests, accept } = await serverWithToken('one')
    const tokenFile = join(tempFolder(), 'token')
    writeFileSync(tokenFile, 'one\n')
    const cluster = clientOf(kubeconfigFor(address, { tokenFile }))
    expect(await read(cluster)).toEqual(service)
    writeFileSync(tokenFile, 'two\n')
    accept('two')
    expect(await read(cluster)).toEqual(service)
    expect(requests).toHaveLength(3)
  })

  test('is read again from a kubeconfig that another program has written anew', async () => {
    const { address, accept } = await serverWithToken('one')
    const file = join(tempFolder(), 'kubeconfig')
    writeFileSync(file, kubeconfigFor(address, { token: 'one' }))
    const cluster = clientOf(file)
    expect(await read(cluster)).toEqual(service)
    writeFileSync(file, kubeconfigFor(address, { token: 'two' }))
    accept('two')
    expect(await read(cluster)).toEqual(service)
  })

  test('is asked for again, although the program said that it lives longer', async () => {
    const { cluster, starts, rotate } = await serverWithProgram()
    await read(cluster)
    await read(cluster)
    expect(starts()).toBe(1)
    rotate()
    expect(await read(cluster)).toEqual(service)
    expect(starts()).toBe(2)
  })

  test('is asked for only once, however many requests the server has refused', async () => {
    const { cluster, starts, rotate } = await serverWithProgram()
    await read(cluster)
    rotate()
    const answers = await Promise.all(Array.from({ length: 40 }, () => read(cluster)))
    expect(answers).toEqual(Array.from({ length: 40 }, () => service))
    expect(starts()).toBe(2)
  })

  test.each([
    ['has gone', undefined],
    ['is half written', '{ "clusters": [ {'],
    ['leads to another server', kubeconfigFor('http://127.0.0.1:1', { token: 'two' })],
  ])('is refused with its remedy if the kubeconfig %s meanwhile', async (_, content) => {
    const { address, accept } = await serverWithToken('one')
    const file = join(tempFolder(), 'kubeconfig')
    writeFileSync(file, kubeconfigFor(address, { token: 'one' }))
    const cluster = clientOf(file)
    await read(cluster)
    if (content === undefined) rmSync(file)
    else writeFileSync(file, content)
    accept('two')
    const error: unknown = await read(cluster).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({ status: 401 })
    expect((error as ApiError).message).toContain('refuses the credentials of the user u')
    accept('one')
    expect(await read(cluster)).toEqual(service)
  })
})
