/** Compares what a client sent with a secret. */
import { createHash, timingSafeEqual } from 'node:crypto'

/** Whether two texts are equal, in a time that tells nothing of either: not even the length of the secret. */
export function isEqual (sent: string, secret: string): boolean {
  return timingSafeEqual(sha256(sent), sha256(secret))
}

function sha256 (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
