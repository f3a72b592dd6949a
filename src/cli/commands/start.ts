import type { Command } from 'commander'
import { aboveZero, addCommonOptions, wholeNumber, type CommonOptions } from '../options.ts'

export interface StartOptions extends CommonOptions {
  readonly events?: string
  readonly speed?: number | 'max'
  readonly rate?: number
  readonly days?: number
  readonly exit?: boolean
  readonly report?: string
}

export function addStartCommand(program: Command): void {
  addCommonOptions(program.command('start'))
    .description(
      'start Kafka, Redis and every role here, replay input, and show what happens (npm start)',
    )
    .option(
      '-e, --events <path>',
      'replay a MovieTweetings folder or JSONL of impressions, clicks and items; without it: generated users',
    )
    .option(
      '--speed <n|max>',
      'seconds of event time per second; max: every day waits for its generation (default: 1 for generated users, max for files and --days)',
      parseSpeed,
    )
    .option(
      '--rate <n>',
      'generated impressions and clicks per second of event time (default: 500; with --days: 1)',
      aboveZero(),
    )
    .option(
      '--days <n>',
      'generate so many whole days, always the same, instead of what happens now',
      wholeNumber(1, '--days'),
    )
    .option('--exit', 'stop once the last event is visible')
    .option('--report <file>', 'write the final figures as JSON')
    .action(async (options: StartOptions) => (await import('../start.ts')).runStart(options))
}

function parseSpeed(value: string): number | 'max' {
  return value === 'max' ? 'max' : aboveZero(', or max')(value)
}
