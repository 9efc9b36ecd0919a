// The points of a run at which a fault strikes, and how each is told: by a line of the run's log, or by what a watch of the
// cluster shows. A watch is milliseconds behind a write: what it shows strikes while the run still waits for the answer.
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { State } from '../../src/canary/machine.ts'
import type { Inputs } from '../../test/e2e/runner.ts'
import type { World } from '../../test/e2e/world.ts'

/** The Lease as a watch shows it: how far the run says it is, and whether its guard is on duty. */
type LeaseSeen = { type: 'ADDED' | 'MODIFIED' | 'DELETED'; guarded: boolean; state?: State }

/** `route`: v2's weight in the VirtualService, or any change of it; `afterMs`: so long after the line. */
export type Sign = { line: RegExp; afterMs?: number } | { route: number | 'any' } | { lease: (seen: LeaseSeen) => boolean }

/** `inputs` over those of every case; `alsoSigint`: cancelled there too, not only killed. */
export type Point = { name: string; v2: 'healthy' | 'failing'; sign: Sign; inputs?: Inputs; alsoSigint?: true }

/** To install needs an administrator. */
const wholeRun = { stages: 'install, inject, policies, verify, promote', kubeconfig: '' }
/** What makes the stage policies write: the file has no timeout. */
const otherPolicy = { services: '{ backend: { port: 3001, timeout: 9s, retries: { attempts: 0 }, subsets: { v1: { version: v1 }, v2: { version: v2 } } } }' }

export const middleOfStep50: Point = { name: 'step 50, in the middle', v2: 'healthy', sign: { line: /^weight: v1 50, v2 50$/, afterMs: 1_500 }, alsoSigint: true }

export const points: Point[] = [
  { name: 'check', v2: 'healthy', sign: { line: /^::group::check/ }, inputs: wholeRun },
  { name: 'install', v2: 'healthy', sign: { line: /^::group::install/, afterMs: 20 }, inputs: wholeRun },
  { name: 'inject', v2: 'healthy', sign: { line: /^::group::inject/, afterMs: 20 }, inputs: wholeRun },
  { name: 'policies, as they are written', v2: 'healthy', sign: { route: 'any' }, inputs: { ...wholeRun, ...otherPolicy } },
  { name: 'verify', v2: 'healthy', sign: { line: /^::group::verify/, afterMs: 200 }, inputs: wholeRun, alsoSigint: true },
  { name: 'promote, before the claim', v2: 'healthy', sign: { line: /^::group::promote/ }, alsoSigint: true },
  { name: 'promote, as it claims', v2: 'healthy', sign: { lease: ({ type }) => type === 'ADDED' } },
  { name: 'while the guard starts', v2: 'healthy', sign: { line: /^at weight 0:/ }, alsoSigint: true },
  { name: 'as the guard comes on duty', v2: 'healthy', sign: { lease: ({ guarded }) => guarded } },
  ...ofStep(10, { saved: true, after: true }),
  ...ofStep(50, { written: true }),
  middleOfStep50,
  ...ofStep(100, { after: true, middle: true }),
  { name: 'as it is promoted', v2: 'healthy', sign: { line: /^promoted: / }, alsoSigint: true },
  { name: 'as its Lease goes', v2: 'healthy', sign: { lease: ({ type }) => type === 'DELETED' } },
  { name: 'rollback, decided and not written', v2: 'failing', sign: { lease: ({ state }) => state?.phase === 'ended' } },
  { name: 'rollback, as it is written', v2: 'failing', sign: { route: 0 }, alsoSigint: true },
  { name: 'rollback, just after its weight', v2: 'failing', sign: { line: /^weight: v1 100, v2 0$/ } },
  { name: 'rollback, while it looks for causes', v2: 'failing', sign: { line: /^weight: v1 100, v2 0$/, afterMs: 700 } },
]

type Part = 'saved' | 'written' | 'after' | 'middle'

/** The run saves what it is about to do, writes it, says so, and watches; the middle of step 50 stands by itself. */
function ofStep(weight: number, cancelled: { [part in Part]?: true }): Point[] {
  const line = new RegExp(`^weight: v1 ${100 - weight}, v2 ${weight}$`)
  const signs: [Part, string, Sign][] = [
    ['saved', 'saved and not written', { lease: ({ state }) => state?.phase === 'shifting' && state.weight === weight }],
    ['written', 'as it is written', { route: weight }],
    ['after', 'just after its weight', { line }],
    ['middle', 'in the middle', { line, afterMs: 1_500 }],
  ]
  return signs
    .filter(([part]) => part !== 'middle' || weight !== 50)
    .map(([part, name, sign]) => ({ name: `step ${weight}, ${name}`, v2: 'healthy', sign, ...(cancelled[part] ? { alsoSigint: true } : {}) }))
}

/** Waits for a point; `onLine` is to be told the lines of the run. */
export type Lookout = { reached: Promise<void>; onLine: (line: string) => void; close: () => void }

export function lookOut(world: World, sign: Sign): Lookout {
  const { promise: reached, resolve } = Promise.withResolvers<void>()
  if ('line' in sign) return { reached, onLine: (line) => void (sign.line.test(line) && setTimeout(resolve, sign.afterMs ?? 0)), close: () => undefined }
  const watching = 'route' in sign ? watchRoute(world, sign.route, resolve) : watchLease(world, sign.lease, resolve)
  return { reached, onLine: () => undefined, close: () => void watching.kill() }
}

const weightOfV2 = '{.object.spec.http[*].route[?(@.destination.subset=="v2")].weight}'

function watchRoute(world: World, weight: number | 'any', seen: () => void): ChildProcess {
  return watch(world, ['virtualservice', 'backend'], weightOfV2, ([type, now]) => {
    // A watch begins with the object as it is.
    if (type === 'MODIFIED' && (weight === 'any' || Number(now || '0') === weight)) seen()
  })
}

function watchLease(world: World, isIt: (seen: LeaseSeen) => boolean, seen: () => void): ChildProcess {
  const annotation = (name: string) => `{.object.metadata.annotations.mesh-canary\\.io/${name}}`
  return watch(world, ['lease'], `${annotation('guard')}${between}${annotation('state')}`, ([type, guard, ...state]) => {
    const saved = state.join(between)
    if (isIt({ type: type as LeaseSeen['type'], guarded: guard !== '', ...(saved ? (JSON.parse(saved) as { state: State }) : {}) })) seen()
  })
}

/** No tab: kubectl makes blanks of those. */
const between = '|'

/** The fields of each event that kubectl tells, its type first. */
function watch({ runner }: World, what: string[], fields: string, tell: (fields: string[]) => void): ChildProcess {
  const argv = ['kubectl', '-n', 'sample-app', 'get', ...what, '--watch', '--output-watch-events', '-o', `jsonpath={.type}${between}${fields}{"\\n"}`]
  const [program = '', ...args] = runner.enter!(argv)
  const child = spawn(program, args, { env: { ...process.env, ...runner.env }, stdio: ['ignore', 'pipe', 'inherit'] })
  createInterface({ input: child.stdout }).on('line', (line) => tell(line.split(between)))
  return child
}
