// `status` of a fleet, against API servers that have no Lease.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { showStatus } from '../../../src/cli/status.ts'
import { configOf, serve, tempFolder } from '../fixtures.ts'

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

function kubeconfig(folder: string, server: string): string {
  const file = join(folder, 'kubeconfig.yaml')
  const context = { name: 'c', context: { cluster: 'c', user: 'c' } }
  const clusters = [{ name: 'c', cluster: { server } }]
  const users = [{ name: 'c', user: {} }]
  writeFileSync(file, JSON.stringify({ 'current-context': 'c', contexts: [context], clusters, users }))
  return file
}

test.each([
  ['kubeconfig', (folder: string) => `kubeconfig: ${folder}/none.yaml`, 'us: kubeconfig: '],
  ['context', (_: string, file: string) => `kubeconfig: ${file}, context: none`, 'us: context: '],
])('the status of a fleet names a cluster whose %s is missing, and shows the others', async (_, missing, problem) => {
  const folder = tempFolder()
  vi.stubEnv('RUNNER_TEMP', folder)
  const lists = { kind: 'LeaseList', metadata: {}, items: [] }
  const { address } = await serve((_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(lists)),
  )
  const file = kubeconfig(folder, address)
  let printed = ''
  const print = (text: string | Uint8Array) => {
    printed += String(text)
    return true
  }
  vi.spyOn(process.stdout, 'write').mockImplementation(print)
  vi.spyOn(process.stderr, 'write').mockImplementation(print)
  const clusters = `{ eu: { kubeconfig: ${file} }, us: { ${missing(folder, file)} } }`
  expect(await showStatus(configOf(`{ namespace: shop, clusters: ${clusters} }`), { watch: false })).toBe(1)
  expect(printed).toContain('in progress in the cluster eu')
  expect(printed).toContain(`error: ${problem}`)
})
