// `convert`: objects of Flagger or Argo Rollouts to a mesh.yaml, and back. It reads files only.
import { readText } from '../config/read.ts'
import { toObjects } from '../engines/convert/back.ts'
import { toMeshYaml } from '../engines/convert/convert.ts'
import { ConfigError } from '../config/error.ts'
import type { EngineType } from '../config/schema/engine.ts'

/**
 * Prints the result, which begins with the list of what it does not express. Returns the exit code.
 * @throws ConfigError that names file, line and path
 */
export function convertFiles(names: readonly string[], to: EngineType | undefined): number {
  const files = names.map((name) => ({ name, text: readText('convert', name) }))
  if (to !== undefined && files.length > 1)
    throw new ConfigError(`convert: with --to, give one config file; these are ${files.length}`)
  const { text } = to === undefined ? toMeshYaml(files) : toObjects(files[0]!, to)
  process.stdout.write(text)
  return 0
}
