import { describe, expect, test } from 'vitest'
import type { Meta } from '../../../src/cluster/objects.ts'
import { otherInstaller } from '../../../src/mesh/installer.ts'
import type { ControlPlane, InstallRecord } from '../../../src/mesh/revisions.ts'

const plane = (more: Partial<Meta> = {}): ControlPlane => ({
  revision: 'default',
  version: '1.31.0',
  ready: true,
  createdAt: '',
  metadata: { name: 'istiod', namespace: 'istio-system', uid: 'u1', ...more },
})
const writtenBy = (...managers: string[]) => ({
  managedFields: managers.map((manager, i) => ({ manager, time: `2026-01-0${i + 1}`, fieldsV1: { 'f:spec': {} } })),
})
const helm = { 'meta.helm.sh/release-name': 'istiod', 'meta.helm.sh/release-namespace': 'mesh' }

describe('the installer of a control plane', () => {
  // istioctl renders the charts, and so sets the label of Helm as well.
  const ofCharts = { labels: { 'app.kubernetes.io/managed-by': 'Helm' } }

  test.each<[string, Partial<Meta>, string]>([
    ['a Helm release', { annotations: helm }, 'Helm, as its release mesh/istiod'],
    [
      'an operator, by the owner of the Deployment',
      {
        ownerReferences: [
          { apiVersion: 'sailoperator.io/v1', kind: 'IstioRevision', name: 'main', uid: 'x', controller: true },
        ],
      },
      'an operator, for its IstioRevision main (sailoperator.io)',
    ],
    [
      'Flux, even with a Helm release',
      {
        annotations: helm,
        labels: { 'helm.toolkit.fluxcd.io/name': 'istiod', 'helm.toolkit.fluxcd.io/namespace': 'flux' },
      },
      'Flux, with its HelmRelease flux/istiod',
    ],
    [
      'a Kustomization',
      { labels: { 'kustomize.toolkit.fluxcd.io/name': 'mesh' } },
      'Flux, with its Kustomization mesh',
    ],
    [
      'Argo CD',
      { annotations: { 'argocd.argoproj.io/tracking-id': 'mesh:apps/Deployment:istio-system/istiod' } },
      'Argo CD, with its Application mesh',
    ],
    ['a managed offering', { namespace: 'aks-istio-system' }, 'Azure (AKS, as its Istio add-on)'],
    [
      'another tool that labels its objects',
      { labels: { 'app.kubernetes.io/managed-by': 'pulumi' } },
      'pulumi (app.kubernetes.io/managed-by)',
    ],
    ['istioctl', { ...ofCharts, ...writtenBy('istio-operator', 'kubectl-rollout') }, 'istioctl, without mesh-canary'],
    [
      'a tool that only its field manager names',
      { ...ofCharts, ...writtenBy('Terraform', 'kube-controller-manager') },
      'Terraform (the field manager of its Deployment)',
    ],
    ['somebody who left no trace', ofCharts, 'somebody else'],
  ])('is %s', (_, more, name) => {
    expect(otherInstaller(plane(more), undefined)).toBe(name)
  })

  test.each<[string, Partial<Meta>, InstallRecord, boolean]>([
    ['mesh-canary, if its record names the Deployment', writtenBy('istio-operator'), { uid: 'u1' }, true],
    ['mesh-canary, if a record of an earlier release names none', writtenBy('istio-operator'), {}, true],
    ['not mesh-canary, if the Deployment is another one', writtenBy('istio-operator'), { uid: 'u0' }, false],
    ['not mesh-canary, if Helm has adopted it since', { annotations: helm }, { uid: 'u1' }, false],
    [
      'mesh-canary, if it has taken the control plane over from that release',
      { annotations: helm },
      { uid: 'u1', takenOverFrom: 'Helm, as its release mesh/istiod' },
      true,
    ],
    [
      'not mesh-canary, if it is in a namespace of its own',
      { namespace: 'mesh-b', ...writtenBy('istio-operator') },
      {},
      false,
    ],
  ])('is %s', (_, more, record, isOurs) => {
    expect(otherInstaller(plane(more), record) === undefined).toBe(isOurs)
  })
})
