// Ten files of each engine, to mesh.yaml and back: what the result expresses comes back equal, and the rest is listed.
import { describe, expect, test } from 'vitest'
import { configOf } from '../../../../src/config/load.ts'
import { warningsOf } from '../../../../src/config/warnings.ts'
import { toObjects } from '../../../../src/engines/convert/back.ts'
import { type Conversion, toMeshYaml } from '../../../../src/engines/convert/convert.ts'
import { checkFields, isEngineKind, readObjects, type SourceObject } from '../../../../src/engines/convert/source.ts'
import { kindOf, type KubeObject } from '../../../../src/cluster/objects.ts'
import { fieldFaults } from '../../../../src/policies/manifests/manifest-schema.ts'
import { addressOf, at, filesOf, leavesOf, meaningOf, type Path, rendered, startsWith } from './leaves.ts'

const engines = ['flagger', 'argo-rollouts'] as const

type Section = Record<string, unknown>
type Metric = { name: string; interval?: string; threshold?: number; query?: string } & Section

describe.each(engines)('%s', (engine) => {
  const files = filesOf(engine)

  test('there are ten files', () => {
    expect(files).toHaveLength(10)
  })

  describe.each(files)('$name', (file) => {
    const forth = toMeshYaml([file])
    const config = configOf({ name: 'mesh.yaml', text: forth.text })
    const back = toObjects({ name: 'mesh.yaml', text: forth.text }, engine)
    const roots = forth.objects.filter(({ kind }) => kind === 'Canary' || kind === 'Rollout')

    test('becomes a config that is valid, without a warning', () => {
      const plans = config.canary ? [config.canary] : (config.canaries ?? [])
      expect(plans.map(({ service }) => service)).toHaveLength(roots.length)
      expect(warningsOf(config, Date.now())).toEqual([])
    })

    test('every value is in the result, or listed once', () => {
      for (const object of forth.objects)
        for (const { path } of leavesOf(object.value)) {
          const listed = leftOf(forth, object).filter((each) => startsWith(path, each))
          const title = `${object.kind} ${object.name} ${path.join('.')}`
          expect([title, listed.length + (forth.isTaken(object, path) ? 1 : 0)]).toEqual([title, 1])
        }
    })

    test('the objects that come back are valid for their CRDs', () => {
      const objects = readObjects([{ name: 'objects.yaml', text: back.text }])
      expect(objects.map(({ kind }) => kind)).toEqual(expect.arrayContaining(roots.map(({ kind }) => kind)))
      for (const object of objects) {
        if (isEngineKind(object.kind)) expect(checkFields(object)).toEqual([])
        else expect(fieldFaults(kindOf(object.value as KubeObject)!, object.value as KubeObject)).toEqual([])
      }
    })

    test('what the result says without the source is listed', () => {
      const keys = forth.entries.filter(({ about }) => about === 'assumed').map(({ says }) => says)
      const saysNothingOfSuccess = engine === 'argo-rollouts' || !/name: request-success-rate/.test(file.text)
      expect(keys.some((says) => says.includes('checks.successRate'))).toBe(saysNothingOfSuccess)
    })

    test.each(roots.map((root) => ({ name: root.name, root })))(
      '$name: what the result expresses comes back',
      ({ root }) => {
        const compare = engine === 'flagger' ? compareCanary : compareRollout
        const compared = compare(root, forth, back.objects)
        expect(compared).toBeGreaterThan(4)
      },
    )

    test('the way back leaves out only what it lists', () => {
      const kinds = back.entries.map(
        ({ about, path }) => `${about} ${path.filter((key) => key !== 'canary').join('.')}`,
      )
      const ofValues = kinds.filter((each) => /^(left|differs) /.test(each))
      // Only numbers of failures, and queries without a result, have another meaning there, and no value gets lost.
      expect(ofValues.filter((each) => !/^differs .*(failures|query)$/.test(each))).toEqual([])
      expect(kinds.some((each) => /^default .*checks\.falsePromotion$/.test(each))).toBe(true)
    })
  })
})

function leftOf({ entries }: Conversion, object: SourceObject): Path[] {
  return entries.filter((each) => each.object === object && each.about === 'left').map(({ path }) => path)
}

function differs({ entries }: Conversion, object: SourceObject, path: Path): boolean {
  return entries.some((each) => each.object === object && each.about === 'differs' && startsWith(path, each.path))
}

/** Whether the result has the value, with the same meaning. */
function isExpressed(forth: Conversion, object: SourceObject, path: Path): boolean {
  return forth.isTaken(object, path) && !differs(forth, object, path)
}

/** Compares what comes back with a Canary. Returns the number of values. */
function compareCanary(root: SourceObject, forth: Conversion, objects: readonly KubeObject[]): number {
  const spec = root.value['spec'] as Section
  const service = (at(spec, ['service', 'name']) ?? at(spec, ['targetRef', 'name'])) as string
  const canary = objects.find(({ kind, metadata }) => kind === 'Canary' && metadata.name === service)!
  const analysis = at(canary, ['spec', 'analysis']) as Section
  let compared = 0
  for (const { path, value } of leavesOf(root.value)) {
    if (!isExpressed(forth, root, path)) continue
    const [, section, list, index] = path
    if (section !== 'analysis') {
      if (path.join('.') === 'spec.service.name') expect(canary.metadata.name).toBe(value)
      else if (path.join('.') !== 'spec.metricsServer')
        expect([path, meaningOf(at(canary, path))]).toEqual([path, meaningOf(value)])
    } else if (String(list).startsWith('stepWeight') || list === 'maxWeight')
      expect(weightsOf(analysis)).toEqual(weightsOf(spec['analysis'] as Section))
    else if (list === 'metrics')
      compareMetric(at(spec, ['analysis', 'metrics', index!]) as Metric, root, forth, canary, objects)
    else if (list === 'webhooks')
      compareWebhook(path.slice(4), value, at(spec, ['analysis', 'webhooks', index!]) as Section, analysis)
    else if (list === 'match') compareMatch(value, path.slice(4), analysis)
    else expect([path, meaningOf(at(canary, path))]).toEqual([path, meaningOf(value)])
    compared++
  }
  return compared
}

function weightsOf({ stepWeight, maxWeight = 100, stepWeights }: Section): number[] {
  if (stepWeight === undefined) return (stepWeights as number[]).filter((weight) => weight < 100)
  const weights = []
  for (let weight = 0; weight < (maxWeight as number); ) weights.push((weight += stepWeight as number))
  return weights.filter((weight) => weight < 100)
}

const nameIn = (name: unknown) => String(name).toLowerCase().replaceAll(' ', '-')

type Meaning = { min?: unknown; max?: unknown; query?: string; address?: string }

function metricMeaning(metric: Metric, spec: Section, templates: readonly KubeObject[]): Meaning {
  const [ref, range] = [
    metric['templateRef'] as { name: string } | undefined,
    metric['thresholdRange'] as Section | undefined,
  ]
  const bounds = range ? { ...range } : { max: metric.threshold }
  if (!ref && metric.query === undefined) return bounds
  const template = templates.find(({ kind, metadata }) => kind === 'MetricTemplate' && metadata.name === ref?.name)
  const variables = Object.entries((metric['templateVariables'] ?? {}) as Section)
  // The names that Flagger fills in stay as they are, so that one cannot stand for another.
  const values = {
    ...Object.fromEntries(['namespace', 'service', 'target'].map((name) => [name, `{{ ${name} }}`])),
    interval: meaningOf(metric.interval ?? '1m'),
    ...Object.fromEntries(variables.map(([key, value]) => [`variables.${key}`, value])),
  }
  const query = rendered(template ? at(template, ['spec', 'query']) : metric.query, values)
  const address = template ? at(template, ['spec', 'provider', 'address']) : spec['metricsServer']
  // A window of `1m` may come back as `{{ interval }}`.
  return {
    ...bounds,
    query: query.replace(/\[(\w+)\]/g, (_, time: string) => `[${String(meaningOf(time))}]`),
    address: addressOf(address),
  }
}

function compareMetric(
  metric: Metric,
  root: SourceObject,
  forth: Conversion,
  canary: KubeObject,
  objects: readonly KubeObject[],
): void {
  const spec = at(canary, ['spec']) as Section
  const metrics = at(spec, ['analysis', 'metrics']) as Metric[]
  const found = metrics.find(({ name }) => name === nameIn(metric.name))!
  const given = forth.objects.map(({ value }) => value as unknown as KubeObject)
  const there = metricMeaning(metric, root.value['spec'] as Section, given)
  const here = metricMeaning(found, spec, objects)
  // Bounds that no response can miss are listed.
  if (there.query === undefined) expect(there).toMatchObject(here)
  else expect(here).toEqual(there)
}

function compareWebhook(path: Path, value: unknown, { name }: Section, { webhooks }: Section): void {
  const found = (webhooks as Section[]).find((each) => each['name'] === nameIn(name))!
  const comparable = path[0] === 'name' ? nameIn(value) : meaningOf(value)
  expect(meaningOf(at(found, path))).toEqual(comparable)
}

function compareMatch(value: unknown, path: Path, { match }: Section): void {
  const found = (match as unknown[]).flatMap((each) => leavesOf(each)).find((each) => each.path.join() === path.join())
  expect((match as unknown[]).map((each) => at(each, path))).toContain(value)
  expect(found).toBeDefined()
}

/** Compares what comes back with a Rollout, and with the templates that it names. Returns the number of values. */
function compareRollout(root: SourceObject, forth: Conversion, objects: readonly KubeObject[]): number {
  const canary = at(root.value, ['spec', 'strategy', 'canary']) as Section
  const version = forth.isTaken(root, stable) ? stable : subset
  const rollout = objects.find((each) => each.kind === 'Rollout' && at(each, version) === at(root.value, version))
  expect(rollout).toBeDefined()
  let compared = compareSteps(
    canary['steps'] as Section[],
    root,
    forth,
    at(rollout, ['spec', 'strategy', 'canary', 'steps']) as Section[],
  )
  for (const { path, value } of leavesOf(root.value)) {
    const section = path.slice(0, 4).join('.')
    if (!isExpressed(forth, root, path) || /\.(steps|analysis)$/.test(section)) continue
    if (path.includes('routes')) expect(routesOf(rollout!)).toContain(value)
    else if (path.includes('virtualServices'))
      expect(at(rollout, [...path.slice(0, 5), 'virtualService', 'name'])).toBe(value)
    else expect([path, meaningOf(at(rollout, path))]).toEqual([path, meaningOf(value)])
    compared++
  }
  return compared + compareAnalyses(root, forth, objects)
}

const stable = ['spec', 'strategy', 'canary', 'stableService']
const subset = ['spec', 'strategy', 'canary', 'trafficRouting', 'istio', 'destinationRule', 'stableSubsetName']

function routesOf(rollout: KubeObject): unknown {
  return at(rollout, ['spec', 'strategy', 'canary', 'trafficRouting', 'istio', 'virtualService', 'routes'])
}

/** What is expressed comes back in the same order, with other steps between. */
function compareSteps(steps: Section[], root: SourceObject, forth: Conversion, found: Section[]): number {
  const path: Path = ['spec', 'strategy', 'canary', 'steps']
  const expressed = steps.flatMap((step, i) => {
    const leaves = leavesOf(step).filter((each) => isExpressed(forth, root, [...path, i, ...each.path]))
    return leaves.length === 0 ? [] : [stepMeaning(leaves)]
  })
  let next = 0
  for (const step of found) {
    const meaning = stepMeaning(leavesOf(step).filter(({ path }) => path[1] !== 'name'))
    if (next < expressed.length && JSON.stringify(meaning) === JSON.stringify(expressed[next])) next++
  }
  expect(expressed.slice(next)).toEqual([])
  return expressed.length
}

/** The values in the order of their paths. A time without a unit is in seconds. */
function stepMeaning(leaves: { path: Path; value: unknown }[]): unknown {
  const text = ({ path, value }: { path: Path; value: unknown }) => {
    const isTime = path.at(-1) === 'duration'
    const seconds = isTime && /^\d+$/.test(String(value)) ? `${String(value)}s` : value
    return `${path.join('.')} = ${JSON.stringify(isTime ? meaningOf(seconds) : value)}`
  }
  return leaves.map(text).sort()
}

/** Every metric that is expressed comes back in a template of its own. */
function compareAnalyses(root: SourceObject, forth: Conversion, objects: readonly KubeObject[]): number {
  const metrics = objects
    .filter(({ kind }) => kind === 'AnalysisTemplate')
    .flatMap((each) => at(each, ['spec', 'metrics']) as Metric[])
  let compared = 0
  for (const template of forth.objects.filter(({ kind }) => kind.endsWith('AnalysisTemplate')))
    (at(template.value, ['spec', 'metrics']) as Metric[] | undefined)?.forEach((metric, i) => {
      const path = ['spec', 'metrics', i]
      if (!forth.isTaken(template, [...path, 'name'])) return
      const found = metrics.find(({ name }) => name === metric.name)!
      for (const leaf of leavesOf(metric)) {
        if (!isExpressed(forth, template, [...path, ...leaf.path])) continue
        const [there, here] = [leaf.value, at(found, leaf.path)].map((each) => argoMeaning(each, root, template))
        expect([leaf.path, here]).toEqual([leaf.path, there])
        compared++
      }
    })
  return compared
}

function argoMeaning(value: unknown, root: SourceObject, template: SourceObject): unknown {
  const analysis = at(root.value, ['spec', 'strategy', 'canary']) as { analysis?: Section; steps: Section[] }
  const given = [analysis.analysis, ...analysis.steps.map((step) => step['analysis'] as Section | undefined)]
  const args = [template.value['spec'] as Section, ...given].flatMap((each) => (each?.['args'] ?? []) as Section[])
  const values = args.flatMap(({ name, value, valueFrom }): [string, unknown][] => {
    const field = at(valueFrom, ['fieldRef', 'fieldPath'])
    const known = field === 'metadata.namespace' ? root.namespace : field === undefined ? value : 'eu'
    return known === undefined ? [] : [[`args.${String(name)}`, known]]
  })
  const text = rendered(value, Object.fromEntries(values))
  const isAddress = /^https?:/.test(text)
  return isAddress ? addressOf(text) : meaningOf(text)
}
