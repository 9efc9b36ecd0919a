import { expect, test } from 'vitest'
import { ConfigError } from '../../../src/config/error.ts'
import { istioctlTool } from '../../../src/istioctl/release.ts'

test.each<[NodeJS.Platform, string, string]>([
  ['linux', 'x64', 'istioctl-1.31.0-linux-amd64.tar.gz'],
  ['linux', 'arm64', 'istioctl-1.31.0-linux-arm64.tar.gz'],
  ['linux', 'arm', 'istioctl-1.31.0-linux-armv7.tar.gz'],
  ['darwin', 'x64', 'istioctl-1.31.0-osx-amd64.tar.gz'],
  ['darwin', 'arm64', 'istioctl-1.31.0-osx-arm64.tar.gz'],
  ['win32', 'x64', 'istioctl-1.31.0-win-amd64.zip'],
])('the asset for %s (%s) is %s', (platform, arch, asset) => {
  expect(istioctlTool.assetOf('1.31.0', platform, arch)).toBe(asset)
})

test.each<[NodeJS.Platform, string]>([
  ['linux', 's390x'],
  ['win32', 'arm64'],
  ['freebsd', 'x64'],
])('the error for %s (%s), which has no asset, names the supported platforms', (platform, arch) => {
  const asset = () => istioctlTool.assetOf('1.31.0', platform, arch)
  expect(asset).toThrow(ConfigError)
  expect(asset).toThrow(`no istioctl for ${platform} on ${arch}; run this job on linux, macOS or Windows`)
})

test.each<[NodeJS.Platform, string]>([
  ['linux', 'istioctl'],
  ['darwin', 'istioctl'],
  ['win32', 'istioctl.exe'],
])('the binary for %s is called %s', (platform, name) => {
  expect(istioctlTool.binary(platform)).toBe(name)
})
