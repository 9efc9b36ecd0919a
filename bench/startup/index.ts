// Measures the size of the action and the time until it reports a wrong input, and compares both with other actions
// that fetch a tool or reach a cluster. It clones those at a tag from GitHub, or from the address in `PEERS_FROM` (as
// `<address>/<owner>/<name>`). If it cannot clone one, it prints the published size and no time.
import { execFile, spawn } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { table } from '../mesh/index.ts'

const exec = promisify(execFile)
const runs = 15

type Action = { name: string; main: string; inputs: Record<string, string>; error: string }
/** `published`: bytes of `dist/` at the tag, used if the action cannot be cloned. */
type Peer = Action & { tag: string; published: number }

const meshCanary: Action = {
  name: 'mesh-canary',
  main: 'dist/index.js',
  inputs: { INPUT_MTLS: 'strickt' },
  error: 'mtls',
}
const peers: Peer[] = [
  {
    name: 'astral-sh/setup-uv',
    tag: 'v10.0.1',
    main: 'dist/setup/index.cjs',
    inputs: {},
    error: 'activate-environment',
    published: 8_883_462,
  },
  {
    name: 'actions/setup-go',
    tag: 'v7.0.0',
    main: 'dist/setup/index.js',
    inputs: { 'INPUT_GO-VERSION-FILE': 'none.txt' },
    error: 'does not exist',
    published: 6_960_129,
  },
  {
    name: 'actions/setup-node',
    tag: 'v7.0.0',
    main: 'dist/setup/index.js',
    inputs: { 'INPUT_NODE-VERSION-FILE': 'none.txt' },
    error: 'does not exist',
    published: 6_825_100,
  },
  {
    name: 'google-github-actions/get-gke-credentials',
    tag: 'v3.0.0',
    main: 'dist/main/index.js',
    inputs: {},
    error: 'cluster_name',
    published: 1_312_578,
  },
]

type Row = { name: string; bytes: number; main?: number; ms: number[] }

export async function bench(): Promise<{ table: string; result: object }> {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-peers-'))
  try {
    const actions = [
      { ...meshCanary, at: process.cwd() },
      ...(await Promise.all(peers.map((peer) => cloned(peer, folder)))),
    ]
    const rows: Row[] = actions.map(({ name, at, main, ...rest }) =>
      at === undefined
        ? { name, bytes: 'published' in rest ? rest.published : 0, ms: [] }
        : { name, ...sizes(at, main), ms: [] },
    )
    // One round after the other, so that a busy machine slows all actions alike.
    for (let round = 0; round < runs; round++)
      for (const [i, { at, ...action }] of actions.entries())
        if (at !== undefined) rows[i]!.ms.push(await timed(action, at, folder))
    const own = median(rows[0]!.ms)
    const cells = rows.map(({ name, bytes, main, ms }) => [
      name,
      megabytes(bytes),
      main === undefined ? '-' : megabytes(main),
      ms.length === 0 ? 'not available' : String(Math.round(median(ms))),
      ms.length === 0 ? '-' : (median(ms) / own).toFixed(1),
    ])
    return {
      table: table(['action', 'dist MB', 'of it main MB', 'ms to first error (median)', 'ratio'], cells),
      result: { runs, rows },
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** `at` is undefined if the action cannot be cloned. */
async function cloned<T extends Peer>(peer: T, folder: string): Promise<T & { at: string | undefined }> {
  const at = join(folder, peer.name)
  const from = `${process.env['PEERS_FROM'] ?? 'https://github.com'}/${peer.name}`
  const isCloned = await exec(
    'git',
    ['-c', 'advice.detachedHead=false', 'clone', '-q', '--depth', '1', '--branch', peer.tag, from, at],
    { timeout: 60_000 },
  ).then(
    () => true,
    () => false,
  )
  return { ...peer, name: `${peer.name} ${peer.tag}`, at: isCloned ? at : undefined }
}

function sizes(at: string, main: string): { bytes: number; main: number } {
  const program = join(at, main)
  const all = globSync('dist/**/*', { cwd: at })
    .map((file) => statSync(join(at, file)))
    .filter((file) => file.isFile())
    .reduce((sum, { size }) => sum + size, 0)
  return {
    bytes: all,
    main: globSync('**/*.{js,cjs,mjs}', { cwd: dirname(program) }).reduce(
      (sum, file) => sum + statSync(join(dirname(program), file)).size,
      0,
    ),
  }
}

/** Milliseconds from the start of the process to its end. The process ends right after it has printed its error. */
async function timed({ main, inputs, error }: Action, at: string, folder: string): Promise<number> {
  const program = join(at, main)
  if (!existsSync(program)) throw new Error(`${program} does not exist; run \`npm run build\``)
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    RUNNER_TEMP: folder,
    RUNNER_TOOL_CACHE: folder,
    GITHUB_WORKSPACE: folder,
    ...inputs,
  }
  const began = performance.now()
  let log = ''
  const child = spawn(process.execPath, [program], { env, cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.on('data', (chunk: Buffer) => (log += chunk.toString()))
  await new Promise((done, fail) => child.once('error', fail).once('close', done))
  const ms = performance.now() - began
  if (!log.includes('::error') || !log.includes(error))
    throw new Error(`${program} did not fail for its input (${error}): ${log}`)
  return ms
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2)
}
