import { chmodSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadAll } from 'js-yaml'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { messagesIn } from '../../../src/mesh/analysis-messages.ts'
import { analyze, classify, withoutPortsOfCallers } from '../../../src/policies/analyze.ts'
import type { ChangeAction, PlannedChange } from '../../../src/policies/plan.ts'
import { tempFolder } from '../fixtures.ts'
import { policy, route, rule } from './recording-cluster.ts'

const signal = new AbortController().signal
const error = {
  code: 'IST0101',
  level: 'Error',
  origin: 'VirtualService shop/backend',
  message: 'Referenced host+subset in destinationrule not found: "backend+v9"',
}
const warning = {
  code: 'IST0103',
  level: 'Warning',
  origin: 'Pod shop/a',
  message: 'The pod is missing the Istio proxy.',
}
const info = { code: 'IST0102', level: 'Info', message: 'The namespace is not enabled for Istio injection.' }

test.each([
  ['[]', []],
  ['null', []],
  ['[]\n', []],
  ['Analyzing…\n[\n\t{"code": "IST0101"}\n]', [{ code: 'IST0101' }]],
  ['', undefined],
  ['Error: no cluster', undefined],
  ['[{"code"', undefined],
])('the messages of istioctl are parsed from %j', (stdout, messages) => {
  expect(messagesIn(stdout)).toEqual(messages)
})

test('a route without a port is an error at a gateway, but not for sidecars, which keep the port of the request', () => {
  const planned = (name: string, gateways?: string[]): PlannedChange => ({
    action: 'change',
    object: policy('VirtualService', name, { hosts: ['backend'], ...(gateways ? { gateways } : {}) }),
    diff: [],
  })
  const messages = ['inside', 'edge', 'other'].map((name) => ({
    code: 'IST0112',
    origin: `VirtualService shop/${name}`,
  }))
  expect(withoutPortsOfCallers([error, ...messages], [planned('inside'), planned('edge', ['mesh', 'public'])])).toEqual(
    [error, messages[1], messages[2]],
  )
})

describe('classify', () => {
  const formatted =
    'IST0101: VirtualService shop/backend: Referenced host+subset in destinationrule not found: "backend+v9"'
  test('separates errors from warnings, lists each once and omits infos', () => {
    expect(classify([error, info, warning, error], [])).toEqual({
      errors: [formatted],
      warnings: ['IST0103: Pod shop/a: The pod is missing the Istio proxy.'],
    })
  })
  test('omits the codes that the user suppresses', () => {
    expect(classify([error, warning], ['IST0103'])).toEqual({ errors: [formatted], warnings: [] })
    expect(classify([error, warning], ['IST0101', 'IST0103'])).toEqual({ errors: [], warnings: [] })
  })
  test('omits errors of an object that the run deletes', () => {
    expect(classify([error, warning], [], [policy('VirtualService', 'backend', {})])).toEqual({
      errors: [],
      warnings: ['IST0103: Pod shop/a: The pod is missing the Istio proxy.'],
    })
    expect(
      classify([error], [], [policy('VirtualService', 'other', {}), policy('DestinationRule', 'backend', {})]).errors,
    ).toEqual([formatted])
  })
  test('reports an error for a route whose gateway the run deletes', () => {
    const lost = (gateway: string) => ({
      code: 'IST0132',
      level: 'Warning',
      origin: 'VirtualService shop/theirs',
      message: `one or more host [x.example.com] defined in VirtualService shop/theirs not found in Gateway ${gateway}.`,
    })
    const { errors, warnings } = classify([lost('shop/g'), lost('shop/other')], [], [policy('Gateway', 'g', {})])
    expect(errors).toEqual([expect.stringMatching(/^IST0132: .*Gateway shop\/g\.$/)])
    expect(warnings).toEqual([expect.stringMatching(/Gateway shop\/other\.$/)])
  })
})

describe('analyze', () => {
  /** A script that stands in for istioctl, so that a test chooses its output. The e2e tests run the real one. */
  function standIn(script: string): string {
    const file = join(tempFolder(), 'istioctl')
    writeFileSync(file, `#!/bin/sh\n${script}\n`)
    chmodSync(file, 0o755)
    return file
  }
  const options = (istioctl: string, tempDir = tempFolder()) => ({
    istioctl,
    cliArgs: ['--context', 'kind'],
    namespace: 'shop',
    suppress: [],
    tempDir,
    signal,
  })

  const planned = (action: ChangeAction, object: KubeObject): PlannedChange => ({ action, object, diff: [] })

  test('passes the cluster and the planned objects without the deleted ones, and leaves no file behind', async () => {
    const tempDir = tempFolder()
    const written = join(tempFolder(), 'kept.yaml')
    const echo = standIn(`cp "$2" ${written}; shift 2; printf '[{"code":"X","level":"Error","message":"%s"}]' "$*"`)
    const sidecar = policy('Sidecar', 'default', { egress: [] }, { labels: { a: 'b' }, uid: 'u' })
    const { errors } = await analyze(
      [
        planned('create', route(['v1', 100])),
        planned('change', rule('v1')),
        planned('unchanged', policy('Telemetry', 'default', {})),
        planned('delete', sidecar),
        planned('delete', policy('Gateway', 'g', { servers: [] })),
      ],
      options(echo, tempDir),
    )
    expect(errors).toEqual(['X: --use-kube -n shop -o json --context kind'])
    expect(readdirSync(tempDir)).toEqual([])
    expect(loadAll(readFileSync(written, 'utf8'))).toEqual([
      route(['v1', 100]),
      rule('v1'),
      { ...policy('Sidecar', 'default', { workloadSelector: { labels: { 'mesh-canary.io/analyze': 'nobody' } } }) },
      policy('Gateway', 'g', {}),
    ])
  })

  test('quotes istioctl when it cannot analyze', async () => {
    const tempDir = tempFolder()
    await expect(
      analyze([], options(standIn('echo "Error: the cluster does not answer" >&2; exit 1'), tempDir)),
    ).rejects.toThrow('istioctl analyze (exit code 1) gave no result: Error: the cluster does not answer')
    expect(readdirSync(tempDir)).toEqual([])
  })
})
