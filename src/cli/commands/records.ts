import type { Command } from 'commander'
import { messageOf } from '../../errors.ts'
import { decodeDeadLetter, decodeEvent, decodeExample } from '../../records/codec.ts'
import type { TopicNames } from '../../records/topics.ts'
import { partitionKey, type KafkaClient } from '../../runtime/ports.ts'
import type { SourceRecord } from '../../streams/stage.ts'
import { interrupted, withKafka } from '../connect.ts'
import { toJsonLine } from '../json-line.ts'
import { addCommonOptions, effectiveConfig, wholeNumber, type CommonOptions } from '../options.ts'

interface RecordOptions extends CommonOptions {
  readonly follow?: boolean
  readonly last: number
}

interface Viewer {
  readonly name: string
  readonly description: string
  readonly topic: (topics: TopicNames) => string
  readonly decode: (record: SourceRecord) => unknown
}

const viewers: readonly Viewer[] = [
  {
    name: 'events',
    description: 'print decoded events, one JSON object a line',
    topic: (t) => t.events,
    decode: (r) => decodeEvent(r.value!),
  },
  {
    name: 'examples',
    description: 'print decoded training examples, one JSON object a line',
    topic: (t) => t.examples,
    decode: (r) => decodeExample(r.value!),
  },
  {
    name: 'dead-letters',
    description: 'print what was refused and why, one JSON object a line',
    topic: (t) => t.deadLetters,
    decode: decodeRefused,
  },
]

export function addRecordCommands(program: Command): void {
  for (const viewer of viewers) {
    addCommonOptions(program.command(viewer.name))
      .description(viewer.description)
      .option('-f, --follow', 'keep printing what arrives, until Ctrl-C')
      .option(
        '-n, --last <count>',
        'how many of the newest records of each partition to begin with',
        wholeNumber(0, '--last'),
        20,
      )
      .action((options: RecordOptions) =>
        withKafka(effectiveConfig(options), ({ kafka, topics }) =>
          print(kafka, viewer.topic(topics), viewer, options),
        ),
      )
  }
}

async function print(
  kafka: KafkaClient,
  topic: string,
  viewer: Viewer,
  options: RecordOptions,
): Promise<void> {
  const offsets = await kafka.offsets(topic)
  const isEmpty = offsets.every(({ low, high }) => low === high)
  const from = new Map(
    offsets.map(({ partition, low, high }) => [
      partitionKey({ topic, partition }),
      Math.max(low, high - options.last),
    ]),
  )
  const tail = await kafka.tail({
    topics: [topic],
    from,
    onBatch: (batch) => {
      process.stdout.write(batch.records.map((record) => `${lineOf(record, viewer)}\n`).join(''))
    },
  })
  if (options.follow !== true && isEmpty) process.stderr.write(`nothing in ${topic} yet\n`)
  await (options.follow === true ? interrupted() : tail.caughtUp)
  await tail.close()
}

function lineOf(record: SourceRecord, viewer: Viewer): string {
  const place = {
    partition: record.partition,
    offset: record.offset,
    arrived: new Date(record.timestampMs).toISOString(),
  }
  try {
    return toJsonLine({ ...place, ...(viewer.decode(record) as object) })
  } catch (error) {
    return toJsonLine({ ...place, undecodable: messageOf(error) })
  }
}

function decodeRefused(record: SourceRecord): unknown {
  const { original, originalKey, ...letter } = decodeDeadLetter(record.value!)
  return {
    ...letter,
    originalBytes: original.length,
    originalKey: originalKey?.toString() ?? null,
    original: readable(original),
  }
}

/** Text as it is, anything else in base64; a long original is cut, its length is printed beside it. */
function readable(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  const shown = text.includes('\ufffd') || text.includes('\0') ? bytes.toString('base64') : text
  return shown.length > 500 ? `${shown.slice(0, 500)}…` : shown
}
