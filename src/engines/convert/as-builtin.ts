// A config whose generated objects move the traffic, as if this program did. Pure.
import { currentImage } from '../../config/values/images.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'

/** It compiles to the same routes. `isMeant`: which of the canaries whose objects are generated. */
export function asBuiltin(config: Config, isMeant: (plan: CanaryConfig) => boolean = () => true): Config {
  const convert = (plan: CanaryConfig): CanaryConfig => {
    if (!plan.engine.generate || !isMeant(plan)) return plan
    const { image, images: _, manifests: __, ...rest } = plan
    return { ...rest, ...(image === currentImage ? { image } : {}), engine: { ...plan.engine, type: 'builtin' } }
  }
  const { canary, canaries } = config
  return {
    ...config,
    ...(canary && { canary: convert(canary) }),
    ...(canaries && { canaries: canaries.map(convert) }),
  }
}
