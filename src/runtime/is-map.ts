// Tells a map of keys from every other value, such as YAML and JSON have them. Pure.

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
