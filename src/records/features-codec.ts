import { AvroReader, AvroWriter } from './avro-io.ts'
import type { Features } from './types.ts'

/** @throws FreshetError RECORD_UNDECODABLE */
export function decodeFeatures(bytes: Buffer): Features {
  return readFeatures(new AvroReader(bytes))
}

export function encodeFeatures(features: Features): Buffer {
  const writer = new AvroWriter(256)
  writeFeatures(writer, features)
  return writer.finish()
}

/** The features that end a record. */
export function readFeatures(reader: AvroReader): Features {
  const features = readFeatureMaps(reader)
  reader.end()
  return features
}

/** Features, whatever follows them. */
export function readFeatureMaps(reader: AvroReader): Features {
  return {
    categorical: readMap(reader, 'features.categorical', readStrings),
    numeric: readMap(reader, 'features.numeric', readFloat),
    dense: readMap(reader, 'features.dense', readFloats),
  }
}

/** Passes over features, wherever they are. */
export function passFeatures(reader: AvroReader): void {
  passMap(reader, 'features.categorical', (field) => reader.skipStrings(field))
  passMap(reader, 'features.numeric', (field) => reader.pass(field, 4))
  passMap(reader, 'features.dense', (field) => passFloats(reader, field))
}

function passMap(reader: AvroReader, field: string, passValue: (field: string) => void): void {
  for (let count = reader.blockCount(field, 2); count > 0; count = reader.blockCount(field, 2)) {
    for (let i = 0; i < count; i++) {
      reader.skip(field)
      passValue(field)
    }
  }
}

function passFloats(reader: AvroReader, field: string): void {
  for (let count = reader.blockCount(field, 4); count > 0; count = reader.blockCount(field, 4)) {
    reader.pass(field, 4 * count)
  }
}

/** Map entries in the order of the maps. */
export function writeFeatures(writer: AvroWriter, features: Features): void {
  writeMap(writer, features.categorical, writeStrings)
  writeMap(writer, features.numeric, writeFloat)
  writeMap(writer, features.dense, writeFloats)
}

/** Most maps are, and there are three in each example. */
const empty: ReadonlyMap<string, never> = new Map<string, never>()

function readMap<T>(
  reader: AvroReader,
  field: string,
  readValue: (reader: AvroReader, field: string) => T,
): ReadonlyMap<string, T> {
  // The least an entry takes: the length of its key and one byte of value.
  let count = reader.blockCount(field, 2)
  if (count === 0) return empty
  const map = new Map<string, T>()
  for (; count > 0; count = reader.blockCount(field, 2)) {
    for (let i = 0; i < count; i++) {
      const key = reader.string(field)
      map.set(key, readValue(reader, field))
    }
  }
  return map
}

function writeMap<T>(
  writer: AvroWriter,
  map: ReadonlyMap<string, T>,
  writeValue: (writer: AvroWriter, value: T) => void,
): void {
  if (map.size > 0) {
    writer.long(map.size)
    for (const [key, value] of map) {
      writer.string(key)
      writeValue(writer, value)
    }
  }
  writer.long(0)
}

function readStrings(reader: AvroReader, field: string): string[] {
  return reader.strings(field)
}

function writeStrings(writer: AvroWriter, values: readonly string[]): void {
  writer.strings(values)
}

function readFloat(reader: AvroReader, field: string): number {
  return reader.float(field)
}

function writeFloat(writer: AvroWriter, value: number): void {
  writer.float(value)
}

function readFloats(reader: AvroReader, field: string): number[] {
  const floats: number[] = []
  for (let count = reader.blockCount(field, 4); count > 0; count = reader.blockCount(field, 4)) {
    for (let i = 0; i < count; i++) floats.push(reader.float(field))
  }
  return floats
}

function writeFloats(writer: AvroWriter, values: readonly number[]): void {
  if (values.length > 0) {
    writer.long(values.length)
    for (const value of values) writer.float(value)
  }
  writer.long(0)
}
