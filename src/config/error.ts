/** A fault in what the user wrote: shown as it is, without a stack, before anything is touched. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}
