import { FreshetError, messageOf } from '../errors.ts'

/** Why a server cannot listen, as an error that names the settings. @param section of the configuration, with `host` and `port` */
export function listenError(
  section: 'console' | 'gateway' | 'metrics',
  { host, port }: { readonly host: string; readonly port: number },
  cause: unknown,
): FreshetError {
  const isTaken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE'
  const message = isTaken
    ? `${section}.port ${port} on ${host} is taken by another process; choose another, or 0 for any free one: --set ${section}.port=0`
    : `cannot listen on ${host}:${port} (${section}.host, ${section}.port): ${messageOf(cause)}`
  return new FreshetError(isTaken ? 'PORT_TAKEN' : 'CONFIG_INVALID', message, { cause })
}
