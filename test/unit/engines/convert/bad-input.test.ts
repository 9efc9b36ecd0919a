// Input that `convert` refuses: one error, with the file, the line and the path.
import { expect, test } from 'vitest'
import { toObjects } from '../../../../src/engines/convert/back.ts'
import { toMeshYaml } from '../../../../src/engines/convert/convert.ts'

const canary = (analysis: string, service = '{ port: 80 }', metadata = '{ name: web, namespace: shop }') =>
  `apiVersion: flagger.app/v1beta1
kind: Canary
metadata: ${metadata}
spec:
  targetRef: { apiVersion: apps/v1, kind: Deployment, name: web }
  service: ${service}
  analysis: ${analysis}
`
const rollout = (strategy: string, metadata = '{ name: web, namespace: shop }') =>
  `apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: ${metadata}
spec:
  workloadRef: { apiVersion: apps/v1, kind: Deployment, name: web }
  strategy: ${strategy}
`
const steps = (list: string) => rollout(`{ canary: { stableService: a, canaryService: b, steps: ${list} } }`)
const convert = (...texts: string[]) => toMeshYaml(texts.map((text, i) => ({ name: `file${i + 1}.yaml`, text })))

test.each([
  ['no YAML', 'kind: [Canary', 'file1.yaml:1: is not valid YAML: a `[` or `{` is not closed'],
  [
    'a template of Helm',
    'kind: Canary\nmetadata:\n  name: {{ .Release.Name }}\n',
    'file1.yaml:3: this is a template (`{{`); render it first, for example with `helm template`, and use the output',
  ],
  ['nothing', '', 'file1.yaml:1: there is no object in it; give the file of a Canary or a Rollout'],
  [
    'only comments',
    '# a Canary\n---\n',
    'file1.yaml:1: there is no object in it; give the file of a Canary or a Rollout',
  ],
  ['a text', 'Canary', 'file1.yaml:1: expected an object of Kubernetes, with apiVersion and kind'],
  [
    'no kind',
    '\nmetadata: { name: web }',
    'file1.yaml:2: expected an object of Kubernetes, but it has no apiVersion or no kind',
  ],
  [
    'another kind',
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }',
    'file1.yaml:2: kind: expected a Canary of Flagger or a Rollout of Argo Rollouts among the objects, but found Deployment',
  ],
  [
    'templates without what names them',
    'apiVersion: flagger.app/v1beta1\nkind: MetricTemplate\nmetadata: { name: x }\nspec: { query: up }',
    'file1.yaml:2: kind: expected a Canary of Flagger or a Rollout of Argo Rollouts among the objects, but found MetricTemplate',
  ],
  [
    'an old version of the API',
    canary('{}').replace('v1beta1', 'v1alpha3'),
    'file1.yaml:1: Canary web: apiVersion: expected flagger.app/v1beta1, of Flagger v1.36.1',
  ],
  [
    'a Rollout that is blue/green',
    rollout('{ blueGreen: { activeService: web } }'),
    'file1.yaml:6: Rollout web: spec.strategy.blueGreen: expected the strategy `canary`, because a blue/green Rollout switches ' +
      'Services and moves no weights; write `steps: [100]`, with two Deployments, by hand',
  ],
  [
    'a Rollout without a strategy',
    rollout('{}'),
    'file1.yaml:6: Rollout web: spec.strategy: expected the strategy `canary`, because a blue/green Rollout switches ' +
      'Services and moves no weights; write `steps: [100]`, with two Deployments, by hand',
  ],
  ['no spec', canary('{}').replace(/spec:[^]*/, ''), 'file1.yaml:1: Canary web: spec: expected a map of keys'],
  [
    'no name',
    canary('{}', undefined, '{ namespace: shop }'),
    'file1.yaml:3: Canary: metadata.name: expected a text (in quotes where YAML would read another type)',
  ],
  [
    'a missing field',
    canary('{}', '{}'),
    'file1.yaml:6: Canary web: spec.service.port: expected a number (without quotes)',
  ],
  [
    'a wrong type',
    canary('{ threshold: many }'),
    'file1.yaml:7: Canary web: spec.analysis.threshold: expected a number (without quotes)',
  ],
  [
    'a word that the API does not know',
    canary('{ webhooks: [{ name: a, url: "http://a", type: never }] }'),
    /file1.yaml:7: Canary web: spec\.analysis\.webhooks\[0\]\.type: expected one of confirm-rollout,/,
  ],
  [
    'a duration without a unit',
    canary('{ interval: "30" }'),
    'file1.yaml:7: Canary web: spec.analysis.interval: expected a duration with its unit, such as 30s or 1m30s, but found "30"',
  ],
  [
    'a weight above 100',
    canary('{ stepWeight: 120 }'),
    'file1.yaml:7: Canary web: spec.analysis.stepWeight: expected a whole number from 0 to 100, but found 120',
  ],
  [
    'weights that fall',
    canary('{ stepWeights: [10, 5] }'),
    'file1.yaml:7: Canary web: spec.analysis.stepWeights[1]: expected a weight larger than the one before, but found 5',
  ],
  [
    'an address that is none',
    canary('{ webhooks: [{ name: a, url: loadtester }] }'),
    'file1.yaml:7: Canary web: spec.analysis.webhooks[0].url: expected an http or https address, but found "loadtester"',
  ],
  [
    'a weight with a fraction',
    steps('[{ setWeight: 101 }]'),
    'file1.yaml:6: Rollout web: spec.strategy.canary.steps[0].setWeight: expected a whole number from 0 to 100, but found 101',
  ],
  [
    'a pause that is no time',
    steps('[{ setWeight: 5 }, { pause: { duration: soon } }]'),
    'file1.yaml:6: Rollout web: spec.strategy.canary.steps[1].pause.duration: expected a duration such as 30s, or a number of seconds, but found "soon"',
  ],
])('%s', (_, text, message) => {
  expect(() => convert(text)).toThrow(message)
})

test('the message ends there', () => {
  expect(() => convert(canary('{ stepWeight: 120 }'))).toThrow(/found 120$/)
})

test('two canaries of one Service, in two files', () => {
  expect(() =>
    convert(canary('{ stepWeight: 10 }'), rollout('{ canary: { stableService: web, canaryService: b } }')),
  ).toThrow(
    'file2.yaml:1: Rollout web: it is of the Service web, as is Canary web at file1.yaml:1; a mesh.yaml has one canary for each Service',
  )
})

test('two namespaces', () => {
  const other = canary('{ stepWeight: 10 }', '{ name: api, port: 80 }', '{ name: api, namespace: other }')
  expect(() => convert(canary('{ stepWeight: 10 }'), other)).toThrow(
    'file2.yaml:3: Canary api: metadata.namespace: other is not the namespace shop of the objects before, and a mesh.yaml is ' +
      'for one namespace; convert them one by one',
  )
})

test('a second document that is no YAML', () => {
  expect(() => convert(`${canary('{ stepWeight: 10 }')}---\na: b: c\n`)).toThrow(/^file1\.yaml:9: is not valid YAML: /)
})

test('what no mesh.yaml can express is no half a file', () => {
  const same =
    '{ canary: { trafficRouting: { istio: { destinationRule: { name: web, stableSubsetName: v1, canarySubsetName: v1 } } } } }'
  expect(() => convert(rollout(same))).toThrow(
    /^file1\.yaml: the result would not be a valid mesh\.yaml[^]*canary\.canary: v1 is the same subset/,
  )
})

test('a mesh.yaml that is wrong, or has no canary', () => {
  const back = (text: string) => toObjects({ name: 'mesh.yaml', text }, 'flagger')
  expect(() => back('canary: { service: web, stpes: [5] }')).toThrow(
    'mesh.yaml:1: canary.stpes: is not known; did you mean `steps`?',
  )
  expect(() => back('mtls: strict')).toThrow(
    'mesh.yaml: canary: is missing; there is nothing to convert without a canary',
  )
})
