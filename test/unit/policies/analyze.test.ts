import { chmodSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadAll } from 'js-yaml'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { messagesIn } from '../../../src/mesh/analysis-messages.ts'
import { analyze, classify } from '../../../src/policies/analyze.ts'
import type { Action, Planned } from '../../../src/policies/plan.ts'
import { tempFolder } from '../fixtures.ts'
import { policy, route, rule } from './keeper.ts'

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
])('istioctl printed %j', (stdout, messages) => {
  expect(messagesIn(stdout)).toEqual(messages)
})

describe('of what istioctl found', () => {
  const told = 'IST0101: VirtualService shop/backend: Referenced host+subset in destinationrule not found: "backend+v9"'
  test('errors and warnings are told apart, each once, and infos left out', () => {
    expect(classify([error, info, warning, error], [])).toEqual({
      errors: [told],
      warnings: ['IST0103: Pod shop/a: The pod is missing the Istio proxy.'],
    })
  })
  test('the codes that the user does not want to hear are left out', () => {
    expect(classify([error, warning], ['IST0103'])).toEqual({ errors: [told], warnings: [] })
    expect(classify([error, warning], ['IST0101', 'IST0103'])).toEqual({ errors: [], warnings: [] })
  })
  test('what is wrong with an object that goes is left out', () => {
    expect(classify([error, warning], [], [policy('VirtualService', 'backend', {})])).toEqual({
      errors: [],
      warnings: ['IST0103: Pod shop/a: The pod is missing the Istio proxy.'],
    })
    expect(
      classify([error], [], [policy('VirtualService', 'other', {}), policy('DestinationRule', 'backend', {})]).errors,
    ).toEqual([told])
  })
  test('a route whose gateway goes is an error', () => {
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

describe('istioctl is run', () => {
  /** A program that stands in for it, as what it prints is to be chosen: the real one is run by the e2e tests. */
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

  const planned = (action: Action, object: KubeObject): Planned => ({ action, object, diff: [] })

  test('on the cluster with what is written and without what goes, and leaves no file behind', async () => {
    const tempDir = tempFolder()
    const kept = join(tempFolder(), 'kept.yaml')
    const echo = standIn(`cp "$2" ${kept}; shift 2; printf '[{"code":"X","level":"Error","message":"%s"}]' "$*"`)
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
    expect(loadAll(readFileSync(kept, 'utf8'))).toEqual([
      route(['v1', 100]),
      rule('v1'),
      { ...policy('Sidecar', 'default', { workloadSelector: { labels: { 'mesh-canary.io/analyze': 'nobody' } } }) },
      policy('Gateway', 'g', {}),
    ])
  })

  test('and when it cannot analyze, its own words are told', async () => {
    const tempDir = tempFolder()
    await expect(
      analyze([], options(standIn('echo "Error: the cluster does not answer" >&2; exit 1'), tempDir)),
    ).rejects.toThrow('istioctl analyze (exit code 1) gave no result: Error: the cluster does not answer')
    expect(readdirSync(tempDir)).toEqual([])
  })
})
