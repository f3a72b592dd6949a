import fs from 'node:fs/promises'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { FreshetError, messageOf } from '../errors.ts'
import type { Cut, LearnerOptions } from '../streams/learner-types.ts'
import { readWhole, syncFolder, writeDurably } from './generation/artifact-store.ts'
import type { Logger } from './ports.ts'

/**
 * The cut log says in which order a learner applied which offset ranges: with it, its tables can be computed again from the
 * generation and the topics. Each run of a learner writes a segment of its own:
 *   cuts-000001.log = header frame, then one frame per cut; frame = u32 length, u32 CRC-32 of the payload, payload (JSON).
 * A cut is [0 or 1 for examples or items, partition, from, to]. Where windows of event time are learnt, two more frames make a
 * restart exact in the middle of one: [2, 0, end of the window in ms, 0] before its cuts, and [3, 0, 0, 0] behind them: here
 * what had changed was taken and published.
 * The header says how much of the segment before counts. What that one holds beyond was torn by a crash, or was written by
 * a process that did not know yet that it had been replaced.
 */
export interface SegmentHeader {
  readonly format: 1
  readonly generation: string
  readonly topics: { readonly examples: string; readonly items: string }
  /** Tables are a function of these as well. */
  readonly options: LearnerOptions
  /** Absent in logs of before there was a choice. */
  readonly order?: LearnerOrder
  readonly segment: number
  readonly previous: CutLogPosition | null
}

/** event-time: whole windows, with everything they name in the log; else cuts as records arrived. */
export type LearnerOrder = 'arrival' | 'event-time'

/** All cuts before this position. */
export interface CutLogPosition {
  readonly segment: number
  readonly bytes: number
}

export type Step =
  | { readonly kind: 'cut'; readonly cut: Cut }
  | { readonly kind: 'window'; readonly endMs: number }
  | { readonly kind: 'sync' }

export interface LoggedStep {
  readonly step: Step
  /** Of the segment that holds it. */
  readonly options: LearnerOptions
  readonly order: LearnerOrder
}

export interface LoggedCut {
  readonly cut: Cut
  /** Of the segment that holds it. */
  readonly options: LearnerOptions
}

interface Segment {
  readonly header: SegmentHeader
  /** [position after the step, step], in order. */
  readonly steps: readonly (readonly [number, Step])[]
  /** Where the last whole frame ends. */
  readonly bytes: number
}

const frameHeaderBytes = 8
const frameBytesMax = 1 << 20

/** The cut log as it is now. @throws FreshetError FILE_INVALID when a header is not readable */
export async function readCutLog(dir: string, log: Logger): Promise<CutLog> {
  const names = await segmentNames(dir)
  const segments: Segment[] = []
  for (const name of names) segments.push(await readSegment(path.join(dir, name), log))
  return new CutLog(segments)
}

export class CutLog {
  readonly #segments: readonly Segment[]

  constructor(segments: readonly Segment[]) {
    this.#segments = segments
  }

  /** Null for a log without segments. */
  get end(): CutLogPosition | null {
    const last = this.#segments.at(-1)
    return last === undefined ? null : { segment: last.header.segment, bytes: last.bytes }
  }

  /** Options of the newest run; null without one. */
  get options(): LearnerOptions | null {
    return this.#segments.at(-1)?.header.options ?? null
  }

  /** Whether the position belongs to this log: nothing written after a replacement does. */
  includes(position: CutLogPosition): boolean {
    const segment = this.#segments.find(({ header }) => header.segment === position.segment)
    return segment !== undefined && position.bytes <= this.#endOf(segment)
  }

  /** The cuts from a position on, or all of them. @throws as `stepsFrom` */
  cutsFrom(position: CutLogPosition | null): LoggedCut[] {
    return this.stepsFrom(position).flatMap(({ step, options }) =>
      step.kind === 'cut' ? [{ cut: step.cut, options }] : [],
    )
  }

  /**
   * Everything logged from a position on, or all of it.
   * @throws FreshetError FILE_INVALID where damage has eaten cuts that counted
   */
  stepsFrom(position: CutLogPosition | null): LoggedStep[] {
    const found: LoggedStep[] = []
    for (const segment of this.#segments) {
      const { header, steps, bytes } = segment
      const { options, order = 'arrival' } = header
      if (position !== null && header.segment < position.segment) continue
      const end = this.#endOf(segment)
      if (bytes < end) {
        const name = segmentName(header.segment)
        throw new FreshetError(
          'FILE_INVALID',
          `Cut log segment ${name} is damaged at byte ${bytes} of ${end}: what came after it cannot be computed again`,
        )
      }
      const from = position?.segment === header.segment ? position.bytes : 0
      for (const [after, step] of steps) {
        if (after > from && after <= end) found.push({ step, options, order })
      }
    }
    return found
  }

  #endOf({ header, bytes }: Segment): number {
    const next = this.#segments.find((other) => other.header.previous?.segment === header.segment)
    return next?.header.previous?.bytes ?? bytes
  }
}

/** Where cuts go, one after the other, before they are applied. */
export class CutLogWriter {
  readonly #handle: fs.FileHandle
  readonly #topics: SegmentHeader['topics']
  readonly #segment: number
  #bytes: number

  /** Starts a new segment behind `before`. */
  static async open(
    dir: string,
    before: CutLogPosition | null,
    run: Pick<SegmentHeader, 'generation' | 'topics' | 'options' | 'order'>,
  ): Promise<CutLogWriter> {
    const segment = (before?.segment ?? 0) + 1
    const header: SegmentHeader = { format: 1, ...run, segment, previous: before }
    const frame = frameOf(header)
    await createWhole(path.join(dir, segmentName(segment)), frame)
    const handle = await fs.open(path.join(dir, segmentName(segment)), 'a')
    return new CutLogWriter(handle, run.topics, segment, frame.length)
  }

  constructor(
    handle: fs.FileHandle,
    topics: SegmentHeader['topics'],
    segment: number,
    bytes: number,
  ) {
    this.#handle = handle
    this.#topics = topics
    this.#segment = segment
    this.#bytes = bytes
  }

  get position(): CutLogPosition {
    return { segment: this.#segment, bytes: this.#bytes }
  }

  append({ topic, partition, from, to }: Cut): Promise<void> {
    return this.#write([topic === this.#topics.items ? 1 : 0, partition, from, to])
  }

  /** What follows belongs to this window. */
  beginWindow(endMs: number): Promise<void> {
    return this.#write([2, 0, endMs, 0])
  }

  /** What was learnt so far is taken and published before anything else is learnt. */
  endWindow(): Promise<void> {
    return this.#write([3, 0, 0, 0])
  }

  async #write(payload: readonly number[]): Promise<void> {
    const frame = frameOf(payload)
    const { bytesWritten } = await this.#handle.write(frame)
    if (bytesWritten !== frame.length) {
      throw new FreshetError('FILE_INVALID', 'The cut log cannot be written: is the disk full?')
    }
    this.#bytes += frame.length
  }

  /** After this the cuts survive a loss of power, so what was learnt from them may be shown. */
  sync(): Promise<void> {
    return this.#handle.datasync()
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** With its content or not at all, and never over another: a learner that was replaced must not take the file of its successor. */
async function createWhole(file: string, content: Buffer): Promise<void> {
  await fs.mkdir(path.dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}.tmp`
  await writeDurably(temporary, [content])
  try {
    await fs.link(temporary, file)
  } catch (cause) {
    const message = `Another learner has begun ${file}: ${messageOf(cause)}`
    throw new FreshetError('PRODUCER_FENCED', message, { cause })
  } finally {
    await fs.rm(temporary, { force: true })
  }
  await syncFolder(path.dirname(file))
}

async function readSegment(file: string, log: Logger): Promise<Segment> {
  const bytes = await readWhole(file)
  const frames = framesOf(bytes)
  const first = frames.next()
  if (first.done === true) {
    throw new FreshetError('FILE_INVALID', `Cut log segment ${file} has no readable header`)
  }
  const header = first.value.payload as SegmentHeader
  let end = first.value.end
  const steps: [number, Step][] = []
  for (const frame of frames) {
    steps.push([frame.end, stepOf(frame.payload as Payload, header)])
    end = frame.end
  }
  if (end < bytes.length) {
    log.warn(
      { file, atByte: end, bytes: bytes.length - end },
      'the cut log ends in a torn frame, as a crash leaves it: cut off',
    )
  }
  return { header, steps, bytes: end }
}

type Payload = readonly [kind: number, partition: number, from: number, to: number]

function stepOf([kind, partition, from, to]: Payload, { topics }: SegmentHeader): Step {
  if (kind === 2) return { kind: 'window', endMs: from }
  if (kind === 3) return { kind: 'sync' }
  const topic = kind === 1 ? topics.items : topics.examples
  return { kind: 'cut', cut: { topic, partition, from, to } }
}

function* framesOf(bytes: Buffer): Generator<{ payload: unknown; end: number }> {
  let at = 0
  while (at + frameHeaderBytes <= bytes.length) {
    const length = bytes.readUInt32LE(at)
    const end = at + frameHeaderBytes + length
    if (length === 0 || length > frameBytesMax || end > bytes.length) return
    const payload = bytes.subarray(at + frameHeaderBytes, end)
    if (crc32(payload) !== bytes.readUInt32LE(at + 4)) return
    yield { payload: JSON.parse(payload.toString()), end }
    at = end
  }
}

function frameOf(payload: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(payload))
  const frame = Buffer.allocUnsafe(frameHeaderBytes + json.length)
  frame.writeUInt32LE(json.length, 0)
  frame.writeUInt32LE(crc32(json), 4)
  json.copy(frame, frameHeaderBytes)
  return frame
}

async function segmentNames(dir: string): Promise<string[]> {
  try {
    return (await fs.readdir(dir)).filter((name) => /^cuts-\d+\.log$/.test(name)).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new FreshetError('FILE_INVALID', `${dir} cannot be read: ${messageOf(error)}`)
  }
}

function segmentName(segment: number): string {
  return `cuts-${String(segment).padStart(6, '0')}.log`
}
