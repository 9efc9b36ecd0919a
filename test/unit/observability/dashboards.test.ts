import { expect, test } from 'vitest'
import { panelQueries } from '../../../dev/dashboards/queries.ts'
import { dashboards } from '../../../src/observability/dashboards/index.ts'
import { selectorsIn, syntaxFaults } from '../../promql.ts'

type Panel = {
  id: number
  type: string
  title: string
  description?: string
  gridPos: { x: number; y: number; w: number; h: number }
  datasource?: { uid: string }
  fieldConfig?: { defaults: { unit?: string } }
  targets?: { expr: string; datasource: { uid: string } }[]
}
type Variable = { name: string; type: string; query: string | { query: string } }
type Content = {
  uid: string
  schemaVersion: number
  tags: string[]
  panels: Panel[]
  templating: { list: Variable[] }
  annotations: { list: { datasource: { uid: string }; target: { tags: string[]; type: string } }[] }
}

const contents = dashboards.map(({ content }) => content as unknown as Content)
const graphs = contents.flatMap(({ panels }) => panels.filter(({ type }) => type !== 'row'))
const values = { namespace: 'shop', service: 'backend', range: '1m', wholeRange: '1h' }

test('the UIDs stay, because links and annotations refer to them', () => {
  expect(dashboards.map(({ uid }) => uid)).toEqual(['mesh-canary-services', 'mesh-canary-canary'])
})

test('every query is PromQL with all variables filled in', () => {
  const queries = panelQueries(values)
  expect(queries.length).toBeGreaterThan(25)
  for (const { panel, expr } of queries) {
    expect(syntaxFaults(expr), `${panel}: ${expr}`).toEqual([])
    expect(selectorsIn(expr).length, panel).toBeGreaterThan(0)
    // `$1` belongs to label_replace.
    expect(expr.replaceAll('"$1"', ''), panel).not.toContain('$')
  }
})

test('a query that is no PromQL is found', () => {
  expect(syntaxFaults('sum(rate(x[1m])')).not.toEqual([])
})

test('every query asks only for the chosen namespace and service', () => {
  for (const { panel, expr } of panelQueries(values))
    for (const selector of selectorsIn(expr)) {
      expect(selector, panel).toMatch(/"shop"|\[\.\]shop\[\.\]/)
      expect(selector, panel).toMatch(/"backend"|\(backend\)/)
    }
})

test('every panel says what it shows and in which unit, and lets the user choose the data source', () => {
  for (const { title, description, fieldConfig, datasource, targets = [] } of graphs) {
    expect(description, title).toMatch(/\.$/)
    expect(fieldConfig?.defaults.unit, title).toMatch(/^(reqps|percentunit|percent|ms|short)$/)
    expect(
      [datasource, ...targets.map((each) => each.datasource)].map((each) => each?.uid),
      title,
    ).toEqual(Array(1 + targets.length).fill('${datasource}'))
  }
})

test('panels fill the width of the grid, do not overlap, and have ids of their own', () => {
  for (const { panels } of contents) {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)}/${y + Math.floor(i / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24)
  }
})

test('the annotations of promotions appear, by the tags that a promotion writes', () => {
  const tags = contents.map(({ annotations }) => annotations.list.map(({ target }) => target.tags))
  expect(tags).toEqual([[['mesh-canary', '$namespace']], [['mesh-canary', '$namespace', '$service']]])
})

test('the variables choose a data source, a namespace and a service', () => {
  for (const { templating } of contents) {
    expect(templating.list.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'datasource datasource',
      'namespace query',
      'service query',
    ])
    const queries = templating.list.slice(1).map(({ query }) => (query as { query: string }).query)
    for (const query of queries) {
      const [, selector = ''] = /^label_values\((.+), \w+\)$/.exec(query) ?? []
      expect(syntaxFaults(selector), query).toEqual([])
      expect(selector).toContain('istio_requests_total')
    }
  }
})
