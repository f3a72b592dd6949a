/** Encoders and decoders of the values of every topic. */
export { decodeEvent, decodeEventHead, decodeEventPage, encodeEvent } from './event-codec.ts'
export {
  decodeExample,
  decodeExampleHead,
  encodeExample,
  encodeExampleHeartbeat,
  eventTimeOfExample,
  encodeExampleOfPage,
  encodeExampleParts,
} from './example-codec.ts'
export { decodeFeatures, encodeFeatures } from './features-codec.ts'
export { decodeItem, decodeOverride, encodeItem, encodeOverride } from './item-codec.ts'
export {
  decodeControlDocument,
  decodeDeadLetter,
  decodeReport,
  encodeControlDocument,
  encodeDeadLetter,
  encodeReport,
} from './operations-codec.ts'
export {
  decodeRecallReply,
  decodeRecallRequest,
  encodeRecallReply,
  encodeRecallRequest,
} from './recall-codec.ts'
export { decodeSnapshotRecord, encodeSnapshotRecord } from './snapshot-codec.ts'
