import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { findJava } from '../../../scripts/preflight.js'
import { FreshetError, messageOf } from '../../errors.ts'

/**
 * Formats the data folder of a node, unless it has been formatted.
 * @param more arguments of the storage tool, such as `--add-scram`
 * @throws FreshetError SERVER_FAILED
 */
export async function formatOnce(
  dataDir: string,
  propertiesFile: string,
  java: string,
  libsDir: string,
  more: readonly string[] = [],
): Promise<void> {
  const marker = path.join(dataDir, 'log', 'meta.properties')
  const isFormatted = await fs.access(marker).then(
    () => true,
    () => false,
  )
  if (isFormatted) return
  const clusterId = randomBytes(16).toString('base64url')
  const jvm = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', classPath(libsDir)]
  // A cluster id that begins with a dash would read as an option, so it is bound to its flag.
  const format = ['kafka.tools.StorageTool', 'format', `--cluster-id=${clusterId}`]
  await promisify(execFile)(java, [...jvm, ...format, '-c', propertiesFile, ...more], {
    timeout: 60_000,
  }).catch((error: unknown) => {
    const text = `Cannot format ${dataDir} for the Kafka broker: ${messageOf(error)}`
    throw new FreshetError('SERVER_FAILED', text, { cause: error })
  })
}

/**
 * Class data sharing saves about half of the start. The first broker that ends writes the archive, to a name of its
 * own that is renamed when complete; the JVM itself checks that an archive fits its version and jars.
 */
export async function classArchive(
  libsDir: string,
  java: string,
): Promise<{ readonly flags: readonly string[]; keep(): Promise<void> }> {
  const { mtimeMs } = await fs.stat(java)
  const jvm = createHash('sha256').update(`${java} ${mtimeMs}`).digest('hex').slice(0, 12)
  const file = path.join(path.dirname(libsDir), `classes-${jvm}.jsa`)
  const hasArchive = await fs.access(file).then(
    () => true,
    () => false,
  )
  if (hasArchive)
    return { flags: ['-Xshare:auto', `-XX:SharedArchiveFile=${file}`], keep: async () => {} }
  const unfinished = `${file}.${process.pid}`
  const keep = (): Promise<void> => fs.rename(unfinished, file).catch(() => {})
  return { flags: [`-XX:ArchiveClassesAtExit=${unfinished}`], keep }
}

/** @throws FreshetError TOOL_MISSING */
export async function javaOrThrow(): Promise<string> {
  const java = await findJava()
  if (java !== null) return java
  throw new FreshetError(
    'TOOL_MISSING',
    'The Kafka broker needs Java 17 or newer: none on the PATH',
  )
}

export function classPath(libsDir: string): string {
  return path.join(libsDir, '*')
}
