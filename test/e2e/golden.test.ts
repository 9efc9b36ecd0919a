// Each policy's golden file by Istio's own schemas; istioctl needs no cluster for it.
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { embedded, type World } from './world.ts'

const folder = resolve(import.meta.dirname, '../golden')
let world: World
beforeAll(async () => void (world = await embedded()))

test.each(readdirSync(folder).filter((file) => /^[a-z-]+\.yaml$/.test(file)))(
  '%s passes validation without a warning',
  async (file) => {
    // Its verdict goes to the error stream.
    expect(await world.run(['sh', '-c', 'istioctl validate -f "$0" 2>&1', join(folder, file)])).toMatch(/is valid\s*$/)
  },
)
