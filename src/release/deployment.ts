// Makes the canary's Deployment and its Service from those of stable. Pure.
import { lastingAnnotations } from '../canary/workload/fingerprint.ts'
import { managedBy } from '../cluster/labels.ts'
import type { KubeObject, Service, Workload } from '../cluster/objects.ts'
import { createdCanaryLabel, createdCanaryName } from '../config/names.ts'
import type { Labels } from '../canary/workload/selectors.ts'
import { canaryLabels, type Distinction } from './distinction.ts'

export type Template = Workload['spec']['template']

/** The labels of everything that belongs to the canary of the service. */
export function marks(service: string): Labels {
  return { ...managedBy, [createdCanaryLabel]: service }
}

/** `template`: of stable's pods after the release. */
export function canaryDeployment(
  service: string,
  stable: Workload,
  template: Template,
  distinction: Distinction,
  replicas: number,
): Workload {
  const { paused: _, ...spec } = stable.spec as Workload['spec'] & { paused?: boolean }
  const labels = canaryLabels(service, template.metadata?.labels ?? {}, distinction)
  const annotations = lastingAnnotations(template)
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: createdCanaryName(service), namespace: stable.metadata.namespace ?? '', labels: marks(service) },
    spec: {
      ...spec,
      replicas,
      selector: { matchLabels: { [createdCanaryLabel]: service } },
      template: { ...template, metadata: { labels, ...(annotations ? { annotations } : {}) } },
    },
  }
}

/** Of kubectl, Helm, Argo CD and Flux, and of the config of mesh-canary that owns the object. */
const tracking =
  /^(mesh-canary\.io|kubectl\.kubernetes\.io|meta\.helm\.sh|helm\.sh|argocd\.argoproj\.io|(kustomize|helm)\.toolkit\.fluxcd\.io)\/|^app\.kubernetes\.io\/(managed-by|instance)$/

/** Without the labels and annotations by which another tool would take a copy of its object for its own. */
export function untracked(pairs: Labels = {}): Labels {
  return Object.fromEntries(Object.entries(pairs).filter(([key]) => !tracking.test(key)))
}

/** The labels of a copy for the canary of the service. */
export function labelsOfCopy(labels: Labels | undefined, service: string): Labels {
  return { ...untracked(labels), ...marks(service) }
}

/** The Service that only the canary's pods are behind; undefined if subsets tell the versions apart. */
export function canaryService(service: Service, distinction: Distinction): KubeObject | undefined {
  if (distinction.by === 'subset') return undefined
  const { name, namespace, labels } = service.metadata
  const ports = service.spec.ports.map(({ nodePort: _, ...port }: Service['spec']['ports'][number] & Ported) => port)
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: createdCanaryName(name),
      namespace: namespace ?? '',
      labels: labelsOfCopy(labels, name),
    },
    spec: { selector: { ...service.spec.selector, ...distinction.changed, [createdCanaryLabel]: name }, ports },
  } as KubeObject
}

type Ported = { nodePort?: number }
