// The names of istioctl's files in an Istio release.
import { ConfigError } from '../config/error.ts'
import type { Tool } from '../tools/tool.ts'

const linux: Record<string, string> = { x64: 'amd64', arm64: 'arm64', arm: 'armv7' }

/** The asset that holds only istioctl. */
function assetOf(version: string, platform: NodeJS.Platform, arch: string): string {
  if (platform === 'linux' && linux[arch]) return `istioctl-${version}-linux-${linux[arch]}.tar.gz`
  if (platform === 'darwin' && (arch === 'x64' || arch === 'arm64'))
    return `istioctl-${version}-osx-${arch === 'x64' ? 'amd64' : 'arm64'}.tar.gz`
  if (platform === 'win32' && arch === 'x64') return `istioctl-${version}-win-amd64.zip`
  throw new ConfigError(
    `istio.version: Istio publishes no istioctl for ${platform} on ${arch}; ` +
      'run this job on linux, macOS or Windows (amd64 or arm64)',
  )
}

export const istioctlTool: Tool = {
  name: 'istioctl',
  key: 'istio',
  assetOf,
  addressOf: (mirror, version, asset) => `${mirror}/${version}/${asset}`,
  sumsOf: (asset) => `${asset}.sha256`,
  binary: (platform) => (platform === 'win32' ? 'istioctl.exe' : 'istioctl'),
}
