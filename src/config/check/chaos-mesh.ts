// What an object of Chaos Mesh must not say in an experiment: whom it concerns has to be known before anything is touched,
// and how long it acts is for the experiment to decide. Pure.
import { isMap } from '../../runtime/is-map.ts'
import type { ChaosKind } from '../chaos-kinds.ts'
import type { Fault } from './fault.ts'

/** An object of Chaos Mesh without its name. */
export type ChaosObject = { kind: ChaosKind; spec: Record<string, unknown> }

type Selector = { namespaces?: unknown; labelSelectors?: unknown; [key: string]: unknown }

const modes = ['one', 'all', 'fixed', 'fixed-percent', 'random-max-percent']

/** Paths start at `spec`. */
export function chaosObjectFaults({ kind, spec }: ChaosObject, namespace: string): Fault[] {
  if (!isMap(spec)) return [{ path: ['spec'], message: `${shown(spec)}: expected the settings of a ${kind}` }]
  const { target } = spec as { target?: { selector?: Selector; mode?: unknown; value?: unknown } }
  if (target !== undefined && !isMap(target))
    return [
      {
        path: ['spec', 'target'],
        message: `${shown(target)}: expected \`mode\` and \`selector\`; write them, or remove it`,
      },
    ]
  return [
    ...ownFaults(kind, spec),
    ...modeFaults(spec, ['spec']),
    ...(target === undefined ? [] : modeFaults(target, ['spec', 'target'])),
    ...selectorFaults(spec['selector'] as Selector | undefined, ['spec', 'selector'], namespace),
    ...(target === undefined ? [] : selectorFaults(target.selector, ['spec', 'target', 'selector'], namespace)),
  ]
}

function ownFaults(kind: ChaosKind, spec: Record<string, unknown>): Fault[] {
  const refused = {
    duration: 'the experiment sets it, so that Chaos Mesh ends the fault even if everything else is lost; remove it',
    remoteCluster: 'an experiment watches the users of one cluster; remove it',
  }
  const faults = Object.entries(refused).flatMap(([key, message]) =>
    spec[key] === undefined ? [] : [{ path: ['spec', key], message }],
  )
  const known = actions[kind]
  if (!known || known.includes(spec['action'] as string)) return faults
  return [...faults, { path: ['spec', 'action'], message: `${shown(spec['action'])}: expected ${known.join(', ')}` }]
}

/** The kinds without an action are missing. */
const actions: Partial<Record<ChaosKind, string[]>> = {
  PodChaos: ['pod-kill', 'pod-failure', 'container-kill'],
  NetworkChaos: ['netem', 'delay', 'loss', 'duplicate', 'corrupt', 'partition', 'bandwidth'],
  IOChaos: ['latency', 'fault', 'attrOverride', 'mistake'],
}

function modeFaults({ mode, value }: { mode?: unknown; value?: unknown }, path: string[]): Fault[] {
  if (!modes.includes(mode as string))
    return [{ path: [...path, 'mode'], message: `${shown(mode)}: expected one of ${modes.join(', ')}` }]
  if (mode === 'one' || mode === 'all') return []
  const most = mode === 'fixed' ? Infinity : 100
  const isValid = typeof value === 'string' && /^\d+$/.test(value) && Number(value) >= 1 && Number(value) <= most
  if (isValid) return []
  const range = mode === 'fixed' ? 'of 1 or more' : 'from 1 to 100'
  const message = `${shown(value)}: expected a whole number ${range} as a string for the mode ${mode as string}`
  return [{ path: [...path, 'value'], message }]
}

function selectorFaults(selector: Selector | undefined, path: string[], namespace: string): Fault[] {
  const labels = selector?.labelSelectors
  if (typeof labels !== 'object' || labels === null || Object.keys(labels).length === 0)
    return [{ path: [...path, 'labelSelectors'], message: 'expected at least one label, such as app: backend' }]
  const others = Object.keys(selector!).filter((key) => key !== 'labelSelectors' && key !== 'namespaces')
  const elsewhere = namespacesOf(selector!).filter((each) => each !== namespace)
  return [
    ...others.map((key) => ({
      path: [...path, key],
      message: 'the run cannot tell how many pods that selects; select by `labelSelectors` alone',
    })),
    ...elsewhere.map((each) => ({
      path: [...path, 'namespaces'],
      message: `${shown(each)}: an experiment concerns its own namespace (${namespace}); remove the others`,
    })),
  ]
}

function namespacesOf({ namespaces }: Selector): unknown[] {
  return Array.isArray(namespaces) ? namespaces : namespaces === undefined ? [] : [namespaces]
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value)
}
