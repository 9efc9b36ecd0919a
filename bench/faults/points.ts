// The points of a run at which a fault happens, and the sign of each: a line of the run's log, or an event of a watch
// on the cluster. A watch is milliseconds behind a write, so the fault happens while the run still waits for the
// response.
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { State } from '../../src/canary/state/types.ts'
import type { Inputs } from '../../test/e2e/runner.ts'
import type { TestCluster } from '../../test/e2e/world.ts'

/** The Lease in an event of a watch: the progress that the run has saved, and whether its guard has reported. */
type LeaseEvent = { type: 'ADDED' | 'MODIFIED' | 'DELETED'; guarded: boolean; state?: State }

/**
 * `afterMs`: delay after the line. `weight`: weight of v2 in the VirtualService. `rule`: any change of the
 * DestinationRule.
 */
export type Sign =
  | { line: RegExp; afterMs?: number }
  | { weight: number }
  | { rule: 'changed' }
  | { lease: (event: LeaseEvent) => boolean }

/**
 * `inputs`: override those of all cases. `alsoSigint`, `alsoFrozen`: the run is not only killed there. `isAtPoint`:
 * whether the log until the fault fits the point. A run that was faster than the fault proves nothing about the point.
 */
export type Point = {
  name: string
  v2: 'healthy' | 'failing'
  sign: Sign
  inputs?: Inputs
  alsoSigint?: true
  alsoFrozen?: true
  isAtPoint?: (log: string) => boolean
}

/** The stage install needs an administrator. */
const wholeRun = { stages: 'install, inject, policies, verify, promote', kubeconfig: '' }
/**
 * Makes the stage policies write a rule, wait for the proxies, and write the route: the config file has no such limits.
 */
const otherPolicy = {
  services:
    '{ backend: { port: 3001, timeout: 9s, circuitBreaker: { maxConnections: 500 }, retries: { attempts: 0 }, subsets: { v1: { version: v1 }, v2: { version: v2 } } } }',
}

const inStage = (stage: string) => (log: string) =>
  log.slice(log.lastIndexOf('::group::')).startsWith(`::group::${stage}`) && !log.trimEnd().endsWith('::endgroup::')
const allAtStable = /^weight: v1 100, v2 0$/m

export const step50Saved = ofStep(50)[0]!
export const middleOfStep50 = ofStep(50)[3]!
export const rollbackDecided: Point = {
  name: 'rollback, decided and not written',
  v2: 'failing',
  sign: { lease: ({ state }) => state?.phase === 'ended' },
  alsoFrozen: true,
  isAtPoint: (log) => !allAtStable.test(log),
}

export const promotionDecided: Point = {
  name: 'as it is promoted',
  v2: 'healthy',
  sign: { line: /^decision: promoted/ },
  alsoSigint: true,
  alsoFrozen: true,
}
export const canaryFails: Point = {
  name: 'a failing canary gets its first weight',
  v2: 'failing',
  sign: { line: /^weight: v1 90, v2 10$/ },
}

export const points: Point[] = [
  { name: 'check', v2: 'healthy', sign: { line: /^::group::check/ }, inputs: wholeRun, isAtPoint: inStage('check') },
  {
    name: 'install',
    v2: 'healthy',
    sign: { line: /^::group::install/ },
    inputs: wholeRun,
    isAtPoint: inStage('install'),
  },
  { name: 'inject', v2: 'healthy', sign: { line: /^::group::inject/ }, inputs: wholeRun, isAtPoint: inStage('inject') },
  {
    name: 'policies, between rule and route',
    v2: 'healthy',
    sign: { rule: 'changed' },
    inputs: { ...wholeRun, ...otherPolicy },
    isAtPoint: inStage('policies'),
  },
  {
    name: 'verify',
    v2: 'healthy',
    sign: { line: /proxies are in sync/ },
    inputs: wholeRun,
    isAtPoint: inStage('verify'),
    alsoSigint: true,
  },
  { name: 'promote, before the claim', v2: 'healthy', sign: { line: /^::group::promote/ }, alsoSigint: true },
  { name: 'promote, as it claims', v2: 'healthy', sign: { lease: ({ type }) => type === 'ADDED' } },
  { name: 'while the guard starts', v2: 'healthy', sign: { line: /^at weight 0:/ }, alsoSigint: true },
  {
    name: 'as the guard comes on duty',
    v2: 'healthy',
    sign: { lease: ({ guarded }) => guarded },
    alsoFrozen: true,
  },
  ...ofStep(10, 'saved and not written', 'just after its weight'),
  ...ofStep(50, 'as it is written', 'in the middle'),
  ...ofStep(100, 'just after its weight', 'in the middle'),
  promotionDecided,
  { name: 'as its Lease goes', v2: 'healthy', sign: { lease: ({ type }) => type === 'DELETED' } },
  rollbackDecided,
  { name: 'rollback, as it is written', v2: 'failing', sign: { weight: 0 }, alsoSigint: true, alsoFrozen: true },
  { name: 'rollback, just after its weight', v2: 'failing', sign: { line: allAtStable } },
  { name: 'rollback, while it looks for causes', v2: 'failing', sign: { line: allAtStable, afterMs: 700 } },
]

/** The run saves the next weight, writes it, logs it, and watches. */
function ofStep(weight: number, ...cancelled: string[]): Point[] {
  const line = new RegExp(`^weight: v1 ${100 - weight}, v2 ${weight}$`, 'm')
  const parts: [string, Sign, Partial<Point>?][] = [
    [
      'saved and not written',
      { lease: ({ state }) => state?.phase === 'shifting' && state.weight === weight },
      { isAtPoint: (log) => !line.test(log) },
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
    ...(weight > 10 || part === 'saved and not written' ? { alsoFrozen: true } : {}),
    ...(cancelled.includes(part) ? { alsoSigint: true } : {}),
  }))
}

/** Waits for a point; `onLine` takes the lines of the run's log. */
export type PointWatch = { reached: Promise<void>; onLine: (line: string) => void; close: () => void }

export function waitForPoint(testCluster: TestCluster, sign: Sign): PointWatch {
  const { promise: reached, resolve } = Promise.withResolvers<void>()
  if ('line' in sign)
    return {
      reached,
      onLine: (line) => void (sign.line.test(line) && setTimeout(resolve, sign.afterMs ?? 0)),
      close: () => undefined,
    }
  const watching =
    'weight' in sign
      ? watchWeight(testCluster, sign.weight, resolve)
      : 'rule' in sign
        ? watchRule(testCluster, resolve)
        : watchLease(testCluster, sign.lease, resolve)
  return { reached, onLine: () => undefined, close: () => void watching.kill() }
}

const weightOfV2 = '{.object.spec.http[*].route[?(@.destination.subset=="v2")].weight}'

function watchWeight(testCluster: TestCluster, weight: number, onReached: () => void): ChildProcess {
  return watch(testCluster, ['virtualservice', 'backend'], weightOfV2, ([type, now]) => {
    // A watch starts with the current object.
    if (type === 'MODIFIED' && Number(now || '0') === weight) onReached()
  })
}

function watchRule(testCluster: TestCluster, onReached: () => void): ChildProcess {
  return watch(testCluster, ['destinationrule', 'backend'], '', ([type]) => void (type === 'MODIFIED' && onReached()))
}

function watchLease(
  testCluster: TestCluster,
  matches: (event: LeaseEvent) => boolean,
  onReached: () => void,
): ChildProcess {
  const annotation = (name: string) => `{.object.metadata.annotations.mesh-canary\\.io/${name}}`
  return watch(
    testCluster,
    ['lease'],
    `${annotation('guard')}${separator}${annotation('state')}`,
    ([type, guard, ...state]) => {
      const saved = state.join(separator)
      if (
        matches({
          type: type as LeaseEvent['type'],
          guarded: guard !== '',
          ...(saved ? (JSON.parse(saved) as { state: State }) : {}),
        })
      )
        onReached()
    },
  )
}

/** Not a tab, because kubectl converts tabs to spaces. */
const separator = '|'

/** Watches a resource. `onEvent` gets the fields of each event, starting with its type. */
function watch(
  { runner }: TestCluster,
  resource: string[],
  fields: string,
  onEvent: (fields: string[]) => void,
): ChildProcess {
  const argv = [
    'kubectl',
    '-n',
    'sample-app',
    'get',
    ...resource,
    '--watch',
    '--output-watch-events',
    '-o',
    `jsonpath={.type}${separator}${fields}{"\\n"}`,
  ]
  const [program = '', ...args] = runner.enter!(argv)
  const child = spawn(program, args, { env: { ...process.env, ...runner.env }, stdio: ['ignore', 'pipe', 'inherit'] })
  createInterface({ input: child.stdout }).on('line', (line) => onEvent(line.split(separator)))
  return child
}
