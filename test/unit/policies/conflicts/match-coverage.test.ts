import { describe, expect, test } from 'vitest'
import { coversAll, isCovered, type Matches } from '../../../../src/policies/conflicts/match-coverage.ts'

const path = (prefix: string) => ({ uri: { prefix } })
const header = (name: string, value: object) => ({ headers: { [name]: value } })

describe('an earlier route takes every request of a later one', () => {
  test.each<[string, Matches, Matches]>([
    ['without a match', [path('/a')], []],
    ['with an empty match', [path('/a')], [{}]],
    ['for a shorter prefix', [path('/api/v1')], [path('/api')]],
    ['for a prefix of an exact path', [{ uri: { exact: '/api/x' } }], [path('/api')]],
    ['for every path', [header('a', { exact: '1' })], [path('/')]],
    ['for every path by a regular expression', [], [{ uri: { regex: '/.*' } }]],
    ['with one of its conditions', [{ ...path('/a'), method: { exact: 'GET' } }], [{ method: { exact: 'GET' } }]],
    ['for any value of its header', [header('a', { exact: '1' })], [header('a', {})]],
    ['for several of its entries', [path('/a'), path('/b')], [path('/b/'), path('/b'), path('/a')]],
    ['whatever the entries are called', [path('/a')], [{ ...path('/a'), name: 'a' }]],
    ['for more gateways', [{ gateways: ['mesh'] }], [{ gateways: ['edge', 'mesh'] }]],
  ])('%s', (_, later, earlier) => {
    expect(isCovered(later, [earlier])).toBe(true)
  })

  test('together with other routes', () => {
    expect(isCovered([path('/a'), path('/b')], [[path('/a')], [path('/b')]])).toBe(true)
    expect(isCovered([path('/a'), path('/c')], [[path('/a')], [path('/b')]])).toBe(false)
  })
})

describe('an earlier route leaves requests to a later one', () => {
  test.each<[string, Matches, Matches]>([
    ['without a match', [], [path('/a')]],
    ['for other paths', [path('/a')], [path('/b')]],
    ['for a longer prefix', [path('/api')], [path('/api/v1')]],
    ['with a header that it does not require', [path('/a')], [{ ...path('/a'), ...header('a', { exact: '1' }) }]],
    ['with another value of its header', [header('a', { exact: '1' })], [header('a', { exact: '2' })]],
    ['with its header only', [], [header('a', {})]],
    ['at another gateway', [{ gateways: ['edge'] }], [{ gateways: ['mesh'] }]],
    ['for other callers', [], [{ sourceLabels: { app: 'web' } }]],
    ['for another port', [], [{ port: 80 }]],
    ['for a path that a regular expression may not contain', [{ uri: { regex: '/a.*' } }], [path('/a')]],
    ['where the case of the path matters', [{ ...path('/A'), ignoreUriCase: true }], [{ uri: { exact: '/A' } }]],
  ])('%s', (_, later, earlier) => {
    expect(isCovered(later, [earlier])).toBe(false)
  })
})

test('a match of one gateway may take everything there', () => {
  expect(coversAll([{ gateways: ['edge'] }])).toBe(true)
  expect(coversAll([{ gateways: ['edge'], ...path('/a') }])).toBe(false)
})
