// Lists of a cluster, faked: what a mesh has in its configuration is only data here; the effect is seen in test/e2e/policies.test.ts.
import { expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { missingTracing } from '../../../src/policies/tracing-check.ts'
import { clusterWith, configOf } from '../fixtures.ts'

const mesh = (text: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'istio' },
  ...{ data: { mesh: text } },
})
const telemetry = (namespace: string, tracing: object): KubeObject => ({
  apiVersion: 'telemetry.istio.io/v1',
  kind: 'Telemetry',
  metadata: { name: 'x', namespace },
  ...{ spec: { tracing: [tracing] } },
})
const demo = mesh('extensionProviders: [{ name: logs, envoyOtelAls: {} }, { name: jaeger, opentelemetry: {} }]')
const jaeger = { providers: [{ name: 'jaeger' }] }

function told(
  tracing: string,
  maps: KubeObject[] | number,
  telemetries: KubeObject[] = [],
  objects: KubeObject[] = [],
): Promise<string[]> {
  const list = (kind: string, namespace: string) => {
    if (kind === 'Telemetry')
      return Promise.resolve(telemetries.filter(({ metadata }) => metadata.namespace === namespace))
    return typeof maps === 'number' ? Promise.reject(new ApiError(maps, '')) : Promise.resolve(maps)
  }
  return missingTracing(clusterWith({ list }), configOf(`namespace: shop\ntelemetry: { tracing: ${tracing} }`), objects)
}

const start =
  'telemetry.tracing: it samples 5% of the requests, but no tracing provider is set, so none is traced; set one in meshConfig.defaultProviders.tracing, or in a Telemetry of istio-system'

test('traces that nobody gets are told, with the providers that there are', async () => {
  expect(await told('5%', [demo, mesh('')])).toEqual([`${start}; the mesh defines jaeger`])
  expect(
    await told(
      '5%',
      [mesh('rootNamespace: istio-system')],
      [telemetry('istio-system', { randomSamplingPercentage: 1 })],
    ),
  ).toEqual([`${start}, and define it in meshConfig.extensionProviders`])
})

test.each<[string, Parameters<typeof told>]>([
  ['no request is to be traced', ['0%', [demo]]],
  ['a default provider', ['5%', [mesh('defaultProviders: { tracing: [jaeger] }')]]],
  ['a tracer of the older kind', ['5%', [mesh('defaultConfig: { tracing: { zipkin: { address: "zipkin:9411" } } }')]]],
  ['a Telemetry of the mesh that names one', ['5%', [demo], [telemetry('istio-system', jaeger)]]],
  ['a Telemetry of the namespace that names one', ['5%', [demo], [telemetry('shop', jaeger)]]],
  ['a manifest that names one', ['5%', [demo], [], [telemetry('shop', jaeger)]]],
  ['a mesh whose configuration may not be read', ['5%', 403]],
  ['a mesh whose configuration lies elsewhere', ['5%', []]],
])('%s: nothing to tell', async (_, asked) => {
  expect(await told(...asked)).toEqual([])
})
