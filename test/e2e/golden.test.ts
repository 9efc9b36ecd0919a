// Checks the golden file of each policy against Istio's schemas. istioctl needs no cluster for that.
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { embeddedMesh, type TestCluster } from './world.ts'

const folder = resolve(import.meta.dirname, '../golden')
let testCluster: TestCluster
beforeAll(async () => void (testCluster = await embeddedMesh()))

test.each(readdirSync(folder).filter((file) => /^[a-z-]+\.yaml$/.test(file)))(
  '%s passes validation without a warning',
  async (file) => {
    // istioctl prints the result to the error stream.
    expect(await testCluster.run(['sh', '-c', 'istioctl validate -f "$0" 2>&1', join(folder, file)])).toMatch(
      /is valid\s*$/,
    )
  },
)
