// Container images.
import { parsedValue } from './parsed-value.ts'
import { publicValue } from './public-value.ts'

const host = '(?:[a-zA-Z0-9.-]+(?::\\d+)?/)?'
const path = '[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*'
const tag = '(?::\\w[\\w.-]{0,127})?'
const digest = '(?:@sha256:[a-f0-9]{64})?'
const pattern = `^${host}${path}${tag}${digest}$`

function parseImage(raw: unknown): string | undefined {
  const image = typeof raw === 'string' ? raw.trim() : ''
  return new RegExp(pattern).test(image) && /(:[\w.-]+|@sha256:[a-f0-9]{64})$/.test(image) ? image : undefined
}

/** A reference to an image with a tag or a digest: without one, nobody can tell one release from the next. */
export const imageReference = parsedValue(
  'an image with a tag or a digest, such as registry.example/backend:2.1.0',
  { type: 'string', ...publicValue },
  parseImage,
)

/** The image that runs already. */
export const currentImage = 'current'

export const imageToRelease = parsedValue(
  'an image with a tag or a digest, such as registry.example/backend:2.1.0, or `current` for the one that runs',
  { type: 'string', ...publicValue },
  (raw) => (raw === currentImage ? raw : parseImage(raw)),
)
