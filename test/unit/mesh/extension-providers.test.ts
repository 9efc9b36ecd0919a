// The extension providers in the mesh config: what is merged, what stays, and what is removed again.
import { describe, expect, test } from 'vitest'
import type { ConfigMap } from '../../../src/cluster/objects.ts'
import {
  addedNames,
  desiredProviders,
  providersToKeep,
  providersAnnotation,
  providersIn,
  takenProviders,
  withProviders,
} from '../../../src/mesh/extension-providers.ts'
import { parse } from '../../../src/yaml/parse.ts'
import { configOf } from '../fixtures.ts'

function meshConfig(mesh: string, added?: string): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: 'istio',
      namespace: 'istio-system',
      annotations: { 'example.com/note': 'stays', ...(added === undefined ? {} : { [providersAnnotation]: added }) },
    },
    data: { mesh, meshNetworks: 'networks: {}' },
  }
}

const others =
  'rootNamespace: istio-system\nextensionProviders:\n- name: theirs\n  zipkin: { service: zipkin.x, port: 9411 }\n'
const theirs = { name: 'theirs', zipkin: { service: 'zipkin.x', port: 9411 } }
const spans = { name: 'mesh-canary-traces', opentelemetry: { service: 'jaeger.obs.svc.cluster.local', port: 4317 } }

test('traces and logs are sent to the Services of their collectors', () => {
  const providers = desiredProviders(
    configOf('observability: { namespace: obs, traces: { collector: install }, logs: { collector: "m/c:1" } }')
      .observability!,
  )
  expect(providers[0]).toEqual(spans)
  expect(providers[1]).toMatchObject({
    name: 'mesh-canary-logs',
    envoyOtelAls: { service: 'c.m.svc.cluster.local', port: 1, logFormat: { labels: { trace_id: '%TRACE_ID%' } } },
  })
})

test('logs to stdout are JSON with the id of the trace', () => {
  expect(desiredProviders(configOf('observability: { logs: { collector: stdout } }').observability!)).toMatchObject([
    { envoyFileAccessLog: { path: '/dev/stdout', logFormat: { labels: { trace_id: '%TRACE_ID%' } } } },
  ])
})

describe('a provider that is added', () => {
  const after = withProviders(meshConfig(others), [spans], [])!

  test('joins those of others, and the rest of the mesh config stays', () => {
    expect(parse(after.data!['mesh']!).value).toEqual({
      rootNamespace: 'istio-system',
      extensionProviders: [theirs, spans],
    })
    expect(after.data!['meshNetworks']).toBe('networks: {}')
    expect(after.metadata.annotations).toEqual({
      'example.com/note': 'stays',
      [providersAnnotation]: 'mesh-canary-traces',
    })
  })

  test('is not written a second time', () => {
    expect(withProviders(after, [spans], [])).toBeUndefined()
  })

  test('is removed alone, with its annotation', () => {
    const removed = withProviders(after, [], ['mesh-canary-traces'])!
    expect(providersIn(removed)).toEqual([theirs])
    expect(removed.metadata.annotations).toEqual({ 'example.com/note': 'stays' })
  })

  test('follows a change of its collector', () => {
    const moved = { ...spans, opentelemetry: { service: 'other', port: 4317 } }
    expect(takenProviders(after, [moved])).toEqual([])
    expect(providersIn(withProviders(after, [moved], [])!)).toEqual([theirs, moved])
  })
})

describe('a provider of somebody else', () => {
  test('with other content has the name', () => {
    const wanted = { name: 'theirs', opentelemetry: { service: 'jaeger', port: 4317 } }
    expect(takenProviders(meshConfig(others), [wanted])).toEqual([wanted])
  })

  test('with the same content is used, and stays theirs', () => {
    expect(takenProviders(meshConfig(others), [theirs])).toEqual([])
    expect(withProviders(meshConfig(others), [theirs], [])).toBeUndefined()
  })

  test('is never removed', () => {
    expect(withProviders(meshConfig(others, 'mesh-canary-traces'), [], ['theirs'])).toBeUndefined()
  })
})

test('the last provider takes the list with it', () => {
  const mesh = `extensionProviders: [${JSON.stringify(spans)}]`
  expect(withProviders(meshConfig(mesh, 'mesh-canary-traces'), [], ['mesh-canary-traces'])!.data!['mesh']).toBe('{}\n')
})

test('a mesh config without providers gets its first one', () => {
  const after = withProviders(meshConfig(''), [spans], [])!
  expect([providersIn(after), addedNames(after)]).toEqual([[spans], ['mesh-canary-traces']])
})

describe('an installation', () => {
  const mine = withProviders(meshConfig(others), [spans], [])!

  test('keeps the added providers after its own', () => {
    expect(providersToKeep(mine, meshConfig('extensionProviders: [{ name: new }]'))).toEqual([{ name: 'new' }, spans])
  })

  test('changes nothing if there are none to keep', () => {
    expect(providersToKeep(meshConfig(others), meshConfig(''))).toBeUndefined()
    expect(providersToKeep(undefined, meshConfig(''))).toBeUndefined()
  })
})
