// The labels and annotations by which Istio finds revisions, tags and sidecars.

/** The revision without a name of its own, as Istio calls it; also the tag that `istio-injection` stands for. */
export const defaultRevision = 'default'

/** The arguments with which istioctl asks the control plane of this revision; none for the one that it asks by default. */
export function revisionArgs(revision: string | undefined): string[] {
  return revision === undefined ? [] : ['--revision', revision]
}

/** On a namespace: the revision or tag that injects its sidecars. On istiod and its pods: their revision. */
export const revisionLabel = 'istio.io/rev'
/** On a namespace: `enabled` or `disabled`; it outranks the revision label. */
export const injectionLabel = 'istio-injection'
/** On the webhook of a tag: the tag's name. */
export const tagLabel = 'istio.io/tag'
/** On a namespace: `ambient` for a mesh without sidecars. */
export const dataplaneModeLabel = 'istio.io/dataplane-mode'
/** On a pod, as label or annotation: `false` opts out of a sidecar. */
export const podInjectionLabel = 'sidecar.istio.io/inject'
/** On a pod: what the injector did, as JSON. */
export const injectionStatusAnnotation = 'sidecar.istio.io/status'
/** On a pod, as annotation: `false` leaves the probes as they are, although the kubelet is not in the mesh. */
export const rewriteProbesAnnotation = 'sidecar.istio.io/rewriteAppHTTPProbers'
/** On a pod, as annotation: the ports that the sidecar does not intercept, or the only ones that it does. */
export const excludedPortsAnnotation = 'traffic.sidecar.istio.io/excludeInboundPorts'
export const includedPortsAnnotation = 'traffic.sidecar.istio.io/includeInboundPorts'
