// The built bundles as a runner or a shell starts them, with failures planted in a module that both entries load.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Plugin } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { build } from '../../dev/build.ts'

const home = mkdtempSync(join(tmpdir(), 'mesh-canary-bundle-'))
const dist = join(home, 'dist')
const planted = 'src/config/load.ts'
const source = readFileSync(planted, 'utf8')
const firstLine = source.split('\n').length

/** Lines at the end of the module; the variable PLANT selects one. All but the first fail outside of every call. */
const failures = `if (process.env['PLANT'] === 'import') throw new Error('planted\\n::add-path::/evil')
if (process.env['PLANT'] === 'timer') await new Promise(() => setTimeout(() => { throw new TypeError('planted') }, 1))
if (process.env['PLANT'] === 'rejection') await new Promise(() => setTimeout(() => void Promise.reject(new Error('planted', { cause: new Error('the cause') })), 1))
if (process.env['PLANT'] === 'text') await new Promise(() => setTimeout(() => void Promise.reject('planted'), 1))
`

/**
 * Fails in the middle of a run, after the command line has installed its own exception handler to finish the run first.
 */
const failureInRun = `if (process.env['PLANT'] === 'run') process.on('newListener', (name) => {
  if (name === 'uncaughtException') setTimeout(() => { throw new Error('planted') }, 1)
})
`

const plant: Plugin = {
  name: 'plant failures',
  setup: (build) => {
    build.onLoad({ filter: /src\/config\/load\.ts$/ }, () => ({ contents: source + failures, loader: 'ts' }))
    build.onLoad({ filter: /src\/run\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8') + failureInRun,
      loader: 'ts',
    }))
  },
}

beforeAll(async () => {
  copyFileSync('package.json', join(home, 'package.json'))
  await build(dist, [plant])
}, 120_000)
afterAll(() => rmSync(home, { recursive: true }))

type Started = { code: number | null; out: string; err: string }

function start(args: string[], env: Record<string, string>): Started {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], HOME: home, TMPDIR: home, ...env },
  })
  return { code: status, out: stdout, err: stderr }
}

const action = (env: Record<string, string>) => start([join(dist, 'index.js')], env)
const cli = (env: Record<string, string>) => start([join(dist, 'cli.js'), 'run'], env)

const sentence = (message: string, repository = 'OWNER/mesh-canary') =>
  `mesh-canary stopped because of a defect in mesh-canary itself: ${message}; please report it at https://github.com/${repository}/issues, with`
const hint = 'the stack that RUNNER_DEBUG=1 prints'

const twoLines = { annotation: 'planted%0A::add-path::/evil', text: 'planted\nerror: ::add-path::/evil' }
const oneLine = { annotation: 'planted', text: 'planted' }

describe.each([
  ['an exception at import time', 'import', 0, twoLines],
  ['an exception in a timer', 'timer', 1, oneLine],
  ['an unhandled rejection', 'rejection', 2, oneLine],
])('%s', (_, failure, offset, { annotation, text }) => {
  test.each([
    ['main', {}],
    ['post', { STATE_main: 'begun' }],
  ])('becomes one annotation in the %s step', (_step, state) => {
    expect(action({ PLANT: failure, ...state })).toEqual({
      code: 1,
      out: `::error title=Defect::${sentence(annotation)} ${hint}\n`,
      err: '',
    })
  })

  test('becomes one sentence on the command line', () => {
    expect(cli({ PLANT: failure })).toEqual({ code: 1, out: '', err: `error: ${sentence(text)} ${hint}\n` })
  })

  test('is reported with file and line of the source under RUNNER_DEBUG', () => {
    const frame = `    at ${planted}:${firstLine + offset}`
    const { code, out } = action({ PLANT: failure, RUNNER_DEBUG: '1' })
    expect(code).toBe(1)
    expect(out.split('\n')[0]).toBe(`::error title=Defect::${sentence(annotation)} the stack below`)
    expect(out.split('\n')).toContain(`::debug::${frame}`)
    expect(out).not.toMatch(/^(?!::(debug|error)\b).+/m)

    const { err } = cli({ PLANT: failure, RUNNER_DEBUG: '1' })
    expect(err).toContain(`error: ${sentence(text)} the stack below\n`)
    expect(err.split('\n')).toContain(frame)
  })
})

test('the stack includes the causes of an error', () => {
  expect(cli({ PLANT: 'rejection', RUNNER_DEBUG: '1' }).err).toContain(
    `\ncaused by: Error: the cause\n    at ${planted}:${firstLine + 2}\n`,
  )
})

test('a rejection with a value that is not an error is also reported', () => {
  const { code, err } = cli({ PLANT: 'text' })
  expect(code).toBe(1)
  expect(err).toMatch(/^error: mesh-canary stopped because of a defect .*"planted".*\n$/)
})

test('the command line reports an exception in the middle of a run after it has finished the run', () => {
  const kubeconfig = JSON.stringify({
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
    clusters: [{ name: 'x', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'x', user: { token: 'none' } }],
  })
  const env = { PLANT: 'run', MESH_CANARY_KUBECONFIG: kubeconfig, MESH_CANARY_STAGES: 'verify', RUNNER_DEBUG: '1' }
  const { code, out, err } = cli(env)
  expect(err).toBe(`error: ${sentence('planted')} the stack below\n`)
  const lines = readFileSync('src/run.ts', 'utf8').split('\n').length
  expect(out).toContain(`    at src/run.ts:${lines + 1}\n`)
  expect(code).toBe(1)
  expect(readdirSync(home).filter((name) => name !== 'dist' && name !== 'package.json')).toEqual([])
})

test('a report file that cannot be written is an error before the run', () => {
  const env = { INPUT_STAGES: 'plan', INPUT_SERVICES: 'a: { timeout: 1s }', INPUT_REPORT: '/dev/null/report.json' }
  const { code, out, err } = action({ ...env, RUNNER_TEMP: home })
  expect(out).toContain('::error title=Input::report: /dev/null/report.json cannot be written (')
  expect(out).not.toContain('::set-output')
  expect({ code, err }).toEqual({ code: 1, err: '' })
})

test('a run writes the HTML report that it is asked for, also if it fails', () => {
  const file = join(home, 'report.html')
  const env = { INPUT_STAGES: 'plan', INPUT_SERVICES: 'a: { timeout: 1s }', 'INPUT_HTML-REPORT': file }
  expect(action({ ...env, RUNNER_TEMP: home }).out).toContain(`::set-output name=html-report::${file}`)
  expect(readFileSync(file, 'utf8')).toMatch(/^<!doctype html>[^]*<h1>Rendered the config&#39;s objects/)
  const failing = { ...env, INPUT_STAGES: 'verify', INPUT_KUBECONFIG: '/dev/null' }
  expect(action({ ...failing, RUNNER_TEMP: home }).code).toBe(1)
  expect(readFileSync(file, 'utf8')).toContain('<h1>The run failed: ')
  rmSync(file)
})

test.each([
  ['/dev/null/report.html', /html-report: \/dev\/null\/report\.html cannot be written \(\w+\); choose a path/],
  ['report.json', /html-report: report\.json is the path of the JSON report, too; choose another one/],
])('the HTML report cannot go to %s, which is said before anything else', (file, message) => {
  const env = { INPUT_STAGES: 'verify', 'INPUT_HTML-REPORT': file, INPUT_REPORT: 'report.json', RUNNER_TEMP: home }
  const { code, out } = action(env)
  expect(code).toBe(1)
  expect(out).toMatch(message)
  expect(out.match(/::error/g)).toHaveLength(1)
})

test('the annotation names the repository that the action comes from', () => {
  const env = { GITHUB_SERVER_URL: 'https://github.com', GITHUB_ACTION_REPOSITORY: 'acme/mesh-canary' }
  expect(action({ PLANT: 'timer', ...env }).out).toContain(sentence('planted', 'acme/mesh-canary'))
})

test('the action reports a wrong input without an unexpected failure', () => {
  expect(action({ INPUT_MTLS: 'strickt' })).toMatchObject({ code: 1, err: '' })
  expect(action({ INPUT_MTLS: 'strickt' }).out).toContain('::error title=Input::input mtls: mtls: "strickt"')
})

test.runIf(process.platform === 'linux')('errors are red on a terminal, unless NO_COLOR is set', () => {
  // `script` runs the command on a pseudo-terminal.
  const command = `'${process.execPath}' '${join(dist, 'cli.js')}' run --mtls strickt`
  const onTerminal = (env: Record<string, string>) =>
    spawnSync('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HOME: home, TERM: 'xterm-256color', ...env },
    }).stdout
  expect(onTerminal({})).toMatch(/^\u001b\[31merror:\u001b\[39m input mtls/)
  expect(onTerminal({ NO_COLOR: '1' })).toMatch(/^error: input mtls/)
})

describe('the files of a build', () => {
  const texts = () =>
    Object.fromEntries(readdirSync(dist).map((file) => [file, readFileSync(join(dist, file), 'utf8')]))

  test('contain no path of this machine and no sources', () => {
    for (const [file, text] of Object.entries(texts())) {
      expect([file, text.includes(process.cwd()), text.includes(home)]).toEqual([file, false, false])
      if (!file.endsWith('.map')) continue
      const { sources, sourcesContent } = JSON.parse(text) as { sources: string[]; sourcesContent?: unknown }
      expect([file, sources.filter((path) => !/^(src|node_modules)\/[^.]/.test(path)), sourcesContent]).toEqual([
        file,
        [],
        undefined,
      ])
    }
  })

  test('have one map each, except for the guard, and no comment that refers to it', () => {
    const programs = Object.keys(texts()).filter((file) => file.endsWith('.js'))
    expect(Object.keys(texts()).filter((file) => file.endsWith('.map'))).toEqual(programs.map((file) => `${file}.map`))
    for (const text of Object.values(texts())) expect(text).not.toMatch(/\/\/# sourceMappingURL=\S+\s*$/)
  })

  test('are at most 5 MB, and identical in another folder', async () => {
    const size = Object.values(texts()).reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    expect(size).toBeLessThan(5_000_000)
    const other = join(home, 'a/deeper/folder')
    await build(other, [plant])
    expect(
      Object.fromEntries(readdirSync(other).map((file) => [file, readFileSync(join(other, file), 'utf8')])),
    ).toEqual(texts())
  })
})
