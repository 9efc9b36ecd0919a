// Finds Ingresses that send requests to a canary's Service. None of them splits between versions. Pure.
import { titleOf, type KubeObject } from '../../cluster/objects.ts'
import type { Split } from '../../policies/routes.ts'

type Backend = { service?: { name: string } }
export type Ingress = KubeObject & {
  spec?: {
    ingressClassName?: string
    defaultBackend?: Backend
    rules?: { http?: { paths?: { backend?: Backend }[] } }[]
  }
}

/** Istio's own gateway serves Ingresses of this class, past all VirtualServices. */
const istioClass = 'istio'

export function ingressFaults(ingresses: readonly Ingress[], split: Split): string[] {
  return ingressesTo(ingresses, split)
    .filter((each) => classOf(each) === istioClass)
    .map(
      (each) =>
        `the ${titleOf(each)} sends requests to all pods of ${split.service}, so they reach ${split.canary.name} ` +
        'whatever its weight is; replace it with a Gateway and a VirtualService that splits (`expose` writes both)',
    )
}

/** Another controller may have a sidecar that follows the routes, or none. */
export function ingressSuspects(ingresses: readonly Ingress[], split: Split): string[] {
  return ingressesTo(ingresses, split)
    .filter((each) => classOf(each) !== istioClass)
    .map((each) => `the ${titleOf(each)}, whose controller may send requests past the routes of the mesh`)
}

function classOf({ metadata, spec }: Ingress): string | undefined {
  return spec?.ingressClassName ?? metadata.annotations?.['kubernetes.io/ingress.class']
}

function ingressesTo(ingresses: readonly Ingress[], { service, stable }: Split): Ingress[] {
  // Between two Services, the one for both versions may be that of stable.
  if (stable.by === 'service') return []
  return ingresses.filter(({ spec }) => {
    const paths = (spec?.rules ?? []).flatMap(({ http }) => http?.paths ?? [])
    return [spec?.defaultBackend, ...paths.map(({ backend }) => backend)].some(
      (each) => each?.service?.name === service,
    )
  })
}
