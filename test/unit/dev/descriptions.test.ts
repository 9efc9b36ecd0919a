import { expect, test } from 'vitest'
import * as z from 'zod'
import { checkDescriptions, keysWithoutDescription } from '../../../dev/descriptions.ts'
import { publishedSchema, type SchemaNode } from '../../../src/config/published.ts'
import { schema } from '../../../src/config/schema.ts'

const published = (planted: z.ZodRawShape) => z.toJSONSchema(schema.extend(planted), { io: 'input' }) as SchemaNode

test('the check passes for the schema, all of whose keys have a description', () => {
  expect(() => checkDescriptions()).not.toThrow()
})

test('the check fails on a planted key without a description, and names the key', () => {
  expect(() => checkDescriptions(published({ planted: z.string().optional() }))).toThrow('no description for planted:')
})

test('the check fails on a planted key with an empty description', () => {
  const planted = z.string().optional().describe(' ')
  expect(() => checkDescriptions(published({ planted }))).toThrow('no description for planted:')
})

test('the check finds keys inside sections, under free names and in items of lists', () => {
  const undescribed = z.object({ inner: z.string() })
  const planted = z.object({ section: undescribed, map: z.record(z.string(), undescribed), list: z.array(undescribed) })
  expect(keysWithoutDescription(z.toJSONSchema(planted) as SchemaNode)).toEqual([
    'section',
    'section.inner',
    'map',
    'map.<name>.inner',
    'list',
    'list[].inner',
  ])
})

test('the check reaches every level of the published schema', () => {
  const withoutDescriptions = JSON.parse(
    JSON.stringify(publishedSchema(), (key, value: unknown) =>
      key === 'description' && typeof value === 'string' ? undefined : value,
    ),
  ) as SchemaNode
  expect(keysWithoutDescription(withoutDescriptions)).toEqual(
    expect.arrayContaining([
      'namespace',
      'services.<name>.routes[].match.headers',
      'canary.checks.queries.<name>.failures',
      'canaries[].guard.after',
    ]),
  )
})
