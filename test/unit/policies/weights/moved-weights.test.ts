import { expect, test } from 'vitest'
import { movedAnnotation, movedVersions, movePatch } from '../../../../src/policies/weights/moved-weights.ts'
import type { Split } from '../../../../src/policies/routes.ts'
import { to, virtualService } from '../../fixtures.ts'

const host = 'backend.shop.svc.cluster.local'
const path = '/metadata/annotations/mesh-canary.io~1moved-weights'
const between = (stable: string, canary: string): Split => ({
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: stable },
  canary: { by: 'subset', name: canary },
})
const split = virtualService([{ route: [to('v1', 100), to('v2', 0)] }])

test('a patch that moves weights marks both versions in the same write', () => {
  expect(movePatch(split, between('v1', 'v2'), 20)).toEqual([
    { op: 'add', path: '/spec/http/0/route/0/weight', value: 80 },
    { op: 'add', path: '/spec/http/0/route/1/weight', value: 20 },
    { op: 'add', path: '/metadata/annotations', value: {} },
    { op: 'add', path, value: `${host}/v1, ${host}/v2` },
  ])
})

test('a patch that moves nothing marks nothing', () => {
  expect(movePatch(split, between('v1', 'v2'), 0)).toEqual([])
})

test('the next promotion adds its versions to the mark, once', () => {
  const annotations = { [movedAnnotation]: `${host}/v1, ${host}/v2` }
  const next = virtualService([{ route: [to('v2', 100), to('v3', 0)] }], { annotations })
  expect(movePatch(next, between('v2', 'v3'), 10).at(-1)).toEqual({
    op: 'add',
    path,
    value: `${host}/v1, ${host}/v2, ${host}/v3`,
  })
  const same = virtualService([{ route: [to('v1', 50), to('v2', 50)] }], { annotations })
  expect(movePatch(same, between('v1', 'v2'), 0)).toHaveLength(2)
  expect(movedVersions(same)).toEqual([`${host}/v1`, `${host}/v2`])
})
