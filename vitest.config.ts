import { defineConfig } from 'vitest/config'

/** A broker of a test lives for seconds: what the second compiler of the JVM makes of it comes too late, and costs a core meanwhile. */
const shortLived = '-XX:TieredStopAtLevel=1'

/**
 * Two cores: two files at a time. Those that start servers come first, because they wait as much as they work; those of the unit and
 * sim projects fill what is left. All brokers are shared or a test's own, and so are topics, groups, rows and folders.
 */
export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/sim/**/*.test.ts', 'test/*.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: ['test/support/servers.ts'],
          env: {
            JAVA_TOOL_OPTIONS: [process.env['JAVA_TOOL_OPTIONS'], shortLived].join(' ').trim(),
          },
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
