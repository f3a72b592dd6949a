import { pino, type DestinationStream } from 'pino'
import type { Logger } from './ports.ts'

export interface LoggerOptions {
  readonly level: string
  /** json: one object a line, for machines; text: one sentence a line, for people. */
  readonly format: 'json' | 'text'
  readonly write: (line: string) => void
}

const levelNames: Readonly<Record<number, string>> = {
  20: 'debug',
  30: 'info',
  40: 'WARN',
  50: 'ERROR',
}

export function createLogger(options: LoggerOptions): Logger {
  const destination: DestinationStream = {
    write: options.format === 'json' ? options.write : (line) => options.write(toText(line)),
  }
  return pino({ level: options.level, base: null }, destination)
}

function toText(line: string): string {
  const { level, time, msg, role, err, ...fields } = JSON.parse(line) as Record<string, unknown>
  const clock = new Date(Number(time)).toISOString().slice(11, 23)
  const details = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
  )
  const cause =
    typeof err === 'object' && err !== null && 'message' in err
      ? [`error=${String(err.message)}`]
      : []
  const parts = [
    clock,
    (levelNames[Number(level)] ?? 'info').padEnd(5),
    ...(role === undefined ? [] : [`${String(role)}:`]),
    String(msg),
    ...details,
    ...cause,
  ]
  return `${parts.join(' ')}\n`
}
