import type { Command } from 'commander'
import { addCommonOptions, effectiveConfig, wholeNumber, type CommonOptions } from '../options.ts'

export interface PipelineBenchOptions extends CommonOptions {
  readonly json?: string
  readonly quick?: boolean
  readonly profile?: string
}

export interface FullUpdateBenchOptions {
  readonly json?: string
  readonly examples: readonly number[]
  readonly pytorch?: string
}

interface BareLoopOptions extends CommonOptions {
  readonly from: readonly string[]
  readonly to: string
  readonly group: string
}

const sizes: readonly number[] = [1_000_000, 10_000_000]

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
  bench
    .command('full-update')
    .description(
      'examples/s and peak memory of a full update, by size of the day; needs no servers',
    )
    .option('--json <file>', 'write every figure as JSON')
    .option(
      '--examples <counts...>',
      'sizes of the day',
      (value: string, before: readonly number[] | undefined) => [
        ...(before === sizes ? [] : (before ?? [])),
        wholeNumber(1_000, '--examples')(value),
      ],
      sizes,
    )
    .option(
      '--pytorch <python>',
      'also with PyTorch: an interpreter that has torch, numpy, fastavro and safetensors',
    )
    .action(async (options: FullUpdateBenchOptions) =>
      (await import('../bench/full-update.ts')).runFullUpdateBench(options),
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
