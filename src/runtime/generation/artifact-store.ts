import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { FreshetError, messageOf } from '../../errors.ts'

/** What a written file is. */
export interface FileFacts {
  readonly bytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

/**
 * Named, immutable files. A name is a relative path with `/`. A file is there whole or not at all; a folder of files has no
 * such promise, so its manifest is written last. That is also all an object store can give.
 */
export interface ArtifactStore {
  put(name: string, parts: readonly Uint8Array[]): Promise<FileFacts>
  /** @throws FreshetError FILE_MISSING */
  get(name: string): Promise<Buffer>
  exists(name: string): Promise<boolean>
  /** Names of the files and folders directly inside a folder, sorted; empty for a folder that does not exist. */
  list(folder: string): Promise<readonly string[]>
  /** Bytes of a file, or of everything in a folder; 0 for what does not exist. */
  bytes(name: string): Promise<number>
  /** A file, or a folder with everything in it; nothing happens where there is none. */
  remove(name: string): Promise<void>
}

/** An artifact store in a directory; several machines may share it over a network file system. */
export function openDirectoryStore(dir: string): ArtifactStore {
  const root = path.resolve(dir)
  return {
    put: async (name, parts) => writeFileAtomically(placeOf(root, name), parts),
    get: async (name) => readWhole(placeOf(root, name)),
    exists: async (name) =>
      fs.access(placeOf(root, name)).then(
        () => true,
        () => false,
      ),
    list: async (folder) => listFolder(placeOf(root, folder)),
    bytes: async (name) => bytesOf(placeOf(root, name)),
    remove: async (name) => {
      const place = placeOf(root, name)
      if (place === root) throw new FreshetError('FILE_INVALID', 'the whole store is not removed')
      await fs.rm(place, { recursive: true, force: true })
    },
  }
}

function placeOf(root: string, name: string): string {
  const place = path.join(root, name)
  if (place !== root && !place.startsWith(root + path.sep)) {
    throw new FreshetError('FILE_INVALID', `artifact name ${name} leads out of the store`)
  }
  return place
}

/** Temporary file, fsync, rename, fsync of the folder: after a crash there is the old file, the new one or none. */
export async function writeFileAtomically(
  file: string,
  parts: readonly Uint8Array[],
): Promise<FileFacts> {
  await fs.mkdir(path.dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}.tmp`
  try {
    const facts = await writeDurably(temporary, parts)
    await fs.rename(temporary, file)
    await syncFolder(path.dirname(file))
    return facts
  } catch (error) {
    await fs.rm(temporary, { force: true })
    throw error
  }
}

/** Writes and fsyncs a file that nobody looks at yet. */
export async function writeDurably(file: string, parts: readonly Uint8Array[]): Promise<FileFacts> {
  const hash = createHash('sha256')
  let bytes = 0
  const handle = await fs.open(file, 'w')
  try {
    for (const chunk of chunksOf(parts)) {
      hash.update(chunk)
      await writeAll(handle, chunk)
      bytes += chunk.length
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
  return { bytes, sha256: hash.digest('hex') }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const chunkBytes = 16 << 20

/** Small enough that hashing one does not hold up the event loop for long. */
function* chunksOf(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  for (const part of parts) {
    for (let from = 0; from < part.length; from += chunkBytes) {
      yield part.subarray(from, from + chunkBytes)
    }
  }
}

async function writeAll(handle: fs.FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += (await handle.write(bytes, at)).bytesWritten
  }
}

/** In chunks, because one read call ends at 2 GiB. */
export async function readWhole(file: string): Promise<Buffer> {
  let handle
  try {
    handle = await fs.open(file, 'r')
  } catch (cause) {
    throw new FreshetError('FILE_MISSING', `${file} cannot be opened: ${messageOf(cause)}`, {
      cause,
    })
  }
  try {
    const bytes = Buffer.allocUnsafeSlow((await handle.stat()).size)
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await handle.read(
        bytes,
        at,
        Math.min(chunkBytes, bytes.length - at),
        at,
      )
      if (bytesRead === 0) throw new FreshetError('FILE_INVALID', `${file} shrank while being read`)
      at += bytesRead
    }
    return bytes
  } finally {
    await handle.close()
  }
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return (await fs.readdir(folder)).filter((name) => !name.endsWith('.tmp')).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

async function bytesOf(place: string): Promise<number> {
  const facts = await fs.stat(place).catch(() => null)
  if (facts === null) return 0
  if (!facts.isDirectory()) return facts.size
  const names = await fs.readdir(place)
  const sizes = await Promise.all(names.map((name) => bytesOf(path.join(place, name))))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Lower-case hex. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
