import { expect, test } from 'vitest'
import { versionIn, versionSpec } from '../../../src/config/istio-version.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { fileWith } from '../fixtures.ts'

test.each([
  ['1.31.0', '1.31.0'],
  [' v1.31.0 ', '1.31.0'],
  ['1.32.0-beta.1', '1.32.0-beta.1'],
  ['1.31', '1.31'],
  ['v1.31', 'v1.31'],
  ['1.31.x', '1.31.x'],
  ['1', '1'],
  ['>=1.30 <1.32', '>=1.30 <1.32'],
  ['~1.30.2', '~1.30.2'],
  ['Latest', 'latest'],
  ['', undefined],
  ['*', undefined],
  ['stable', undefined],
  ['1.31.0.1', undefined],
  [1.31, undefined],
])('the version reader turns %j into the version %j', (raw, spec) => {
  expect(versionSpec(raw)).toBe(spec)
})

test.each([
  ['.istio-version', '1.31.0\n', '1.31.0'],
  ['.istio-version', '# as in production\nv1.31.2 # not newer\n', '1.31.2'],
  ['.tool-versions', 'nodejs 24.1.0\nistioctl 1.31.0\n', '1.31.0'],
  ['.tool-versions', 'istio   1.31.0 1.30.5 # the first counts\n', '1.31.0'],
  ['mise.toml', '[tools]\nnode = "24"\nistioctl = "1.31"\n', '1.31'],
  ['.mise.toml', '[tools]\n"aqua:istio/istioctl" = ["1.31.0", "1.30"]\n', '1.31.0'],
  ['mise.toml', '[tools]\nistioctl = { version = "latest" }\n', 'latest'],
])('the version reader reads from %s with %j the version %s', (name, text, version) => {
  expect(versionIn(fileWith(text, name))).toEqual({ version })
})

test.each([
  ['.istio-version', '', 'the file has 0 lines with content'],
  ['.istio-version', '1.31.0\n1.30.0\n', 'the file has 2 lines with content'],
  ['.istio-version', 'stable', 'the file says a text of 6 characters; expected a version of Istio'],
  ['.tool-versions', 'nodejs 24.1.0\n#istioctl 1.31.0\n', 'the file has no line for istioctl'],
  ['.tool-versions', 'istioctl system\n', 'the file says a text of 6 characters'],
  ['mise.toml', '[tools]\nnode = "24"\n', 'the file has no `istioctl = "…"` under [tools]'],
  ['mise.toml', '[env]\n', 'the file has no `istioctl = "…"` under [tools]'],
  ['mise.toml', '[tools]\nistioctl = 1.31\n', 'the file has no `istioctl = "…"` under [tools]'],
  ['mise.toml', '[tools\n', 'the file is not valid TOML'],
])('the version reader rejects %s with %j, because %s', (name, text, fault) => {
  expect(versionIn(fileWith(text, name))).toEqual({ fault: expect.stringContaining(fault) as unknown })
})

test('a version file alone enables Istio; without a version and a file, the default version applies', () => {
  const file = fileWith('istioctl 1.31.x\n', '.tool-versions')
  expect(loadConfig({ 'INPUT_VERSION-FILE': file }).istio).toMatchObject({ version: '1.31.x', checkLatest: false })
  expect(loadConfig({ INPUT_PROFILE: 'demo' }).istio).toMatchObject({ version: '1.31.0' })
})

test('the token that the runner always passes does not enable Istio', () => {
  expect(loadConfig({ INPUT_TOKEN: 'ghs_x', INPUT_NAMESPACE: 'shop' }).istio).toBeUndefined()
})
