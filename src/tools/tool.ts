// What the installer knows of a program: its names in a release and in the tool cache.

/** A program as its project publishes it, for platforms and architectures as Node.js names them. */
export type Tool = {
  /** Its name in the tool cache. */
  name: string
  /** The section of the config that errors name: `istio` for `istio.version`, `istio.mirror`, `istio.sha256`. */
  key: string
  /**
   * The file of a release: a `.tar.gz` or `.zip` with the binary alone, or the binary itself.
   * @throws ConfigError where there is none.
   */
  assetOf(version: string, platform: NodeJS.Platform, arch: string): string
  addressOf(mirror: string, version: string, asset: string): string
  /** The file beside the asset that holds its sha256. */
  sumsOf(asset: string): string
  binary(platform: NodeJS.Platform): string
}
