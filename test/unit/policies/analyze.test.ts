import { chmodSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { analyze, judged, messagesOf } from '../../../src/policies/analyze.ts'
import { tempFolder } from '../fixtures.ts'
import { rule } from './keeper.ts'

const signal = new AbortController().signal
const error = { code: 'IST0101', level: 'Error', origin: 'VirtualService shop/backend', message: 'Referenced host+subset in destinationrule not found: "backend+v9"' }
const warning = { code: 'IST0103', level: 'Warning', origin: 'Pod shop/a', message: 'The pod is missing the Istio proxy.' }
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
  expect(messagesOf(stdout)).toEqual(messages)
})

describe('of what istioctl found', () => {
  const told = 'IST0101: VirtualService shop/backend: Referenced host+subset in destinationrule not found: "backend+v9"'
  test('errors and warnings are told apart, each once, and infos left out', () => {
    expect(judged([error, info, warning, error], [])).toEqual({ errors: [told], warnings: ['IST0103: Pod shop/a: The pod is missing the Istio proxy.'] })
  })
  test('the codes that the user does not want to hear are left out', () => {
    expect(judged([error, warning], ['IST0103'])).toEqual({ errors: [told], warnings: [] })
    expect(judged([error, warning], ['IST0101', 'IST0103'])).toEqual({ errors: [], warnings: [] })
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
  const options = (istioctl: string, tempDir = tempFolder()) => ({ istioctl, cliArgs: ['--context', 'kind'], namespace: 'shop', suppress: [], tempDir, signal })

  test('on the new objects and the cluster, and leaves no file behind', async () => {
    const tempDir = tempFolder()
    const echo = standIn('printf \'[{"code":"X","level":"Error","message":"%s"}]\' "$(echo "$1 $(grep -c "kind: DestinationRule" "$2") $3 $4 $5 $6 $7 $8 $9")"')
    const { errors } = await analyze([rule('v1'), rule('v2')], options(echo, tempDir))
    expect(errors).toEqual(['X: analyze 2 --use-kube -n shop -o json --context kind'])
    expect(readdirSync(tempDir)).toEqual([])
  })

  test('and when it cannot analyze, its own words are told', async () => {
    const tempDir = tempFolder()
    await expect(analyze([], options(standIn('echo "Error: the cluster does not answer" >&2; exit 1'), tempDir))).rejects.toThrow('istioctl analyze (exit code 1) gave no result: Error: the cluster does not answer')
    expect(readdirSync(tempDir)).toEqual([])
  })
})
