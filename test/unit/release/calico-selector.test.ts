import { expect, test } from 'vitest'
import { selectsByCalico } from '../../../src/release/calico-selector.ts'

const till = { app: 'till', 'shop.test/tier': 'front' }

test.each<[string, boolean]>([
  ['', true],
  ['all()', true],
  ["app == 'till'", true],
  ['app == "desk"', false],
  ["app != 'desk' && zone != 'inner'", true],
  ["app != 'till'", false],
  ["app in {'desk', 'till'}", true],
  ["app not in { 'desk' }", true],
  ["zone in {'inner'}", false],
  ["zone not in {'inner'}", true],
  ['app in {}', false],
  ['has(shop.test/tier)', true],
  ['has(zone)', false],
  ['!has(zone)', true],
  ["app contains 'il'", true],
  ["zone contains 'il'", false],
  ["app starts with 'ti'", true],
  ["app ends with 'desk'", false],
  ["app == 'desk' || app == 'till' && has(zone)", false],
  ["(app == 'desk' || app == 'till') && shop.test/tier == 'front'", true],
  ["!(app == 'till')", false],
])('%s selects the pod: %s', (selector, expected) => {
  expect(selectsByCalico(selector, till)).toBe(expected)
})

test.each<[string, boolean | undefined]>([
  ["projectcalico.org/serviceaccount == 'till'", undefined],
  ["!(pcns.env == 'prod')", undefined],
  ['has(pcsa.team)', undefined],
  ["pcns.env == 'prod' && app == 'till'", undefined],
  ["pcns.env == 'prod' || app == 'desk'", undefined],
  ["pcns.env == 'prod' && app == 'desk'", false],
  ["pcns.env == 'prod' || app == 'till'", true],
])('%s depends on a label that Calico adds: %s', (selector, expected) => {
  expect(selectsByCalico(selector, till)).toBe(expected)
})

test.each([
  'app ==',
  "app = 'till'",
  'app',
  "(app == 'till'",
  "app == 'till' app",
  'some(app)',
  "app in {'till'",
  'has(',
  '&&',
])('what it says is unknown: %s', (selector) => {
  expect(selectsByCalico(selector, till)).toBeUndefined()
})
