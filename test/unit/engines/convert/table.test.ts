// The tables of counterparts, which the pages docs/from-*.md show: they know every field, and say what the converter does.
import { describe, expect, test } from 'vitest'
import { publishedSchema } from '../../../../src/config/published.ts'
import { argoTable } from '../../../../src/engines/convert/argo/table.ts'
import { toMeshYaml } from '../../../../src/engines/convert/convert.ts'
import fields from '../../../../src/engines/convert/crd-fields.json' with { type: 'json' }
import { flaggerTable } from '../../../../src/engines/convert/flagger/table.ts'
import { ourTable } from '../../../../src/engines/convert/ours.ts'
import { rowFor } from '../../../../src/engines/convert/table.ts'
import { parse } from '../../../../src/yaml/parse.ts'
import { at, filesOf, leavesOf, startsWith, type Path } from './leaves.ts'

const tables = { flagger: flaggerTable, 'argo-rollouts': argoTable }
const kinds: Record<string, string> = fields.kinds
const definitions: Record<string, string>[] = fields.definitions

/** The fields of a kind without fields of their own, with 0 for the items of a list and `any` for the keys of a map. */
function fieldsOf(type: string, path: Path = []): Path[] {
  const bare = type.replace(/!$/, '')
  if (bare.startsWith('[]')) return fieldsOf(bare.slice(2), [...path, 0])
  if (bare.startsWith('{}')) return fieldsOf(bare.slice(2), [...path, 'any'])
  if (!bare.startsWith('#')) return [path]
  return Object.entries(definitions[Number(bare.slice(1))]!).flatMap(([key, each]) => fieldsOf(each, [...path, key]))
}

const dotted = (path: Path) => path.join('.').replace(/\.0(?=\.|$)/g, '[]')

describe.each(Object.entries(tables))('%s', (engine, table) => {
  const ofEngine = [...new Set(table.map(({ kind }) => kind))]

  test('every field of the CRDs has a row', () => {
    const without = ofEngine.flatMap((kind) =>
      fieldsOf(kinds[kind]!).flatMap((path) => (rowFor(table, kind, path) ? [] : [`${kind} ${dotted(path)}`])),
    )
    expect(without).toEqual([])
  })

  test('every row is of a field that the CRDs have', () => {
    const known = new Map(ofEngine.map((kind) => [kind, fieldsOf(kinds[kind]!).map(dotted)]))
    const stale = table.filter(
      ({ kind, field }) =>
        field !== '' &&
        !field.startsWith('metadata.') &&
        !known.get(kind)!.some((each) => `${each}.`.startsWith(`${field}.`) || each.startsWith(`${field}[]`)),
    )
    expect(stale).toEqual([])
  })

  const converted = filesOf(engine).map((file) => ({ file, ...toMeshYaml([file]) }))
  const taken = converted.flatMap(({ text, objects, isTaken }) =>
    objects.flatMap((object) =>
      leavesOf(object.value).flatMap(({ path }) =>
        isTaken(object, path) && !/^(apiVersion|kind)$/.test(path.join('.')) ? [{ kind: object.kind, path, text }] : [],
      ),
    ),
  )

  test('the result has only fields with a counterpart', () => {
    const wrong = taken.filter(({ kind, path }) => rowFor(table, kind, path)?.key === undefined)
    expect(wrong.map(({ kind, path }) => `${kind} ${dotted(path)}`)).toEqual([])
  })

  test.each(table.filter((row) => row.key !== undefined && row.kind !== 'ClusterAnalysisTemplate'))(
    '$kind $field becomes $key in one of the files',
    (row) => {
      const found = taken.filter(({ kind, path }) => rowFor(table, kind, path) === row)
      expect(found.some(({ text }) => hasKey(parse(text).value as object, row.key!))).toBe(true)
    },
  )
})

/** `<name>` is any key. */
function hasKey(config: object, key: string): boolean {
  const steps = key.split('.')
  const plans =
    'canaries' in config && Array.isArray(config.canaries) ? (config.canaries as unknown[]) : [at(config, ['canary'])]
  const roots = steps[0] === 'canary' ? plans : [at(config, [steps[0]!])]
  return roots.some((root) => has(root, steps.slice(1)))
}

function has(value: unknown, [key, ...rest]: string[]): boolean {
  if (key === undefined) return value !== undefined
  if (key === '<name>') return Object.values(value ?? {}).some((each) => has(each, rest))
  return has(at(value, [key]), rest)
}

describe.each(['flagger', 'argo-rollouts'] as const)('the keys of mesh.yaml, for %s', (engine) => {
  const table = ourTable(engine)
  const schema = publishedSchema() as { properties: Record<string, { properties?: Record<string, unknown> }> }

  test('every key of a canary is known', () => {
    const keys = Object.keys(schema.properties['canary']!.properties!)
    expect(keys.filter((key) => rowFor(table, 'mesh.yaml', ['canary', key])?.field !== `canary.${key}`)).toEqual([])
  })

  test('no row is of a key that the config does not have', () => {
    const known = leavesOf(schema).map(({ path }) =>
      path.filter((key) => !['properties', 'items', 'additionalProperties', 'anyOf'].includes(String(key))),
    )
    const rows = table.filter(({ field }) => field !== '' && !field.includes('engine') && !field.startsWith('canaries'))
    const stale = rows.filter(({ field }) => {
      const steps = field.split('.').filter((step) => step !== '*')
      return !known.some((path) => startsWith(path, steps))
    })
    expect(stale).toEqual([])
  })
})
