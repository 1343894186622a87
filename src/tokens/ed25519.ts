/**
 * Whether 32 octets are a point of the curve edwards25519. OpenSSL checks that only when it verifies; keys are
 * checked when they are read.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc8032#section-5.1.3 RFC 8032 §5.1.3}
 */

const P = 2n ** 255n - 19n
const D = mod(-121665n * power(121666n, P - 2n))

/** Whether an encoded public key decodes to a point. */
export function isEd25519Point (encoded: Uint8Array): boolean {
  if (encoded.length !== 32) return false
  const number = BigInt(`0x${Buffer.from(encoded).reverse().toString('hex')}`)
  const y = number & (2n ** 255n - 1n)
  const isOdd = number >> 255n === 1n
  if (y >= P) return false
  // x² = (y² − 1) / (d·y² + 1)
  const square = mod((y * y - 1n) * power(mod(D * y * y + 1n), P - 2n))
  if (square === 0n) return !isOdd
  return power(square, (P - 1n) / 2n) === 1n
}

function mod (number: bigint): bigint {
  const rest = number % P
  return rest < 0n ? rest + P : rest
}

function power (base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let factor = mod(base), left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = mod(result * factor)
    factor = mod(factor * factor)
  }
  return result
}
