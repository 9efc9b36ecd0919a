// How the built bundle gets istioctl from a release onto the PATH: from the mesh's mirror, from a faulty mirror, and
// through act's cache.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { dump } from 'js-yaml'
import { goTool, ISTIO_VERSION, KUBERNETES_VERSION, meshEnv } from '../mesh/index.ts'
import { nodeDir } from '../mesh/settings.ts'
import { runner, type Inputs, type RunnerOptions } from './runner.ts'
import { embeddedMesh, type TestCluster } from './world.ts'

const root = resolve(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-istioctl-'))
let testCluster: TestCluster
let faultyMirror: ChildProcess
let faultyMirrorUrl: string
/** The requests that the faulty mirror received. */
const faultyMirrorRequests: string[] = []

beforeAll(async () => {
  testCluster = await embeddedMesh()
  const [program = '', ...args] = testCluster.runner.enter!([
    process.execPath,
    join(import.meta.dirname, 'lying-mirror.ts'),
  ])
  faultyMirror = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface(faultyMirror.stdout!)
  const [port] = (await once(lines, 'line')) as [string]
  faultyMirrorUrl = `http://127.0.0.1:${port}`
  lines.on('line', (line) => faultyMirrorRequests.push(line))
})
afterAll(() => {
  faultyMirror.kill()
  rmSync(folder, { recursive: true, force: true })
})

/** Installs istioctl and then only renders. No cluster takes part, so leftovers of other tests do not matter. */
const planInputs = (more: Inputs): Inputs => ({
  stages: 'plan',
  mtls: 'strict',
  'istio-version': ISTIO_VERSION,
  mirror: testCluster.inputs['mirror']!,
  ...more,
})

/** The requests to the mesh's mirror from now on: method, path below the mirror's, and status. */
function mirrorLog(): () => string[] {
  const lines = () => readFileSync(join(nodeDir, 'mirror-access.log'), 'utf8').split('\n').filter(Boolean)
  const before = lines().length
  return () =>
    lines()
      .slice(before)
      .map((line) => line.split(' ').slice(1).join(' ').replace('/istio/releases/download', ''))
}

const asset = `/${ISTIO_VERSION}/istioctl-${ISTIO_VERSION}-linux-amd64.tar.gz`
const versionOf = async (path: string) => (await testCluster.run([path, 'version', '--remote=false'])).trim()

async function withRunner<T>(work: (machine: ReturnType<typeof runner>) => Promise<T>): Promise<T> {
  const machine = runner({ ...testCluster.runner, env: { ...testCluster.runner.env, KUBECONFIG: '', HOME: folder } })
  try {
    return await work(machine)
  } finally {
    machine.remove()
  }
}

test("1.31.x resolves to the newest version in the mirror's index, and a cached one needs no request", () =>
  withRunner(async (machine) => {
    const log = mirrorLog()
    const first = await machine.run(planInputs({ 'istio-version': '1.31.x', 'check-latest': 'true' }))
    expect(first.log).toContain(`istio.version: 1.31.x → ${ISTIO_VERSION}, of 1 release`)
    expect(first.outputs).toMatchObject({ 'istioctl-version': ISTIO_VERSION, 'cache-hit': 'false' })
    expect(log()).toEqual(['GET /index.json 200', `GET ${asset}.sha256 200`, `GET ${asset} 200`])
    expect(await versionOf(first.outputs['istioctl-path']!)).toContain(ISTIO_VERSION)

    const second = await machine.run(planInputs({ 'istio-version': '1.31' }))
    expect(second.log).toMatch(
      new RegExp(`istio\\.version: 1\\.31 → ${ISTIO_VERSION}, (which is installed|the newest in the tool cache)`),
    )
    expect(second.outputs).toMatchObject({ 'istioctl-version': ISTIO_VERSION, 'cache-hit': 'true' })
    expect(log()).toHaveLength(3)
  }))

test('a mesh keeps a version within the range of a version file, and the run warns that Kubernetes is too new', () =>
  withRunner(async (machine) => {
    const file = join(folder, 'mise.toml')
    writeFileSync(file, '[tools]\nistioctl = ">=1.30 <1.32"\n')
    const { mirror = '', overlays = '' } = testCluster.inputs
    const inputs = { stages: 'install', kubeconfig: meshEnv()['KUBECONFIG']!, mirror, overlays }
    expect((await machine.run({ ...inputs, 'istio-version': ISTIO_VERSION })).code).toBe(0)
    const { code, log, report } = await machine.run({ ...inputs, 'version-file': file })
    expect(code).toBe(0)
    expect(log).toContain(`istio.version: >=1.30 <1.32 → ${ISTIO_VERSION}, which is installed`)
    expect(report?.mesh?.action).toBe('unchanged')
    expect(report?.warnings).toContain(
      `istio.version: ${ISTIO_VERSION} is tested with Kubernetes 1.32 to 1.36, and this cluster runs v${KUBERNETES_VERSION}`,
    )
  }))

test.each<[lie: string, words: string[]]>([
  ['bad-sum', ['the checksum of', `its checksum file says ${'0'.repeat(64)}, the file has`, 'nothing was unpacked']],
  ['truncated', ['the checksum of', 'the file has', 'nothing was unpacked']],
  ['loop', ['redirects more than 5 times']],
  ['traversal', ['holds the file "../../../../tmp/mesh-canary-evil", expected only the file istioctl']],
  ['slow', ['timed out after 3 s (`limits.download`; 0.0 of 0.0 MB received)', 'nearer mirror']],
])('a faulty mirror (%s) causes one error, and leaves nothing in the tool cache', (lie, words) =>
  withRunner(async (machine) => {
    const config = join(folder, 'mesh.yaml')
    writeFileSync(config, 'limits: { download: 3s }\n')
    const { code, log, outputs } = await machine.main(planInputs({ mirror: `${faultyMirrorUrl}/${lie}`, config }))
    const errors = log.split('\n').filter((line) => line.startsWith('::error'))
    expect(errors).toHaveLength(1)
    for (const word of ['istio.mirror', ...words]) expect(errors[0]).toContain(word)
    expect(code).toBe(1)
    expect(outputs['istioctl-path']).toBeUndefined()
    expect(existsSync(join(machine.home, 'tools/istioctl', ISTIO_VERSION, `${process.arch}.complete`))).toBe(false)
    expect(existsSync('/tmp/mesh-canary-evil')).toBe(false)
  }),
)

test('the action asks a mirror a third time after two responses of 500', () =>
  withRunner(async (machine) => {
    const { code, outputs } = await machine.main(planInputs({ mirror: `${faultyMirrorUrl}/busy` }))
    expect(code).toBe(0)
    expect(await testCluster.run([outputs['istioctl-path']!])).toBe('a script\n')
    expect(
      faultyMirrorRequests.filter((line) => line.startsWith('mirror /busy') && !line.includes('.sha256')),
    ).toHaveLength(3)
  }))

test('the action follows a redirect to another server without sending or printing the password of the mirror', () =>
  withRunner(async (machine) => {
    const { code, log, outputs } = await machine.main(
      planInputs({ mirror: `${faultyMirrorUrl.replace('://', '://me:s3cret@')}/away` }),
    )
    expect(code).toBe(0)
    expect(await testCluster.run([outputs['istioctl-path']!])).toBe('a script\n')
    const of = (server: string) =>
      faultyMirrorRequests
        .filter((line) => line.startsWith(`${server} /away`))
        .map((line) => line.replace(/^\S+ \S+ /, ''))
    expect([of('mirror'), of('storage')]).toEqual([['with credentials', 'with credentials'], ['without credentials']])
    expect(log).not.toContain('s3cret')
  }))

test('two concurrent installs into one empty tool cache each have a complete binary, 20 times in a row', () =>
  withRunner(async (machine) => {
    for (let round = 0; round < 20; round++) {
      const tools = join(machine.home, `tools-${round}`)
      const job = async (name: string) => {
        const temp = join(machine.home, `temp-${round}-${name}`)
        mkdirSync(temp)
        const { log, outputs } = await machine.main(planInputs({}), {
          env: { RUNNER_TOOL_CACHE: tools, RUNNER_TEMP: temp },
        } satisfies RunnerOptions)
        // Check at once, while the other install may still be running.
        return versionOf(outputs['istioctl-path'] ?? log)
      }
      expect(await Promise.all([job('a'), job('b')])).toEqual(Array(2).fill(`client version: ${ISTIO_VERSION}`))
      rmSync(tools, { recursive: true })
    }
  }))

/** Two jobs on fresh runners, one after the other. act runs its cache server on loopback. */
test('the second job downloads nothing if the jobs share a cache', async () => {
  const temp = join(folder, 'temp')
  mkdirSync(temp)
  // As on hosted runners: all jobs have the same temporary folder, and the tool cache starts empty. act guarantees
  // neither.
  const job = (name: string, more: object = {}) => ({
    'runs-on': 'ubuntu-latest',
    ...more,
    steps: [
      // act takes the files that are here.
      { uses: 'actions/checkout@v6' },
      {
        id: 'mesh',
        uses: './',
        env: { RUNNER_TEMP: temp, RUNNER_TOOL_CACHE: join(folder, name) },
        with: planInputs({}),
      },
      {
        run: 'echo "job ${{ github.job }}: hit $HIT, $("$ISTIOCTL" version --remote=false)"',
        env: { HIT: '${{ steps.mesh.outputs.cache-hit }}', ISTIOCTL: '${{ steps.mesh.outputs.istioctl-path }}' },
      },
    ],
  })
  const workflow = join(folder, 'twice.yml')
  writeFileSync(
    workflow,
    dump({
      name: 'twice',
      on: 'workflow_dispatch',
      jobs: { first: job('first'), second: job('second', { needs: 'first' }) },
    }),
  )
  const log = mirrorLog()
  const [program = '', ...args] = testCluster.runner.enter!([
    await goTool('act'),
    'workflow_dispatch',
    '--directory',
    root,
    '--workflows',
    workflow,
    '--platform',
    'ubuntu-latest=-self-hosted',
    '--cache-server-addr',
    '127.0.0.1',
    '--cache-server-path',
    join(folder, 'cache-server'),
  ])
  const child = spawn(program, args, {
    env: {
      ...process.env,
      ...testCluster.runner.env,
      HOME: folder,
      XDG_CACHE_HOME: join(folder, 'cache'),
      XDG_CONFIG_HOME: join(folder, 'config'),
      KUBECONFIG: '',
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  await once(child, 'close')
  expect(output).toMatch(/job first: hit false, client version: 1\.31\.0/)
  expect(output).toMatch(/job second: hit true, client version: 1\.31\.0/)
  expect(output).toContain('from the cache between runs, verified')
  expect(log()).toEqual([`GET ${asset}.sha256 200`, `GET ${asset} 200`, `GET ${asset}.sha256 200`])
})
