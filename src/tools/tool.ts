// Describes a program for the installer: its names in a release and in the tool cache.

/** How a project publishes its program. Platforms and architectures have the names of Node.js. */
export type Tool = {
  /** The name in the tool cache. */
  name: string
  /** The config section in error messages: `istio` for `istio.version`, `istio.mirror`, `istio.sha256`. */
  key: string
  /**
   * The file of a release: a `.tar.gz` or `.zip` that holds only the binary, or the binary itself. @throws ConfigError
   * if there is none.
   */
  assetOf(version: string, platform: NodeJS.Platform, arch: string): string
  addressOf(mirror: string, version: string, asset: string): string
  /** The file beside the asset that holds its sha256. */
  sumsOf(asset: string): string
  binary(platform: NodeJS.Platform): string
}
