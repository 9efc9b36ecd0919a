// The built command line, dist/cli.js, on the real mesh: from `init` to a promotion, as a person or a pipeline runs it.
import { spawn } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Report } from '../../src/report/report.ts'
import { installRsync } from '../mesh/index.ts'
import { deploySampleApp, embeddedMesh, liveWeights, metricNames, sampleApp, type TestCluster } from './world.ts'

const cli = resolve(import.meta.dirname, '../../dist/cli.js')
const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-cli-'))
const temp = join(folder, 'temp')
let testCluster: TestCluster

beforeAll(async () => {
  mkdirSync(temp)
  testCluster = await embeddedMesh()
  await deploySampleApp(testCluster, 'healthy')
})
afterAll(() => rmSync(folder, { recursive: true }))

type CommandResult = { code: number | null; out: string; err: string }
type RunOptions = {
  cwd?: string
  env?: Record<string, string>
  onLine?: (line: string, kill: (signal: NodeJS.Signals) => void) => void
}

const run = (args: string[], options: RunOptions = {}) => execute([process.execPath, cli, ...args], options)

/** Runs a command in the mesh's network. */
function execute(
  command: string[],
  { cwd = folder, env = {}, onLine = () => undefined }: RunOptions = {},
): Promise<CommandResult> {
  const [program = '', ...argv] = testCluster.runner.enter!(command)
  const userFolders = { HOME: folder, TMPDIR: temp, XDG_CACHE_HOME: join(folder, 'cache') }
  const child = spawn(program, argv, {
    cwd,
    env: { ...process.env, ...testCluster.runner.env, ...userFolders, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const result: CommandResult = { code: null, out: '', err: '' }
  const read = (stream: NodeJS.ReadableStream, into: 'out' | 'err') => {
    let open = ''
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      result[into] += chunk
      const lines = (open + chunk).split('\n')
      open = lines.pop() ?? ''
      lines.forEach((line) => onLine(line, (signal) => child.kill(signal)))
    })
  }
  read(child.stdout, 'out')
  read(child.stderr, 'err')
  return new Promise((done, fail) => child.once('error', fail).once('close', (code) => done({ ...result, code })))
}

const file = (name: string) => readFileSync(join(folder, name), 'utf8')
const resources = () =>
  testCluster.run([
    'kubectl',
    '-n',
    'sample-app',
    'get',
    'deploy,svc,virtualservices,destinationrules,peerauthentications',
    '-o',
    'jsonpath={range .items[*]}{.kind}/{.metadata.name}@{.metadata.generation}{"\\n"}{end}',
  ])
const promotionFlags = ['--steps', '10, 50, 100', '--interval', '4s']
/** The setting that only this mesh needs, as a variable, because pipelines use variables too. */
const metricsEnv = {
  MESH_CANARY_METRICS: JSON.stringify(metricNames),
}

test('init writes the same config twice from what the cluster runs, and never overwrites a file', async () => {
  const installed = await run(
    ['run', '--config', `${sampleApp}/mesh.yaml`, '--stages', 'install', '--output', 'json'],
    {
      env: { MESH_CANARY_MIRROR: testCluster.inputs['mirror']!, MESH_CANARY_OVERLAYS: testCluster.inputs['overlays']! },
    },
  )
  expect(installed.code, installed.err + installed.out).toBe(0)
  // Standard output has only the report, and no messages from libraries about downloads.
  expect(JSON.parse(installed.out)).toMatchObject({ outcome: 'success', istioctl: { version: '1.31.0' } })

  const before = await resources()
  const printed = await run(['init', '-', '--namespace', 'sample-app'])
  const written = await run(['init', '--namespace', 'sample-app'])
  expect(written).toMatchObject({ code: 0, err: '' })
  expect(written.out).toContain('4 workloads, 2 services that speak HTTP, and a canary of backend (v1 to v2)')
  expect(printed.out).toBe(file('mesh.yaml'))
  expect(printed.out).toContain('# istio: { version: 1.31.0, profile: default }')

  expect(await run(['init', '--namespace', 'sample-app'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('mesh.yaml already exists') as string,
  })
  expect(await run(['init', '--namespace', 'sample-ap'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('did you mean `sample-app`?') as string,
  })
  expect(await resources()).toBe(before)
  // The laptop and the pipelines below stand for one owner.
  appendFileSync(join(folder, 'mesh.yaml'), '\nname: shop\n')
})

test('plan lists the objects that the config of init would create, and changes nothing', async () => {
  const before = await resources()
  const { code, out, err } = await run(['plan', '--config', 'mesh.yaml', '--output', 'json'])
  expect(code, err).toBe(0)
  const report = JSON.parse(out) as Report
  expect(report.plan?.map(({ action, kind, name }) => `${kind} ${name}: ${action}`).sort()).toEqual([
    'DestinationRule backend: create',
    'PeerAuthentication default: create',
    'VirtualService backend: create',
  ])
  expect(report.warnings).toEqual([])
  expect(await resources()).toBe(before)
})

test('run applies that config, and verify passes with collapsible sections on GitLab', async () => {
  const done = await run(['run', '--config', 'mesh.yaml', '--stages', 'inject, policies'])
  expect(done, done.err + done.out).toMatchObject({ code: 0, err: '' })
  const { code, out, err } = await run(['verify', '--config', 'mesh.yaml'], { env: { GITLAB_CI: 'true' } })
  expect(code, err + out).toBe(0)
  expect(out).toMatch(
    /\u001b\[0Ksection_start:\d{10}:mesh_canary_verify\r\u001b\[0Kverify\n {2}backend-[\s\S]*\u001b\[0Ksection_end:\d{10}:mesh_canary_verify\r/,
  )
})

test('Ctrl-C during a promotion returns the traffic to stable, and the run still writes every requested output', async () => {
  let duplicate: NodeJS.Timeout | undefined
  const { code, out, err } = await run(
    [
      'promote',
      '--config',
      'mesh.yaml',
      ...promotionFlags,
      '--output',
      'json',
      '--outputs',
      'out/mesh.env',
      '--junit',
      'out/mesh.xml',
      '--summary',
      'out/mesh.md',
    ],
    {
      env: metricsEnv,
      onLine: (line, kill) => {
        if (duplicate || !line.trim().startsWith('at weight 50')) return
        kill('SIGINT')
        // npm forwards the SIGINT that the terminal has already sent to both processes.
        duplicate = setTimeout(() => kill('SIGINT'), 50)
      },
    },
  )
  expect(code, err).toBe(130)
  expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  expect(err).toContain('warning: stopping (SIGINT)')
  expect(JSON.parse(out)).toMatchObject({
    outcome: 'failure',
    verdict: 'rolled-back',
    weight: 0,
    promotions: [{ steps: [{ weight: 10, outcome: 'passed' }, { weight: 50 }] }],
  })
  expect(file('out/mesh.env')).toMatch(/^MESH_VERDICT=rolled-back\nMESH_WEIGHT=0\nMESH_REASON=.*cancelled.*\n/m)
  expect(file('out/mesh.xml')).toMatch(
    /<testcase classname="mesh-canary.sample-app.backend" name="promote v2" time="[\d.]+"><failure message="the canary of backend was not promoted \(rolled-back\): .*cancelled/,
  )
  expect(file('out/mesh.md')).toContain('## ⛔ v2 of backend was rolled back')
  expect(readdirSync(temp)).toEqual([])
})

/** A terminal of util-linux, which gives the program a pseudo-terminal as its input and output. */
function startOnTerminal(args: string[], onText: (text: string, press: (key: string) => void) => void) {
  const command = [process.execPath, cli, ...args].map((part) => `'${part}'`).join(' ')
  const [program = '', ...argv] = testCluster.runner.enter!([
    'script',
    '--quiet',
    '--return',
    '-c',
    command,
    '/dev/null',
  ])
  const env = { ...process.env, ...testCluster.runner.env, ...metricsEnv, TMPDIR: temp, TERM: 'xterm', CI: '' }
  const child = spawn(program, argv, { cwd: folder, env, stdio: ['pipe', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    onText(text, (key) => void child.stdin.write(key))
  })
  return new Promise<{ code: number | null; text: string }>((done, fail) =>
    child.once('error', fail).once('close', (code) => done({ code, text })),
  )
}

test('on a terminal, a promotion is one live block, `status` shows it from its Lease, and Ctrl-C ends it', async () => {
  let stopWatching = () => undefined as void
  const { promise: isShown, resolve: onShown } = Promise.withResolvers<void>()
  const watching = run(['status', '--watch'], {
    onLine: (line, kill) => {
      stopWatching = () => kill('SIGTERM')
      if (line.includes('step 1 of 2, weight 50%')) onShown()
    },
  })
  let status: Promise<CommandResult> | undefined
  const { code, text } = await startOnTerminal(
    ['promote', '--config', 'mesh.yaml', '--steps', '50, 100', '--interval', '30s'],
    (soFar, press) => {
      if (status || !/step 1 of 2, weight 50%/.test(soFar)) return
      status = run(['status'])
      void Promise.all([status, isShown]).finally(() => press('\u0003'))
    },
  )
  expect(code, text).toBe(130)
  expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  // The block is drawn again in its place, below a log that has each line once.
  expect(text).toMatch(/\u001b\[4A\u001b\[0J/)
  expect(text).toMatch(/v2 of backend: step \d of 2, weight \d+%, .*at least \d+ s left\r\n {2}success {3}v2 /)
  expect(text).toMatch(/ {2}against {3}[█░]{24} [\d.]+, rolls back at 100\r\n {2}for {7}[█░]{24} /)
  expect(text.match(/weight: v1 50, v2 50/g)).toHaveLength(1)
  const { out } = await status!
  expect(out).toMatch(
    /^sample-app\/backend: v2 beside v1: step 1 of 2, weight 50%, .*at least \d+ s left\n {2}success {3}v2 /,
  )
  expect(out).toMatch(
    /\n {2}holder {4}process \d+ on .*, renewed \d+ s ago\n {2}guard {5}watches this run, and acts after \d+ s of silence\n/,
  )
  expect((await run(['status'])).out).toMatch(
    /^sample-app\/backend: v2 beside v1: interrupted at step 1 of 2, with weight 50% then/,
  )
  stopWatching()
  const watched = await watching
  expect(watched.code).toBe(0)
  expect(watched.out).toMatch(/(^|\n)sample-app\/backend: v2 beside v1: step 1 of 2, weight 50%, /)
})

test('an unexpected error returns the traffic to stable, and the run reports it', async () => {
  // Only code inside the process can throw an unexpected error.
  const faultModule = join(folder, 'fault.mjs')
  writeFileSync(faultModule, "process.on('SIGUSR2', () => { throw new Error('nobody foresaw this') })")
  let hasThrown = false
  const { code, err, out } = await run(['promote', '--config', 'mesh.yaml', '--steps', '50', '--interval', '20s'], {
    env: { ...metricsEnv, NODE_OPTIONS: `--import=${faultModule}` },
    onLine: (line, kill) => {
      if (hasThrown || !line.trim().startsWith('at weight 50')) return
      hasThrown = true
      kill('SIGUSR2')
    },
  })
  expect(code, err + out).toBe(1)
  expect(err).toContain('error: mesh-canary stopped because of a defect in mesh-canary itself: nobody foresaw this')
  expect(out).toContain('the run ended in the middle of a promotion: all traffic of backend was returned to v1')
  expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  expect(readdirSync(temp)).toEqual([])
})

/** The variables that users set for the templates: this program, its config, and short steps for a quick test. */
const pipelineEnv = {
  ...metricsEnv,
  MESH_CANARY: `${process.execPath} ${cli}`,
  MESH_UNTIL: '10',
  MESH_CANARY_STEPS: '10, 100',
  MESH_CANARY_INTERVAL: '2s',
}
const examples = resolve(import.meta.dirname, '../../examples/ci')

function repository(...files: string[]): string {
  const path = mkdtempSync(join(folder, 'repository-'))
  for (const file of [join(folder, 'mesh.yaml'), ...files]) copyFileSync(file, join(path, basename(file)))
  return path
}

test('the jobs of the GitLab template plan, take the first steps, pass the gate and roll back', async () => {
  await installRsync()
  const cwd = repository(join(examples, 'gitlab/mesh-canary.gitlab-ci.yml'))
  writeFileSync(join(cwd, '.gitlab-ci.yml'), 'include: { local: mesh-canary.gitlab-ci.yml }\n')
  const git = (...args: string[]) =>
    execute(['git', '-c', 'user.name=test', '-c', 'user.email=test@example.com', ...args], { cwd })
  for (const args of [
    ['init', '-q', '-b', 'main'],
    ['remote', 'add', 'origin', 'https://gitlab.example/shop/shop.git'],
    ['add', '.'],
    ['commit', '-qm', 'the shop'],
  ])
    expect(await git(...args)).toMatchObject({ code: 0 })

  const PLAN_KUBECONFIG = testCluster.runner.env!['KUBECONFIG']!
  const variables = Object.entries({ ...pipelineEnv, PLAN_KUBECONFIG }).flatMap(([name, value]) => [
    '--variable',
    `${name}=${value}`,
  ])
  const job = async (name: string, ...flags: string[]) => {
    const done = await execute(['gitlab-ci-local', '--force-shell-executor', ...variables, ...flags, name], { cwd })
    expect(done.code, done.err + done.out).toBe(0)
    return readFileSync(join(cwd, 'mesh.env'), 'utf8')
  }
  expect(await job('mesh-plan', '--variable', 'CI_PIPELINE_SOURCE=merge_request_event')).toMatch(/^MESH_CHANGED=0$/m)
  expect(await job('mesh-promote')).toMatch(/^MESH_VERDICT=held\nMESH_WEIGHT=10$/m)
  expect(await job('mesh-gate')).toMatch(/^MESH_VERDICT=promoted\nMESH_WEIGHT=100$/m)
  expect(await job('mesh-rollback')).toMatch(/^MESH_VERDICT=rolled-back\nMESH_WEIGHT=0$/m)
  expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
})

test('the steps of the Jenkinsfile plan, take the first steps, pass the gate and roll back', async () => {
  const cwd = repository()
  const text = readFileSync(join(examples, 'jenkins/Jenkinsfile'), 'utf8')
  const environment = Object.fromEntries(
    [...text.matchAll(/^ {4}([A-Z_]+) = '(.*)'$/gm)].map(([, name = '', value = '']) => [name, value]),
  )
  const scripts = [...text.matchAll(/sh (?:'''(.*?)'''|'(.*?)')/g)].map(([, long, short]) => long ?? short!)
  const outs: string[] = []
  for (const script of scripts) {
    const { code, out, err } = await execute(['sh', '-xec', script], { cwd, env: { ...environment, ...pipelineEnv } })
    expect(code, `${script}\n${err}${out}`).toBe(0)
    outs.push(out)
  }
  const [plan, first, gate, verdict, back] = outs
  expect([plan, first, gate, verdict, back]).toEqual(
    [
      'nothing would change',
      'v2 of backend: held',
      'v2 of backend: promoted',
      'promoted\n',
      'the routes send all traffic of backend to v1',
    ].map((each) => expect.stringContaining(each) as string),
  )
  expect(
    readdirSync(cwd)
      .filter((each) => each.endsWith('.xml'))
      .sort(),
  ).toEqual(['mesh-gate.xml', 'mesh-plan.xml', 'mesh-promote.xml'])
})
