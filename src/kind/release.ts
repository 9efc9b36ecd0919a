// The names of kind's files in a release. Each file is the binary itself.
import { ConfigError } from '../config/error.ts'
import type { Tool } from '../tools/tool.ts'

const systems: Partial<Record<NodeJS.Platform, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' }
const architectures: Record<string, string> = { x64: 'amd64', arm64: 'arm64' }

export const kindTool: Tool = {
  name: 'kind',
  key: 'cluster',
  assetOf: (_version, platform, arch) => {
    const [system, architecture] = [systems[platform], architectures[arch]]
    if (system && architecture && !(system === 'windows' && architecture === 'arm64'))
      return `kind-${system}-${architecture}`
    throw new ConfigError(
      `cluster: kind publishes no program for ${platform} on ${arch}; run this job on linux or macOS (amd64 or arm64)`,
    )
  },
  addressOf: (mirror, version, asset) => `${mirror}/v${version}/${asset}`,
  sumsOf: (asset) => `${asset}.sha256sum`,
  binary: (platform) => (platform === 'win32' ? 'kind.exe' : 'kind'),
}
