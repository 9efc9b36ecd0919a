import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// The tests of each e2e file run one after the other. Several files run at a time, each on a mesh of its own (see
// test/e2e/setup.ts). They mostly wait, so a small machine runs more files than it has processors. A mesh takes two
// gigabytes of memory, so no machine runs more than four.
const e2eFilesAtATime = Math.min(4, Math.ceil(availableParallelism() * 1.5))

/** Unit tests also wait, for the programs that they start. */
const unit = { include: ['test/unit/**/*.test.ts'], testTimeout: 60_000, maxWorkers: availableParallelism() + 1 }

/** These test files replace a module by a fake (`vi.mock`), which other files must not see. */
const replacesModules = [
  'test/unit/action/post-step.test.ts',
  'test/unit/canary/hand-over.test.ts',
  'test/unit/canary/promote.test.ts',
  'test/unit/fleet/promotions.test.ts',
  'test/unit/recovery-first.test.ts',
  'test/unit/stages/fleet.test.ts',
  'test/unit/stages/promote.test.ts',
  'test/unit/run-telemetry/run-trace.test.ts',
  'test/unit/run-telemetry/telemetry.test.ts',
]

/** These files take longest, as `npm test` lists them. They start first, or one of them would run alone at the end. */
const slowestE2eFiles = ['promotion', 'survival', 'docs', 'verify', 'evidence', 'delivery', 'kind-cluster', 'revisions']

class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const index = slowestE2eFiles.findIndex((name) => moduleId.endsWith(`/e2e/${name}.test.ts`))
      return index === -1 ? slowestE2eFiles.length : index
    }
    return Promise.resolve(files.toSorted((a, b) => rank(a) - rank(b)))
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      // Test files share the modules that a worker has loaded, which halves the time.
      { test: { ...unit, name: 'unit', exclude: replacesModules, isolate: false } },
      { test: { ...unit, name: 'unit-isolated', include: replacesModules } },
      // Pages in a real browser, one file at a time: each draws for itself.
      {
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          maxWorkers: 1,
          testTimeout: 300_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          setupFiles: 'test/e2e/setup.ts',
          maxWorkers: e2eFilesAtATime,
          testTimeout: 600_000,
          hookTimeout: 1_800_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
