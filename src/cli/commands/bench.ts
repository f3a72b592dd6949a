import type { Command } from 'commander'
import { addCommonOptions, effectiveConfig, type CommonOptions } from '../options.ts'

export interface PipelineBenchOptions extends CommonOptions {
  readonly json?: string
  readonly quick?: boolean
  readonly profile?: string
}

interface BareLoopOptions extends CommonOptions {
  readonly from: readonly string[]
  readonly to: string
  readonly group: string
}

export function addBenchCommand(program: Command): void {
  const bench = program.command('bench').description('measure freshet on this machine')
  addCommonOptions(bench.command('pipeline'))
    .description(
      'events/s of each role on one core, delay by stage and memory, against a Kafka and Redis of its own',
    )
    .option('--json <file>', 'write every figure as JSON')
    .option('--quick', 'in about a minute, and less exact')
    .option('--profile <folder>', 'write a CPU profile of each role measured alone')
    .action(async (options: PipelineBenchOptions) =>
      (await import('../bench/pipeline.ts')).runPipelineBench(options),
    )
  addCommonOptions(bench.command('bare-loop', { hidden: true }))
    .description('what the pipeline benchmark measures roles against: read topics, write one')
    .requiredOption('--from <topics...>', 'topics to read')
    .requiredOption('--to <topic>', 'topic to write')
    .requiredOption('--group <id>', 'consumer group')
    .action(async (options: BareLoopOptions) =>
      (await import('../bench/bare-loop.ts')).runBareLoop(
        effectiveConfig(options),
        options.from,
        options.to,
        options.group,
      ),
    )
}
