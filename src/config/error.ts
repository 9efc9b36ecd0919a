/** A mistake in what the user wrote. The message is shown without a stack, before anything changes. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}
