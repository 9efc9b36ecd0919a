import { describe, expect, test } from 'vitest'
import { stagesOf } from '../../../src/config/stages.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { configOf, refusal } from '../fixtures.ts'

describe('the section cluster', () => {
  test('has every default if only the type is given, as an input and in a file', () => {
    const defaults = {
      type: 'kind',
      version: '0.33.0',
      mirror: 'https://github.com/kubernetes-sigs/kind/releases/download',
      wait: 300_000,
    }
    expect(loadConfig({ INPUT_CLUSTER: 'kind' }).cluster).toEqual(defaults)
    expect(configOf('cluster: kind').cluster).toEqual(defaults)
  })

  test('takes single inputs as its keys, next to the type and over a map', () => {
    const more = {
      'INPUT_KUBERNETES-VERSION': 'v1.35',
      'INPUT_LOAD-IMAGES': 'sample-app:1, mysql.tar',
      'INPUT_KEEP-CLUSTER': 'true',
    }
    const wanted = { kubernetes: '1.35', loadImages: ['sample-app:1', 'mysql.tar'], keep: true }
    expect(loadConfig({ INPUT_CLUSTER: 'Kind', ...more }).cluster).toMatchObject({ type: 'kind', ...wanted })
    expect(
      loadConfig({
        INPUT_CLUSTER: '{ type: kind, name: shop, version: v0.32.0, ports: { http: 8080 }, kubernetes: 1.36 }',
        ...more,
      }).cluster,
    ).toMatchObject({ name: 'shop', version: '0.32.0', ports: { http: 8080, https: 443 }, ...wanted })
  })

  test('creates the cluster first, and does nothing else if nothing else is given', () => {
    expect([
      stagesOf(loadConfig({ INPUT_CLUSTER: 'kind' })),
      stagesOf(configOf('cluster: kind\nistio: {}\nmtls: strict')),
    ]).toEqual([['cluster'], ['cluster', 'install', 'policies', 'verify']])
  })

  test.each([
    [{ cluster: 'k3d' }, 'input cluster: cluster.type: "k3d" is invalid: expected one of kind'],
    [{ 'load-images': 'a:1' }, 'cluster.type: is missing'],
    [
      { cluster: '{ type: kind, kubernetes: 1.3 }' },
      'cluster.kubernetes: 1.3 is invalid: expected a Kubernetes version such as 1.36 or 1.36.4 (quote it in YAML)',
    ],
    [{ cluster: '{ type: kind, name: Shop }' }, 'cluster.name: "Shop" is invalid'],
    [{ cluster: '{ type: kind, sha256: abc }' }, 'cluster.sha256: "abc" is invalid'],
    [{ cluster: '{ type: kind, ports: { http: 80, https: 80 } }' }, 'cluster.ports: `http` and `https` are both 80'],
    [
      { cluster: '{ type: kind, image: a, kubernetes: 1.36 }' },
      'cluster.kubernetes: both `kubernetes` (1.36) and `image`',
    ],
    [
      { cluster: '{ type: kind, config: kind.yaml, nodes: 2, image: a }' },
      'cluster.config: the file kind.yaml defines the nodes, so it cannot be combined with `nodes`, `image`',
    ],
    [{ cluster: 'kind', kubeconfig: 'a.yaml' }, 'cluster: both `cluster` and `kubeconfig` are given'],
    [{ cluster: 'kind', context: 'a' }, 'cluster: both `cluster` and `context` are given'],
    [{ stages: 'cluster' }, 'stages: cluster has nothing to do; set `cluster: kind`'],
  ] as [Record<string, string>, string][])('rejects %j', (inputs, words) => {
    expect(refusal(undefined, inputs)).toContain(words)
  })
})
