import { createHash, timingSafeEqual } from 'node:crypto'
import { open } from 'node:fs/promises'
import { FreshetError, messageOf } from '../../errors.ts'

/** Read by others, or written by the group. */
const tooOpen = 0o027
/** What a Bearer header can carry (RFC 6750), and long enough that nobody guesses it. */
const tokenFormat = /^[A-Za-z0-9._~+/-]{16,}=*$/

/** The tokens of `gateway.tokenFile`. Kept as hashes, which have one length, so that comparing takes the same time for every token. */
export class Tokens {
  readonly #file: string | null
  #text = ''
  #hashes: readonly Buffer[] = []

  /**
   * @param file one token a line; null: everybody may ask
   * @throws FreshetError FILE_MISSING, FILE_INVALID
   */
  static async open(file: string | null): Promise<Tokens> {
    const tokens = new Tokens(file)
    await tokens.refresh()
    return tokens
  }

  private constructor(file: string | null) {
    this.#file = file
  }

  /**
   * Takes over what the file holds now.
   * @returns whether that is something new
   * @throws FreshetError FILE_MISSING, FILE_INVALID; then the tokens from before stay in force
   */
  async refresh(): Promise<boolean> {
    if (this.#file === null) return false
    const text = await readPrivate(this.#file)
    if (text === this.#text) return false
    this.#hashes = tokensIn(text, this.#file).map(hashOf)
    this.#text = text
    return true
  }

  /** @param authorization the header of that name */
  allows(authorization: string | undefined): boolean {
    if (this.#file === null) return true
    const [, token] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? []
    if (token === undefined) return false
    const shown = hashOf(token)
    // All of them, so that the time does not say which one it was.
    return this.#hashes.filter((hash) => timingSafeEqual(hash, shown)).length > 0
  }
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

async function readPrivate(file: string): Promise<string> {
  const handle = await open(file).catch((cause: unknown) => {
    throw new FreshetError(
      'FILE_MISSING',
      `gateway.tokenFile: cannot read ${file}: ${messageOf(cause)}; make one: (umask 077 && openssl rand -hex 32 > ${file})`,
      { cause },
    )
  })
  try {
    const mode = (await handle.stat()).mode & 0o777
    if ((mode & tooOpen) !== 0) {
      throw invalid(file, `mode ${mode.toString(8)} lets others at it; chmod 600 ${file}`)
    }
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

function tokensIn(text: string, file: string): string[] {
  const lines = text.split('\n').map((line) => line.trim())
  const wrong = lines.findIndex((line) => line !== '' && !tokenFormat.test(line))
  if (wrong >= 0) {
    const why = `line ${wrong + 1} is no token: expected 16 or more of A-Z a-z 0-9 . _ ~ + / -`
    throw invalid(file, why)
  }
  const tokens = lines.filter((line) => line !== '')
  if (tokens.length === 0) {
    throw invalid(file, `it is empty; put a token into it: openssl rand -hex 32 > ${file}`)
  }
  return tokens
}

function invalid(file: string, why: string): FreshetError {
  return new FreshetError('FILE_INVALID', `gateway.tokenFile: ${file}: ${why}`)
}
