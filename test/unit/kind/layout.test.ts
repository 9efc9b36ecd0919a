import { expect, test } from 'vitest'
import { load } from 'js-yaml'
import { ConfigError } from '../../../src/config/error.ts'
import { gatewayValues, kindConfig, readConfigFile } from '../../../src/kind/layout.ts'
import { configOf, fileWith } from '../fixtures.ts'

test('the layout maps the ingress ports to the control plane, on this machine only, and makes the other nodes workers', () => {
  const mapped = (containerPort: number, hostPort: number) => ({
    containerPort,
    hostPort,
    listenAddress: '127.0.0.1',
    protocol: 'TCP',
  })
  expect(load(kindConfig(3, { http: 80, https: 8443 }))).toEqual({
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    kind: 'Cluster',
    nodes: [
      { role: 'control-plane', extraPortMappings: [mapped(30080, 80), mapped(30443, 8443)] },
      { role: 'worker' },
      { role: 'worker' },
    ],
  })
})

test('the layout makes the ingress gateway listen on the node ports', () => {
  const gateway = 'values.gateways.istio-ingressgateway'
  expect(gatewayValues(undefined)).toEqual([])
  expect(gatewayValues(configOf('cluster: kind').cluster)).toEqual(
    expect.arrayContaining([
      `${gateway}.type=NodePort`,
      `${gateway}.ports[1].port=80`,
      `${gateway}.ports[1].nodePort=30080`,
      `${gateway}.ports[2].nodePort=30443`,
    ]),
  )
})

const header = 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n'

test('a config file sets the name of the cluster, and may choose the images', () => {
  expect(readConfigFile(fileWith(header))).toEqual({ choosesImage: false })
  expect(
    readConfigFile(
      fileWith(`${header}name: shop\nnodes:\n- role: control-plane\n- role: worker\n  image: kindest/node:v1.36.4\n`),
    ),
  ).toEqual({ name: 'shop', choosesImage: true })
})

test.each([
  ['- a', /is not a map of keys/],
  ['a: [', /:1: is not valid YAML: a `\[` or `\{` is not closed/],
  ['kind: Cluster', /has apiVersion missing and kind "Cluster"/],
  [`${header}nodes:\n- role: worker\n`, /has no node with the role control-plane/],
])('the config file %j is rejected', (text, words) => {
  expect(() => readConfigFile(fileWith(text))).toThrow(ConfigError)
  expect(() => readConfigFile(fileWith(text))).toThrow(words)
})

test('a config file that does not exist is reported', () => {
  expect(() => readConfigFile('nowhere/kind.yaml')).toThrow(
    'cluster.config: the file nowhere/kind.yaml cannot be read (ENOENT)',
  )
})
