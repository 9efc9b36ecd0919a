// Whether a sidecar injector takes a pod, by the selectors of its webhooks: the API server itself decides by nothing
// else.
import type { Cluster } from '../cluster/client.ts'
import { undefinedWhenForbidden } from '../cluster/api-error.ts'
import type { KubeObject, Workload } from '../cluster/objects.ts'
import { injectionLabel, revisionLabel, tagLabel } from './labels.ts'

type Requirement = { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }
export type Selector = { matchLabels?: Record<string, string>; matchExpressions?: Requirement[] }
type Webhook = { name: string; namespaceSelector?: Selector; objectSelector?: Selector }
/** A label without a value is not there. */
type Labels = Record<string, string | null>

/** `name`: the revision or tag that it serves. */
export type Injector = { name: string; webhooks: Webhook[] }

/** Undefined if the account may not read them: webhooks belong to the whole cluster. */
export async function readInjectors(cluster: Cluster): Promise<Injector[] | undefined> {
  const configurations = await cluster
    .list<KubeObject & { webhooks?: Webhook[] }>('MutatingWebhookConfiguration')
    .catch(undefinedWhenForbidden)
  return configurations
    ?.map(({ metadata: { name, labels = {} }, webhooks = [] }) => ({
      name: labels[tagLabel] ?? labels[revisionLabel] ?? name,
      webhooks: webhooks.filter((webhook) => webhook.name.endsWith('sidecar-injector.istio.io')),
    }))
    .filter(({ webhooks }) => webhooks.length > 0)
}

/**
 * One sentence if no injector takes pods of the namespace, or one for each workload whose pods none takes.
 * `namespaceLabels`: as they will be.
 */
export function injectorFaults(
  injectors: readonly Injector[],
  namespace: string,
  namespaceLabels: Labels,
  workloads: readonly Workload[],
): string[] {
  const takes = (podLabels: Labels) =>
    injectors.some(({ webhooks }) =>
      webhooks.some(
        ({ namespaceSelector, objectSelector }) =>
          isSelected(namespaceSelector, namespaceLabels) && isSelected(objectSelector, podLabels),
      ),
    )
  const refused = workloads.filter(({ spec }) => !takes(spec.template.metadata?.labels ?? {}))
  if (refused.length === 0) return []
  const names = [...new Set(injectors.map(({ name }) => name))].join(', ') || 'none'
  if (!takes({}))
    return [
      `namespace: ${namespace} asks for sidecars by ${askingLabel(namespaceLabels)}, but no injector in the cluster ` +
        `serves it (there are: ${names}), so its pods would get none, and nothing was restarted; install that ` +
        'revision or tag, or correct the label (`istio.revision`)',
    ]
  return refused.map(
    ({ kind, metadata, spec }) =>
      `workloads: no injector in the cluster (there are: ${names}) takes the pods of ${kind} ` +
      `${namespace}/${metadata.name}, so they would get no sidecar, and nothing was restarted; correct the labels of ` +
      `its template (${formatLabels(spec.template.metadata?.labels)})`,
  )
}

function askingLabel(labels: Labels): string {
  const key = labels[injectionLabel] ? injectionLabel : revisionLabel
  return `${key}=${labels[key] ?? ''}`
}

function formatLabels(labels: Labels = {}): string {
  return Object.entries(labels)
    .filter(([key]) => key.includes('istio.io/'))
    .map(([key, value]) => `${key}=${value}`)
    .join(', ')
}

/** As Kubernetes matches a label selector. An absent one selects everything. */
export function isSelected({ matchLabels = {}, matchExpressions = [] }: Selector = {}, labels: Labels): boolean {
  const holds = ({ key, operator, values = [] }: Requirement) => {
    const value = labels[key] ?? undefined
    if (operator === 'Exists') return value !== undefined
    if (operator === 'DoesNotExist') return value === undefined
    const isAmong = value !== undefined && values.includes(value)
    return operator === 'In' ? isAmong : !isAmong
  }
  return Object.entries(matchLabels).every(([key, value]) => labels[key] === value) && matchExpressions.every(holds)
}
