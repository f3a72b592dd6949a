import { run } from './cli/program.ts'
import { FreshetError } from './errors.ts'

/** argv -> command. The only file that exits the process: 0 done, 1 failed, 2 wrong usage. */
run(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const isExpected = error instanceof FreshetError && error.code !== 'INVARIANT_VIOLATED'
    process.stderr.write(
      isExpected
        ? `freshet: ${error.message}\n`
        : `freshet: this is a bug:\n${error instanceof Error ? error.stack : String(error)}\n`,
    )
    process.exit(isExpected && error.code === 'USAGE_INVALID' ? 2 : 1)
  },
)
