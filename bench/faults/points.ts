// The points of a run at which a fault happens, and the sign of each: a line of the run's log, or an event of a watch on the
// cluster. A watch is milliseconds behind a write, so the fault happens while the run still waits for the response.
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { State } from '../../src/canary/state/types.ts'
import type { Inputs } from '../../test/e2e/runner.ts'
import type { World } from '../../test/e2e/world.ts'

/** The Lease as a watch shows it: how far the run says it is, and whether its guard is on duty. */
type LeaseSeen = { type: 'ADDED' | 'MODIFIED' | 'DELETED'; guarded: boolean; state?: State }

/** `afterMs`: so long after the line; `weight`: v2's in the VirtualService; `rule`: any change of the DestinationRule. */
export type Sign =
  | { line: RegExp; afterMs?: number }
  | { weight: number }
  | { rule: 'changed' }
  | { lease: (seen: LeaseSeen) => boolean }

/**
 * `inputs` over those of every case; `alsoSigint`: cancelled there too, not only killed. `isThere`: whether what the run had
 * said by then fits the point; a run that was quicker than the fault proves nothing of it.
 */
export type Point = {
  name: string
  v2: 'healthy' | 'failing'
  sign: Sign
  inputs?: Inputs
  alsoSigint?: true
  isThere?: (log: string) => boolean
}

/** To install needs an administrator. */
const wholeRun = { stages: 'install, inject, policies, verify, promote', kubeconfig: '' }
/** What makes the stage policies write a rule, wait for the proxies, and write the route: the file has neither of the limits. */
const otherPolicy = {
  services:
    '{ backend: { port: 3001, timeout: 9s, circuitBreaker: { maxConnections: 500 }, retries: { attempts: 0 }, subsets: { v1: { version: v1 }, v2: { version: v2 } } } }',
}

const inStage = (stage: string) => (log: string) =>
  log.slice(log.lastIndexOf('::group::')).startsWith(`::group::${stage}`) && !log.trimEnd().endsWith('::endgroup::')
const putBack = /^weight: v1 100, v2 0$/m

export const step50Saved = ofStep(50)[0]!
export const middleOfStep50 = ofStep(50)[3]!
export const rollbackDecided: Point = {
  name: 'rollback, decided and not written',
  v2: 'failing',
  sign: { lease: ({ state }) => state?.phase === 'ended' },
  isThere: (log) => !putBack.test(log),
}

export const points: Point[] = [
  { name: 'check', v2: 'healthy', sign: { line: /^::group::check/ }, inputs: wholeRun, isThere: inStage('check') },
  {
    name: 'install',
    v2: 'healthy',
    sign: { line: /^::group::install/ },
    inputs: wholeRun,
    isThere: inStage('install'),
  },
  { name: 'inject', v2: 'healthy', sign: { line: /^::group::inject/ }, inputs: wholeRun, isThere: inStage('inject') },
  {
    name: 'policies, between rule and route',
    v2: 'healthy',
    sign: { rule: 'changed' },
    inputs: { ...wholeRun, ...otherPolicy },
    isThere: inStage('policies'),
  },
  {
    name: 'verify',
    v2: 'healthy',
    sign: { line: /proxies are in sync/ },
    inputs: wholeRun,
    isThere: inStage('verify'),
    alsoSigint: true,
  },
  { name: 'promote, before the claim', v2: 'healthy', sign: { line: /^::group::promote/ }, alsoSigint: true },
  { name: 'promote, as it claims', v2: 'healthy', sign: { lease: ({ type }) => type === 'ADDED' } },
  { name: 'while the guard starts', v2: 'healthy', sign: { line: /^at weight 0:/ }, alsoSigint: true },
  { name: 'as the guard comes on duty', v2: 'healthy', sign: { lease: ({ guarded }) => guarded } },
  ...ofStep(10, 'saved and not written', 'just after its weight'),
  ...ofStep(50, 'as it is written', 'in the middle'),
  ...ofStep(100, 'just after its weight', 'in the middle'),
  { name: 'as it is promoted', v2: 'healthy', sign: { line: /^promoted: / }, alsoSigint: true },
  { name: 'as its Lease goes', v2: 'healthy', sign: { lease: ({ type }) => type === 'DELETED' } },
  rollbackDecided,
  { name: 'rollback, as it is written', v2: 'failing', sign: { weight: 0 }, alsoSigint: true },
  { name: 'rollback, just after its weight', v2: 'failing', sign: { line: putBack } },
  { name: 'rollback, while it looks for causes', v2: 'failing', sign: { line: putBack, afterMs: 700 } },
]

/** The run saves what it is about to do, writes it, says so, and watches. */
function ofStep(weight: number, ...cancelled: string[]): Point[] {
  const line = new RegExp(`^weight: v1 ${100 - weight}, v2 ${weight}$`, 'm')
  const parts: [string, Sign, Partial<Point>?][] = [
    [
      'saved and not written',
      { lease: ({ state }) => state?.phase === 'shifting' && state.weight === weight },
      { isThere: (log) => !line.test(log) },
    ],
    ['as it is written', { weight }],
    ['just after its weight', { line }],
    ['in the middle', { line, afterMs: 1_500 }],
  ]
  return parts.map(([part, sign, more]) => ({
    name: `step ${weight}, ${part}`,
    v2: 'healthy',
    sign,
    ...more,
    ...(cancelled.includes(part) ? { alsoSigint: true } : {}),
  }))
}

/** Waits for a point; `onLine` takes the lines of the run's log. */
export type PointWatch = { reached: Promise<void>; onLine: (line: string) => void; close: () => void }

export function waitForPoint(world: World, sign: Sign): PointWatch {
  const { promise: reached, resolve } = Promise.withResolvers<void>()
  if ('line' in sign)
    return {
      reached,
      onLine: (line) => void (sign.line.test(line) && setTimeout(resolve, sign.afterMs ?? 0)),
      close: () => undefined,
    }
  const watching =
    'weight' in sign
      ? watchWeight(world, sign.weight, resolve)
      : 'rule' in sign
        ? watchRule(world, resolve)
        : watchLease(world, sign.lease, resolve)
  return { reached, onLine: () => undefined, close: () => void watching.kill() }
}

const weightOfV2 = '{.object.spec.http[*].route[?(@.destination.subset=="v2")].weight}'

function watchWeight(world: World, weight: number, seen: () => void): ChildProcess {
  return watch(world, ['virtualservice', 'backend'], weightOfV2, ([type, now]) => {
    // A watch begins with the object as it is.
    if (type === 'MODIFIED' && Number(now || '0') === weight) seen()
  })
}

function watchRule(world: World, seen: () => void): ChildProcess {
  return watch(world, ['destinationrule', 'backend'], '', ([type]) => void (type === 'MODIFIED' && seen()))
}

function watchLease(world: World, isIt: (seen: LeaseSeen) => boolean, seen: () => void): ChildProcess {
  const annotation = (name: string) => `{.object.metadata.annotations.mesh-canary\\.io/${name}}`
  return watch(
    world,
    ['lease'],
    `${annotation('guard')}${between}${annotation('state')}`,
    ([type, guard, ...state]) => {
      const saved = state.join(between)
      if (
        isIt({
          type: type as LeaseSeen['type'],
          guarded: guard !== '',
          ...(saved ? (JSON.parse(saved) as { state: State }) : {}),
        })
      )
        seen()
    },
  )
}

/** No tab: kubectl makes blanks of those. */
const between = '|'

/** The fields of each event that kubectl tells, its type first. */
function watch({ runner }: World, what: string[], fields: string, tell: (fields: string[]) => void): ChildProcess {
  const argv = [
    'kubectl',
    '-n',
    'sample-app',
    'get',
    ...what,
    '--watch',
    '--output-watch-events',
    '-o',
    `jsonpath={.type}${between}${fields}{"\\n"}`,
  ]
  const [program = '', ...args] = runner.enter!(argv)
  const child = spawn(program, args, { env: { ...process.env, ...runner.env }, stdio: ['ignore', 'pipe', 'inherit'] })
  createInterface({ input: child.stdout }).on('line', (line) => tell(line.split(between)))
  return child
}
