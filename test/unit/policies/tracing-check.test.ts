// A fake cluster answers the lists, because the configuration of the mesh is plain data here. test/e2e/policies.test.ts
// checks the effect.
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

function warningsOf(
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

test('the tracing check reports traces without a provider, and lists the providers that exist', async () => {
  expect(await warningsOf('5%', [demo, mesh('')])).toEqual([`${start}; the mesh defines jaeger`])
  expect(
    await warningsOf(
      '5%',
      [mesh('rootNamespace: istio-system')],
      [telemetry('istio-system', { randomSamplingPercentage: 1 })],
    ),
  ).toEqual([`${start}, and define it in meshConfig.extensionProviders`])
})

test.each<[string, Parameters<typeof warningsOf>]>([
  ['a config that samples no request', ['0%', [demo]]],
  ['a default provider', ['5%', [mesh('defaultProviders: { tracing: [jaeger] }')]]],
  ['a tracer of the older kind', ['5%', [mesh('defaultConfig: { tracing: { zipkin: { address: "zipkin:9411" } } }')]]],
  ['a Telemetry of the mesh with a provider', ['5%', [demo], [telemetry('istio-system', jaeger)]]],
  ['a Telemetry of the namespace with a provider', ['5%', [demo], [telemetry('shop', jaeger)]]],
  ['a manifest with a provider', ['5%', [demo], [], [telemetry('shop', jaeger)]]],
  ['a mesh whose configuration the account may not read', ['5%', 403]],
  ['a mesh whose configuration is in another place', ['5%', []]],
])('the tracing check reports nothing for %s', async (_, inputs) => {
  expect(await warningsOf(...inputs)).toEqual([])
})
