/**
 * JWT access tokens: verified with everything pinned, keys from a JWKS that rotates.
 *
 * Guarantees: only tokens of the given algorithm, issuer, audience and type (`at+jwt`, RFC 9068) with exp, iat and sub are
 *   accepted; `none`, HMAC with a public key, missing exp and tokens of other audiences are refused; an unknown `kid`
 *   fetches the key set at most once a minute; a key that the issuer takes back is refused `maxAgeMs` later.
 * Needs: jose >= 6; `jwksUrl` is fixed configuration, never the token's `jku`.
 * Fails: `InvalidToken` (401 with WWW-Authenticate: Bearer error="invalid_token"); a key server that does not answer
 *   leaves the known keys in force, and a token of another key is then `KeysUnavailable` (503: with a 401 the client
 *   would log its user out).
 * Prove: npm test
 *
 * RFC 8725, RFC 9068, RFC 7517. jsonwebtoken's verify(token, key) without options pins none of this.
 */
import { createRemoteJWKSet, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from "jose";

export class InvalidToken extends Error {}
export class KeysUnavailable extends Error {}

export interface VerifierOptions {
  jwksUrl: URL;
  issuer: string;
  audience: string;
  algorithm: "EdDSA" | "ES256" | "ES384" | "RS256" | "RS384" | "RS512" | "PS256";
  tokenType?: string;
  leewaySeconds?: number;
  refetchMs?: number;
  maxAgeMs?: number;
}

/** Return a function that resolves to the claims of a valid token and rejects with `InvalidToken` or `KeysUnavailable`. */
export function verifier(options: VerifierOptions): (token: string) => Promise<JWTPayload> {
  const { issuer, audience, algorithm, tokenType = "at+jwt", leewaySeconds = 30 } = options;
  const keys = keySet(options);
  return async (token) => {
    if (token.length > 8192) throw new InvalidToken("too long");
    try {
      const { payload } = await jwtVerify(token, keys, {
        algorithms: [algorithm],
        issuer,
        audience,
        typ: tokenType,
        clockTolerance: leewaySeconds,
        requiredClaims: ["exp", "iat", "sub"],
      });
      return payload;
    } catch (cause) {
      if (cause instanceof KeysUnavailable) throw cause;
      throw new InvalidToken("not a valid token", { cause });
    }
  };
}

/** jose forgets its keys once they are old, and asks an issuer that is away for every token: here it does neither. */
function keySet({ jwksUrl, refetchMs = 60_000, maxAgeMs = 600_000 }: VerifierOptions): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(jwksUrl, { cooldownDuration: Infinity, cacheMaxAge: Infinity, timeoutDuration: 3000 });
  let askedAt = -Infinity;
  let asking: Promise<void> | undefined;
  let away = false;

  const ask = async (): Promise<void> => {
    askedAt = Date.now();
    try {
      await remote.reload();
      away = false;
    } catch {
      away = true;
    }
    asking = undefined;
  };
  return async (header, token) => {
    const isKnown = (): boolean => remote.jwks()?.keys.some(({ kid }) => kid === header.kid) ?? false;
    const isDue = Date.now() - askedAt >= (isKnown() ? maxAgeMs : refetchMs);
    if (isDue) asking = ask();
    if (isDue || !isKnown()) await asking;
    if (!isKnown() && away) throw new KeysUnavailable("the key set cannot be fetched");
    if (!isKnown()) throw new InvalidToken("unknown key");
    return remote(header, token);
  };
}
