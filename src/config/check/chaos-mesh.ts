// What an object of Chaos Mesh must not say in an experiment: whom it concerns has to be known before anything is touched,
// and how long it acts is for the experiment to decide. Pure.
import type { ChaosKind } from '../chaos-kinds.ts'
import type { Fault } from './fault.ts'

/** An object of Chaos Mesh without its name. */
export type ChaosObject = { kind: ChaosKind; spec: Record<string, unknown> }

type Selector = { namespaces?: unknown; labelSelectors?: unknown; [key: string]: unknown }

const modes = ['one', 'all', 'fixed', 'fixed-percent', 'random-max-percent']

/** Paths start at `spec`. */
export function chaosObjectFaults({ kind, spec }: ChaosObject, namespace: string): Fault[] {
  const { target } = spec as { target?: { selector?: Selector } }
  return [
    ...ownFaults(kind, spec),
    ...modeFaults(spec),
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
  if (kind !== 'PodChaos' || podActions.includes(spec['action'] as string)) return faults
  return [
    ...faults,
    { path: ['spec', 'action'], message: `${shown(spec['action'])}: expected ${podActions.join(', ')}` },
  ]
}

const podActions = ['pod-kill', 'pod-failure', 'container-kill']

function modeFaults({ mode, value }: Record<string, unknown>): Fault[] {
  if (!modes.includes(mode as string))
    return [{ path: ['spec', 'mode'], message: `${shown(mode)}: expected one of ${modes.join(', ')}` }]
  if (mode === 'one' || mode === 'all' || (typeof value === 'string' && /^\d+$/.test(value))) return []
  return [
    {
      path: ['spec', 'value'],
      message: `${shown(value)}: expected a whole number as a string for the mode ${mode as string}`,
    },
  ]
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
